"""Devices that nobody configured."""

import tomllib

from gateway.capture.knocking import KnockingRegister


def test_a_knock_comes_with_the_lines_that_would_admit_it() -> None:
    register = KnockingRegister()
    register.note("hh-9", "handheld", ("floor", "dock-3"), 1000)
    register.note("hh-9", "handheld", ("floor", "dock-3"), 2000)
    (knock,) = register.knocks()
    assert (knock.readings, knock.first_ms, knock.last_ms) == (2, 1000, 2000)
    assert tomllib.loads(knock.admit or "") == {"device": [{"id": "hh-9", "station": "floor", "driver": "handheld"}]}


def test_hostile_ids_are_shown_harmless_and_never_offered() -> None:
    """A client calls itself by an escape sequence, or by the rest of a configuration."""
    register = KnockingRegister()
    for device in ("\x1b[2J", 'x"\n[api]\nunauthenticated = "accept-in-lab', "ü" * 500, ""):
        register.note(device, "handheld", ("floor",), 1)
    for knock in register.knocks():
        assert knock.admit is None
        assert knock.device.isascii()
        assert knock.device.isprintable()
        assert len(knock.device) <= 64


def test_the_register_is_bounded_and_who_was_silent_for_longest_leaves() -> None:
    """Strangers under ever new names must not hide the handheld that was switched on a moment ago."""
    register = KnockingRegister(knocking_max=3)
    for number in range(5):
        register.note(f"hh-{number}", "handheld", ("floor",), number)
        register.note("hh-0", "handheld", ("floor",), number)
    assert [knock.device for knock in register.knocks()] == ["hh-0", "hh-4", "hh-3"]
    assert sum(knock.readings for knock in register.knocks()) + register.unlisted == 10


def test_a_clock_that_was_set_back_makes_nobody_older() -> None:
    register = KnockingRegister(knocking_max=2)
    for device, now_ms in (("hh-1", 9000), ("hh-2", 9001), ("hh-3", 5)):
        register.note(device, "handheld", ("floor",), now_ms)
    assert [knock.device for knock in register.knocks()] == ["hh-3", "hh-2"]


def test_a_register_of_none_lists_none() -> None:
    register = KnockingRegister(knocking_max=0)
    register.note("hh-1", "handheld", ("floor",), 1)
    assert (register.knocks(), register.unlisted) == ([], 1)


def test_a_device_that_was_admitted_is_struck_off() -> None:
    register = KnockingRegister()
    register.note("hh-9", "handheld", (), 1)
    register.forget("hh-9")
    assert register.knocks() == []
