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


def test_the_register_is_bounded_and_counts_the_rest() -> None:
    register = KnockingRegister(knocking_max=3)
    for number in range(5):
        register.note(f"hh-{number}", "handheld", ("floor",), number)
    assert [knock.device for knock in register.knocks()] == ["hh-2", "hh-1", "hh-0"]
    assert register.unlisted == 2


def test_a_device_that_was_admitted_is_struck_off() -> None:
    register = KnockingRegister()
    register.note("hh-9", "handheld", (), 1)
    register.forget("hh-9")
    assert register.knocks() == []
