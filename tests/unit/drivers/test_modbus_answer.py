"""One frame passes: the answer to this very question."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer.rtu import FramerRTU

from drivers.modbus_answer import READ_FUNCTIONS, AnswerFilter, WriteAttempted, crc16, resync_count


def mbap(transaction: int, unit: int, pdu: bytes, protocol: int = 0) -> bytes:
    return struct.pack(">HHHB", transaction, protocol, len(pdu) + 1, unit) + pdu


def ask(transaction: int = 7, unit: int = 1, function: int = 3, address: int = 0, count: int = 2) -> bytes:
    return mbap(transaction, unit, struct.pack(">BHH", function, address, count))


def values(*registers: int, function: int = 3) -> bytes:
    return struct.pack(f">BB{len(registers)}H", function, 2 * len(registers), *registers)


def tcp(request: bytes | None = None) -> AnswerFilter:
    one = AnswerFilter("tcp")
    sent = ask() if request is None else request
    assert one.packet(True, sent) == sent
    return one


ANSWER = mbap(7, 1, values(1, 2))


def test_the_answer_passes() -> None:
    assert tcp().packet(False, ANSWER) == ANSWER


def test_a_refusal_passes() -> None:
    refusal = mbap(7, 1, b"\x83\x02")
    assert tcp().packet(False, refusal) == refusal


def test_a_bit_answer_passes() -> None:
    answer = mbap(7, 1, bytes((1, 2, 0xFF, 0x01)))
    assert tcp(ask(function=1, count=9)).packet(False, answer) == answer


@pytest.mark.parametrize("cut", range(len(ANSWER)))
def test_half_an_answer_waits_for_the_other_half(cut: int) -> None:
    one = tcp()
    assert one.packet(False, ANSWER[:cut]) == b""
    assert one.is_partial is (cut > 0)
    assert one.packet(False, ANSWER) == ANSWER


@pytest.mark.parametrize("transaction", [6, 8, 0, 65535])
def test_an_answer_to_another_transaction_never_passes_be_its_number_0(transaction: int) -> None:
    one = tcp()
    late = mbap(transaction, 1, values(8, 8))
    assert one.packet(False, late) == b""
    assert one.out_of_step is None
    assert one.packet(False, late + ANSWER) == ANSWER
    assert one.late == 1


@pytest.mark.parametrize(
    "wrong",
    [
        mbap(7, 2, values(1, 2)),
        mbap(7, 1, values(1, 2, function=4)),
        mbap(7, 1, values(1, 2, 3)),
        mbap(7, 1, values(1)),
        mbap(7, 1, b"\x84\x02"),
        mbap(7, 1, struct.pack(">BBHH", 3, 2, 1, 2)),
    ],
    ids=["unit", "function", "longer", "shorter", "refusal of another", "length that lies"],
)
def test_an_answer_that_is_not_to_what_was_asked_never_passes(wrong: bytes) -> None:
    one = tcp()
    assert one.packet(False, wrong) == b""
    assert one.foreign is not None


def test_a_new_question_forgets_what_was_wrong_with_the_last_answer() -> None:
    one = tcp()
    one.packet(False, mbap(7, 2, values(1, 2)))
    one.packet(True, ask(8))
    assert one.foreign is None


@pytest.mark.parametrize("junk", [b"HTTP/1.1 400 Bad", mbap(7, 1, values(1, 2), protocol=1), b"\0\7\0\0\0\1\1\3"])
def test_a_stream_that_is_not_modbus_is_out_of_step(junk: bytes) -> None:
    one = tcp()
    assert one.packet(False, junk) == b""
    assert one.out_of_step is not None


def test_a_question_after_half_an_answer_is_out_of_step() -> None:
    """The library throws the first half away; the second half would be read as a frame of its own."""
    one = tcp()
    one.packet(False, ANSWER[:5])
    one.forget()
    one.packet(True, ask(8))
    assert one.out_of_step is not None


def test_what_arrives_when_nobody_waits_never_passes() -> None:
    one = tcp()
    one.forget()
    assert one.packet(False, ANSWER) == b""
    assert one.late == 1
    assert AnswerFilter("tcp").packet(False, ANSWER) == b""


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
def test_nothing_but_the_four_functions_that_read_goes_out(framing: str) -> None:
    """Promise 10, at the last place where a request can be stopped."""
    assert {1, 2, 3, 4} == READ_FUNCTIONS
    for function in set(range(256)) - READ_FUNCTIONS:
        pdu = struct.pack(">BHH", function, 0, 1)
        with pytest.raises(WriteAttempted):
            AnswerFilter(framing).packet(True, mbap(1, 1, pdu) if framing == "tcp" else b"\x01" + pdu + b"\0\0")  # type: ignore[arg-type]


JUNK = st.binary(max_size=60)


@given(st.lists(st.one_of(JUNK, st.sampled_from([ANSWER, ANSWER[:9], mbap(0, 1, values(9, 9))]))))
def test_whatever_arrives_only_a_whole_frame_with_the_right_head_passes(chunks: list[bytes]) -> None:
    one, buffer = tcp(), b""
    for chunk in chunks:
        buffer += chunk
        passed = one.packet(False, buffer)
        assert passed == b"" or (passed[:9], len(passed)) == (ANSWER[:9], len(ANSWER))


# -- serial line


def frame(unit: int, pdu: bytes) -> bytes:
    body = bytes((unit,)) + pdu
    return body + crc16(body)


def rtu(unit: int = 1, function: int = 3, count: int = 2) -> AnswerFilter:
    one = AnswerFilter("rtu")
    one.packet(True, frame(unit, struct.pack(">BHH", function, 0, count)))
    return one


SERIAL_ANSWER = frame(1, values(1, 2))


@given(st.binary(max_size=300))
def test_the_check_is_the_one_the_library_computes(data: bytes) -> None:
    assert crc16(data) == FramerRTU.compute_CRC(data).to_bytes(2, "big")


@given(JUNK, st.booleans())
def test_an_answer_is_found_behind_noise(noise: bytes, refused: bool) -> None:
    answer = frame(1, b"\x83\x02") if refused else SERIAL_ANSWER
    one = rtu()
    assert one.packet(False, noise + answer) in (answer, SERIAL_ANSWER)
    assert not one.is_partial


def test_our_own_echo_is_no_answer() -> None:
    """A two-wire adapter hears what it sends; address 0x0304 with count 2 begins like an answer of three bytes."""
    echo = frame(1, struct.pack(">BHH", 3, 0x0404, 2))
    one = AnswerFilter("rtu")
    one.packet(True, echo)
    assert one.packet(False, echo) == b""
    assert one.packet(False, echo + SERIAL_ANSWER) == SERIAL_ANSWER


@pytest.mark.parametrize(
    "wrong",
    [frame(2, values(1, 2)), frame(1, values(1, 2, function=4)), frame(1, values(1, 2, 3)),
     SERIAL_ANSWER[:-1] + b"\0", SERIAL_ANSWER[:-1], frame(2, b"\x83\x02")],
    ids=["unit", "function", "length", "check", "cut", "refusal of another"],
)  # fmt: skip
def test_a_serial_answer_that_is_not_to_what_was_asked_never_passes(wrong: bytes) -> None:
    one = rtu()
    assert one.packet(False, wrong) == b""
    assert one.packet(False, wrong + SERIAL_ANSWER) == SERIAL_ANSWER


def test_a_late_serial_answer_never_passes_when_nobody_waits() -> None:
    one = rtu()
    one.forget()
    assert one.packet(False, SERIAL_ANSWER) == b""


@given(st.integers(1, 125), st.integers(0, 20), st.booleans())
def test_an_answer_that_brings_a_line_back_into_step_cannot_be_taken_for_the_one_that_is_owed(
    asked: int, attempt: int, is_bits: bool
) -> None:
    asked = asked * 16 if is_bits else asked
    count = resync_count(asked, attempt, is_bits=is_bits)
    size = (lambda n: (n + 7) // 8) if is_bits else (lambda n: n)
    assert size(count) != size(asked)
    assert 1 <= count <= (2000 if is_bits else 125)
    assert size(asked) == 1 or count < asked
