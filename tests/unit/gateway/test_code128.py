"""Code 128 by the rules of ISO/IEC 15417, and by a reader of somebody else."""

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sheet.code128 import QUIET_MODULES, NotEncodable, code128


def picture(text: str) -> memoryview:
    """One row of pixels a module, thirty times."""
    widths = [QUIET_MODULES, *code128(text), QUIET_MODULES]
    row = b"".join((b"\xff" if index % 2 == 0 else b"\x00") * (width * 3) for index, width in enumerate(widths))
    return memoryview(row * 30).cast("B", shape=[30, len(row)])


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40))
def test_another_reader_reads_what_was_written(text: str) -> None:
    (read,) = zxingcpp.read_barcodes(
        picture(text), formats=zxingcpp.BarcodeFormat.Code128, text_mode=zxingcpp.TextMode.Plain
    )
    assert (read.text, read.symbology_identifier) == (text, "]C0")


def test_every_character_is_eleven_modules_and_the_stop_thirteen() -> None:
    assert sum(code128("AB")) == 11 * (1 + 2 + 1) + 13


@pytest.mark.parametrize(("text", "said"), [("", "nothing"), ("Ä", "'\\xc4'"), ("A\x1dB", "'\\x1d'"), ("\x7f", "x7f")])
def test_what_it_cannot_hold_is_named(text: str, said: str) -> None:
    with pytest.raises(NotEncodable) as caught:
        code128(text)
    assert said in str(caught.value)
