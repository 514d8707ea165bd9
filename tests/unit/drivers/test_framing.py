"""Frames out of a byte stream: whole, split anywhere, broken off, run together, noise."""

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.framing import (
    AIM,
    ANY,
    BROKE_OFF,
    EVIDENCE_BYTES_MAX,
    INCIDENT_BYTES_MAX,
    LINK_ENDED,
    NO_START,
    RUN_TOGETHER,
    TOO_LONG,
    Discard,
    Framer,
)

STX_ETX = {"start": b"\x02", "terminator": b"\x03"}


def frames(pieces: Iterable[bytes | Discard]) -> list[bytes]:
    return [piece for piece in pieces if isinstance(piece, bytes)]


def discards(pieces: Iterable[bytes | Discard]) -> list[Discard]:
    return [piece for piece in pieces if isinstance(piece, Discard)]


def test_a_frame_is_what_lies_between_start_and_terminator() -> None:
    assert Framer().feed(b"]E09521234543213\r") == [b"]E09521234543213"]
    assert Framer(**STX_ETX).feed(b"\x029521234543213\x03") == [b"9521234543213"]


def test_a_chunk_may_hold_several_frames_and_a_half() -> None:
    framer = Framer()
    assert framer.feed(b"]E01\r]E02\r]E0") == [b"]E01", b"]E02"]
    assert framer.is_in_frame
    assert framer.feed(b"3\r") == [b"]E03"]
    assert not framer.is_in_frame


def test_line_feeds_after_the_carriage_return_are_no_incident() -> None:
    framer = Framer()
    assert framer.feed(b"]E01\r\n]E02\r\n\r\n") == [b"]E01", b"]E02"]
    assert not framer.wants_silence


@pytest.mark.parametrize("cut", range(1, len("]C10109521234543213")))
def test_the_tail_of_a_label_is_not_a_label(cut: int) -> None:
    """The link opened in the middle of a scan: what is left looks like a shorter scan."""
    label = b"]C10109521234543213"
    out = Framer().feed(label[cut:] + b"\r" + label + b"\r")
    assert out == [Discard(NO_START, len(label) - cut + 1, label[cut:] + b"\r"), label]


def test_an_identifier_inside_a_tail_does_not_make_the_tail_a_label() -> None:
    assert frames(Framer().feed(b"tail]E0looks real\r")) == []


def test_any_start_takes_nothing_that_came_right_after_opening() -> None:
    """Without a marker only the past can tell a tail from a scan, and there is none."""
    framer = Framer(start=ANY)
    assert framer.feed(b"4543213\r09521234543213\r") == [Discard(NO_START, 8, b"4543213\r"), b"09521234543213"]


def test_any_start_takes_the_first_frame_after_a_silence() -> None:
    framer = Framer(start=ANY)
    assert framer.wants_silence
    assert framer.idle() == []
    assert not framer.wants_silence
    assert framer.feed(b"09521234543213\r") == [b"09521234543213"]


def test_any_start_does_not_take_the_second_half_of_a_stalled_label() -> None:
    framer = Framer(start=ANY)
    framer.idle()
    assert framer.feed(b"095212") == []
    assert framer.idle() == [Discard(BROKE_OFF, 6, b"095212")]
    assert framer.idle() == []
    assert framer.feed(b"34543213\r") == [Discard(BROKE_OFF, 9, b"34543213\r")]
    assert framer.feed(b"second\r") == [b"second"]


@pytest.mark.parametrize("start", [AIM, b"\x02", b"S>"])
def test_silence_in_a_frame_means_its_terminator_is_lost(start: bytes) -> None:
    """Two halves must not become one label."""
    head = b"]E0" if start == AIM else start
    framer = Framer(start=start)
    assert framer.feed(head + b"952123") == []
    assert [piece.reason for piece in discards(framer.idle())] == [BROKE_OFF]
    assert frames(framer.feed(b"4543213\r" + head + b"whole\r"))[-1].endswith(b"whole")
    assert framer.bytes_discarded >= 6


def test_without_a_terminator_silence_ends_the_frame() -> None:
    framer = Framer(terminator=b"")
    assert framer.feed(b"]E0952123") == []
    assert framer.feed(b"4543213") == []
    assert framer.idle() == [b"]E09521234543213"]
    assert framer.idle() == []


def test_any_start_without_a_terminator_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a terminator"):
        Framer(start=ANY, terminator=b"")


@pytest.mark.parametrize("terminator", [b"\r", b""])
def test_two_scans_that_ran_together_are_none(terminator: bytes) -> None:
    """A lost terminator: acknowledged as one label, the second scan would have vanished."""
    framer = Framer(terminator=terminator)
    out = framer.feed(b"]E0952123]E0454321\r") + framer.idle()
    assert [piece.reason for piece in discards(out)] == [RUN_TOGETHER]
    assert not frames(out)
    assert framer.feed(b"]E01\r") + framer.idle() in ([b"]E01"], [b"]E01\r"])


def test_a_control_character_starts_anew_inside_a_frame() -> None:
    assert Framer(**STX_ETX).feed(b"\x02952123\x02whole\x03") == [Discard(RUN_TOGETHER, 6, b"952123"), b"whole"]


def test_a_control_character_starts_after_noise_too() -> None:
    assert Framer(**STX_ETX).feed(b"\xff\x00\x02whole\x03") == [Discard(NO_START, 2, b"\xff\x00"), b"whole"]


