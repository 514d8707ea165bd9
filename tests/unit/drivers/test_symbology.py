"""Symbology identifier and data of a frame."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from drivers.symbology import StandIn, split_symbology


@pytest.mark.parametrize(
    ("frame", "symbology", "code"),
    [
        (b"]C10109521234543213", "]C1", "0109521234543213"),
        (b"]d2010952123454321310LOT\x1d21SER", "]d2", "010952123454321310LOT\x1d21SER"),
        (b"]E09521234543213", "]E0", "9521234543213"),
        (b"9521234543213", None, "9521234543213"),
        (b"]", None, "]"),
        (b"]?1x", None, "]?1x"),
        (b"]Q1https://id.example/01/09521234543213", "]Q1", "https://id.example/01/09521234543213"),
        (b"]Q1", "]Q1", ""),
        (b"", None, ""),
    ],
)
def test_the_identifier_is_split_from_the_data(frame: bytes, symbology: str | None, code: str) -> None:
    data = split_symbology(frame)
    assert (data.symbology, data.code) == (symbology, code)


def test_text_is_utf_8_when_it_can_be_and_latin_1_otherwise() -> None:
    assert split_symbology("]Q1Käse".encode()).code == "Käse"
    assert split_symbology("]Q1Käse".encode("latin-1")).code == "Käse"


def test_a_site_that_knows_its_encoding_is_believed() -> None:
    assert split_symbology("ä".encode(), encoding="latin-1").code == "Ã¤"
    with pytest.raises(UnicodeDecodeError):
        split_symbology(b"\xe4", encoding="utf-8")


def test_a_stand_in_for_the_group_separator_is_repaired_in_gs1_data_only() -> None:
    """A scanner that cannot send 0x1D sends "{GS}" in its place; in a URL the same characters are data."""
    assert split_symbology(b"]C110LOT{GS}21SER", group_separator="{GS}").code == "10LOT\x1d21SER"
    assert split_symbology(b"]Q110LOT{GS}21SER", group_separator="{GS}").code == "10LOT{GS}21SER"


def test_without_an_identifier_a_whole_key_in_front_says_that_it_is_gs1_data() -> None:
    assert split_symbology(b"010952123454321310LOT|21S", group_separator="|").code == "010952123454321310LOT\x1d21S"
    assert split_symbology(b"SHELF|21", group_separator="|").code == "SHELF|21"


@pytest.mark.parametrize("text", ["%", "A", "0", "#", "-"])
def test_a_stand_in_that_may_be_data_is_refused(text: str) -> None:
    """ "10A%21" would be a lot A%21 or a lot A and a serial number."""
    adapter: TypeAdapter[str] = TypeAdapter(StandIn)
    with pytest.raises(ValidationError, match="may itself stand in GS1 data"):
        adapter.validate_python(text)
    assert [adapter.validate_python(good) for good in ("|", "{GS}", "\u241d", "~1", "^]")]


@given(st.binary(max_size=100))
def test_no_frame_is_too_strange(frame: bytes) -> None:
    data = split_symbology(frame)
    back = (data.symbology or "").encode() + data.code.encode("utf-8")
    assert back == frame or (data.symbology or "").encode() + data.code.encode("latin-1") == frame
