"""What the process itself runs short of is an alarm while it lasts, and nothing else is taken for it."""

from __future__ import annotations

import asyncio
import errno
import logging
import os

import pytest

from gateway.shortages import LASTS_S, Shortages


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def never() -> None:
    raise AssertionError("the process was ended")


def codes(shortages: Shortages) -> list[str]:
    return [alarm.code for alarm in shortages.alarms()]


async def test_a_door_that_cannot_open_further_is_an_alarm_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    shortages = Shortages(clock, lambda: 0, on_starved=never)
    loop = asyncio.get_running_loop()
    assert codes(shortages) == []
    error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    for _ in range(5):
        shortages.on_loop_error(loop, {"message": "socket.accept() out of system resource", "exception": error})
        clock.now += 1
    assert codes(shortages) == ["connections_refused"]
    assert "Too many open files" in shortages.alarms()[0].message
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "LimitNOFILE" in caplog.text and "Traceback" not in caplog.text
    clock.now += LASTS_S
    assert codes(shortages) == []


async def test_a_door_that_was_shut_before_it_could_open_again_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    """The loop tries a refused door again after a second; by then the gateway may have been stopped."""
    shortages = Shortages(Clock(), lambda: 0, on_starved=never)
    loop = asyncio.get_running_loop()
    late = {
        "message": "Exception in callback BaseSelectorEventLoop._start_serving(<function>)",
        "exception": ValueError("Invalid file descriptor: -1"),
    }
    shortages.on_loop_error(loop, late)
    assert "Invalid file descriptor" in caplog.text, "without a shortage it would be a fault"
    caplog.clear()
    shortages.on_loop_error(loop, {"message": "", "exception": OSError(errno.EMFILE, os.strerror(errno.EMFILE))})
    shortages.on_loop_error(loop, late)
    assert "Invalid file descriptor" not in caplog.text


@pytest.mark.parametrize("error", [OSError(errno.EIO, "?"), RuntimeError("a fault of ours"), None])
async def test_every_other_error_is_logged_as_it_always_was(
    error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    shortages = Shortages(Clock(), lambda: 0, on_starved=never)
    shortages.on_loop_error(asyncio.get_running_loop(), {"message": "something broke", "exception": error})
    assert codes(shortages) == []
    assert "something broke" in caplog.text


def test_lost_lines_are_an_alarm_while_they_go_on_being_lost() -> None:
    clock, lost = Clock(), [0]
    shortages = Shortages(clock, lambda: lost[0], on_starved=never)
    assert codes(shortages) == []
    lost[0] = 1
    assert [alarm.message for alarm in shortages.alarms()] == ["1 line of the log could not be written"]
    clock.now += LASTS_S - 1
    lost[0] = 7
    assert "7 lines" in shortages.alarms()[0].message
    clock.now += LASTS_S - 1
    assert codes(shortages) == ["log_lines_lost"]
    clock.now += 2
    assert codes(shortages) == []


async def test_a_process_that_gets_no_memory_is_ended_in_words(caplog: pytest.LogCaptureFixture) -> None:
    """It would live on, feed the watchdog and lose every connection at its first read."""
    ended: list[bool] = []
    shortages = Shortages(Clock(), lambda: 0, on_starved=lambda: ended.append(True))
    context = {"message": "Fatal read error on socket transport", "exception": MemoryError()}
    shortages.on_loop_error(asyncio.get_running_loop(), context)
    assert ended == [True]
    assert "memory_refused" in caplog.text and "Traceback" not in caplog.text
