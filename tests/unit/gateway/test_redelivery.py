"""The same message again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.reading import Measurement, Reading, Remark, ScanContext, TagRead, Verdict
from gateway.capture.redelivery import again, decode_verdict, encode_verdict, fingerprint

SCAN = Reading("hh-7", "scan", b"{}", code="A", symbology="]C1", message_id="1", at="x", context=ScanContext("pick"))


def test_a_message_is_known_again_inside_another_array() -> None:
    """An unanswered scan comes again together with the next one: other bytes, same message."""
    assert fingerprint(SCAN) == fingerprint(SCAN._replace(raw=b'[{"id": "1"}]', may_repeat=True))


@pytest.mark.parametrize(
    "other",
    [
        SCAN._replace(code="B"),
        SCAN._replace(symbology=None),
        SCAN._replace(at=None),
        SCAN._replace(context=None),
        SCAN._replace(context=ScanContext("count")),
        SCAN._replace(context=ScanContext("pick", quantity="2")),
        SCAN._replace(tag=TagRead(b"\x30")),
        SCAN._replace(measurement=Measurement("m", "1")),
        SCAN._replace(kind="unreadable"),
    ],
)
def test_other_content_is_another_message(other: Reading) -> None:
    assert fingerprint(other) != fingerprint(SCAN)


def test_unreadable_messages_are_told_apart_by_their_bytes() -> None:
    first, second = (Reading("d", "unreadable", raw) for raw in (b"\x01", b"\x02"))
    assert fingerprint(first) != fingerprint(second)
    fingerprint(Reading("d", "scan", b"", code="\ud800"))


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1f"))


@given(
    st.sampled_from(["stored", "stored_with_exception", "repeat_read", "duplicate"]),
    st.lists(st.uuids().map(str), max_size=3).map(tuple),
    st.lists(st.builds(Remark, _TEXT, _TEXT), max_size=3).map(tuple),
)
def test_the_answer_is_the_original_verdict(result: str, events: tuple[str, ...], remarks: tuple[Remark, ...]) -> None:
    verdict = Verdict(result, events, remarks)  # type: ignore[arg-type]
    assert decode_verdict(encode_verdict(verdict)) == again(verdict)
    assert again(verdict).redelivered


@given(st.binary())
def test_a_damaged_answer_still_says_that_the_message_was_stored(kept: bytes) -> None:
    assert decode_verdict(kept).is_positive


def test_a_message_in_an_exception_cannot_forge_another() -> None:
    verdict = Verdict("stored_with_exception", ("e",), (Remark("unreadable", "a\x1fcode\x1fb"),))
    assert [remark.code for remark in decode_verdict(encode_verdict(verdict)).exceptions] == ["unreadable"]
