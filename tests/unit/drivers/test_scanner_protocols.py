"""What scanners are told, as bytes."""

import pytest

from drivers.reading import Verdict
from drivers.scanner_protocols.ack_nak import AckNak
from drivers.scanner_protocols.none import NoAnswer
from drivers.scanner_protocols.tones import Tones

STORED, REFUSED = Verdict("stored"), Verdict("refused")
TONES = Tones(stored=b"s", exception=b"e", duplicate=b"d", refused=b"r")


@pytest.mark.parametrize(
    ("outcomes", "answer"),
    [
        ([STORED], b"\x06"),
        ([REFUSED], b"\x15"),
        ([None], b"\x15"),
        ([REFUSED, STORED], b"\x06"),
        ([STORED, REFUSED], b"\x15"),
        ([STORED, STORED, None], b"\x15"),
    ],
)
def test_ack_nak_answers_the_last_frame_with_one_byte(outcomes: list[Verdict | None], answer: bytes) -> None:
    assert AckNak().answer(outcomes) == answer


def test_no_answer_is_silence_or_a_tone_a_frame() -> None:
    assert NoAnswer().answer([STORED, None]) == b""
    assert NoAnswer(TONES).answer([STORED, None]) == b"sr"
    assert not NoAnswer().expects_answer
    assert AckNak().expects_answer


@pytest.mark.parametrize(
    ("outcome", "tone"),
    [
        (STORED, b"s"),
        (Verdict("stored_with_exception"), b"e"),
        (Verdict("duplicate"), b"d"),
        (Verdict("repeat_read"), b"d"),
        (REFUSED, b"r"),
        (None, b"r"),
    ],
)
def test_every_outcome_sounds_different(outcome: Verdict | None, tone: bytes) -> None:
    assert TONES.tone(outcome) == tone
