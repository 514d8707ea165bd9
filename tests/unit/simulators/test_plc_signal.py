"""What a simulated signal shows, and what really happened."""

import struct

from simulators.plc_signal import Signal


def test_a_counter_rolls_over_and_the_total_does_not() -> None:
    signal = Signal("parts", 0, "uint16", shows=65534)
    signal.count(3)
    assert (signal.shows, signal.total, signal.registers()) == (1, 3, [1])


def test_a_counter_may_roll_over_where_its_maker_said() -> None:
    signal = Signal("parts", 0, "uint32", shows=9999, rollover=10000)
    signal.count()
    assert signal.shows == 0


def test_a_reset_takes_no_part_back() -> None:
    signal = Signal("parts", 0)
    signal.count(5)
    signal.reset()
    assert (signal.shows, signal.total) == (0, 5)


def test_orders_are_those_of_the_maker() -> None:
    assert Signal("p", 0, "uint32", shows=0x01020304).registers() == [0x0102, 0x0304]
    assert Signal("p", 0, "uint32", shows=0x01020304, word_order="little").registers() == [0x0304, 0x0102]
    assert Signal("p", 0, "uint32", shows=0x01020304, byte_order="little").registers() == [0x0201, 0x0403]


def test_a_float_is_that_float() -> None:
    registers = Signal("t", 0, "float32", shows=21.3).registers()
    assert struct.unpack(">f", struct.pack(">2H", *registers)) == struct.unpack(">f", struct.pack(">f", 21.3))


def test_a_bit_touches_no_other_bit() -> None:
    memory = [0xFFFF, 0b1000]
    Signal("door", 35, "bool", table="coil").put(1, memory)
    assert memory == [0xFFFF, 0b0000]
    Signal("door", 36, "bool", table="coil", shows=True).put(1, memory)
    assert memory == [0xFFFF, 0b10000]


def test_everything_a_signal_does_is_told() -> None:
    told: list[str] = []
    signal = Signal("door", 0, "bool", table="coil")
    signal.tell = lambda _, what, **__: told.append(what)
    signal.toggle()
    signal.count(1)
    signal.reset()
    assert told == ["set", "counted", "reset"]