@pytest.mark.parametrize("start", [AIM, b"\x02", ANY])
def test_frame_bytes_max_is_the_longest_frame(start: bytes) -> None:
    head = {AIM: b"]E0", ANY: b""}.get(start, start)
    stripped = head if start == b"\x02" else b""
    for length, taken in ((20, True), (21, False)):
        framer = Framer(start=start, terminator=b"\r\n", frame_bytes_max=20)
        framer.idle()
        frame = head + b"x" * (length - len(head) + len(stripped))
        out = [piece for byte in frame + b"\r\n" for piece in framer.feed(bytes([byte]))]
        assert frames(out) == ([frame.removeprefix(stripped)] if taken else [])
        assert [piece.reason for piece in discards(out)] == ([] if taken else [TOO_LONG])
        assert frames(framer.feed(head + b"next\r\n")) == [head.removeprefix(stripped) + b"next"]


def test_a_megabyte_without_terminator_is_one_incident_and_little_memory() -> None:
    framer = Framer()
    out: list[bytes | Discard] = []
    for _ in range(1000):
        out += framer.feed(b"]E0" + b"7" * 997)
        assert len(framer._held) <= 8192 + 1000
    assert out == []
    out = framer.idle()
    assert out == [Discard(TOO_LONG, 1_000_000, (b"]E0" + b"7" * 997)[:EVIDENCE_BYTES_MAX])]
    assert framer.feed(b"]E01\r") == [b"]E01"]


def test_endless_noise_is_reported_once_a_mebibyte() -> None:
    """A wrong baud rate makes carriage returns too; a record for each would fill the disk."""
    framer = Framer()
    out: list[bytes | Discard] = []
    for _ in range(3 * INCIDENT_BYTES_MAX // 4096):
        out += framer.feed((b"\xfe\x01\x80" * 85 + b"\r") * 16)
    assert len(out) <= 4
    assert sum(piece.count for piece in discards(out + framer.idle())) == framer.bytes_discarded


def test_the_first_bad_piece_is_reported_at_once_and_the_next_ones_together() -> None:
    """A device may be waiting for a NAK."""
    framer = Framer()
    assert [piece.count for piece in discards(framer.feed(b"bad\r"))] == [4]
    assert framer.feed(b"worse\rworst\r") == []
    assert framer.wants_silence
    assert framer.idle() == [Discard(NO_START, 12, b"worse\rworst\r")]
    assert [piece.count for piece in discards(framer.feed(b"bad\r"))] == [4]


def test_a_good_frame_ends_an_incident() -> None:
    framer = Framer()
    framer.feed(b"bad\r")
    assert framer.feed(b"worse\r]E01\r") == [Discard(NO_START, 6, b"worse\r"), b"]E01"]


def test_a_frame_that_ends_with_the_link_is_evidence() -> None:
    framer = Framer()
    framer.feed(b"]E0952123")
    assert framer.close() == [Discard(LINK_ENDED, 9, b"]E0952123")]
    assert Framer().close() == []


def test_group_separators_are_data() -> None:
    assert Framer().feed(b"]C110LOT\x1d21SER\r") == [b"]C110LOT\x1d21SER"]


STARTS = st.sampled_from(
    [(AIM, b"\r"), (AIM, b"\r\n"), (b"\x02", b"\x03"), (b"\x02P", b"\x03\r"), (ANY, b"\r"), (b"S>", b"\n")]
)
PAYLOAD = st.binary(min_size=1, max_size=30).map(
    lambda data: bytes(byte % 26 + 65 for byte in data)  # letters: no marker inside, by construction
)


def chunked(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


@given(STARTS, st.lists(PAYLOAD, min_size=1, max_size=8), st.lists(st.integers(0, 10_000), max_size=40))
def test_frames_do_not_depend_on_how_they_are_cut_into_chunks(
    marks: tuple[bytes, bytes], payloads: list[bytes], cuts: list[int]
) -> None:
    start, terminator = marks
    head = {AIM: b"]E0", ANY: b""}.get(start, start)
    kept = b"]E0" if start == AIM else b""
    framer = Framer(start=start, terminator=terminator)
    framer.idle()
    out: list[bytes | Discard] = []
    for chunk in chunked(b"".join(head + payload + terminator for payload in payloads), cuts):
        out += framer.feed(chunk)
    assert out == [kept + payload for payload in payloads]


@given(STARTS, st.lists(st.binary(max_size=300), max_size=20), st.lists(st.integers(0, 10_000), max_size=40))
def test_garbage_neither_crashes_nor_grows_nor_vanishes(
    marks: tuple[bytes, bytes], garbage: list[bytes], cuts: list[int]
) -> None:
    """Every byte is in a frame, in an incident, or one of the markers and line ends between."""
    stream = b"".join(garbage)
    results = []
    for chunks in ([stream], chunked(stream, cuts), [bytes([byte]) for byte in stream]):
        framer = Framer(start=marks[0], terminator=marks[1], frame_bytes_max=64)
        framer.idle()
        out: list[bytes | Discard] = []
        for chunk in chunks:
            out += framer.feed(chunk)
            assert len(framer._held) <= 64 + len(marks[1]) + len(marks[0])
        assert all(len(frame) <= 64 for frame in frames(out))
        assert all(len(piece.evidence) <= EVIDENCE_BYTES_MAX for piece in discards(out))
        out += framer.idle()
        assert sum(piece.count for piece in discards(out)) == framer.bytes_discarded
        results.append(out)
    assert results[0] == results[1] == results[2]


@given(st.binary(max_size=400))
def test_whatever_came_before_the_next_good_scans_after_a_silence_are_taken(garbage: bytes) -> None:
    framer = Framer()
    framer.feed(garbage)
    framer.idle()
    assert framer.feed(b"]E01\r]E02\r") == [b"]E01", b"]E02"]
