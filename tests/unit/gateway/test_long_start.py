"""An outbox that opens slowly: the service manager is asked for patience, and the log says what goes on."""

import asyncio
from typing import Any, cast

import pytest

from buffer import Outbox
from buffer.errors import OutboxClosed
from gateway import long_start
from gateway.long_start import opened
from gateway.notify import Notifier


class Manager(Notifier):
    def __init__(self) -> None:
        super().__init__({}, pid=1)
        self.said: list[str] = []
        self.heard = asyncio.Event()

    def _send(self, message: str) -> None:
        self.said.append(message)
        if len(self.said) >= 3:
            self.heard.set()


class Silent:
    """An outbox that has nothing to say of itself."""

    async def incidents(self, **_: object) -> list[Any]:
        return []


async def test_a_salvage_of_minutes_is_not_killed_by_the_service_manager(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(long_start, "ASK_S", 0.01)
    manager, outbox = Manager(), cast("Outbox", Silent())

    async def salvage() -> Outbox:
        await manager.heard.wait()
        return outbox

    async with asyncio.timeout(60):
        assert await opened(salvage(), manager, lambda: 35.0) is outbox
    extensions = [message for message in manager.said if message.startswith("EXTEND_TIMEOUT_USEC=120000000\n")]
    assert len(extensions) >= 3
    assert "STATUS=looks through the outbox" in extensions[0]
    assert any("outbox_opens_slowly" in record.getMessage() for record in caplog.records)


async def test_an_opening_that_hangs_is_left_to_the_service_manager_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_start, "ASK_S", 0.01)
    manager, clock, looked = Manager(), [0.0], asyncio.Event()

    def monotonic() -> float:
        clock[0] += long_start.OPEN_S_MAX
        if clock[0] > 5 * long_start.OPEN_S_MAX:
            looked.set()
        return clock[0]

    async def hang() -> Outbox:
        await looked.wait()
        raise OutboxClosed

    with pytest.raises(OutboxClosed):
        async with asyncio.timeout(60):
            await opened(hang(), manager, monotonic)
    assert manager.said == []


async def test_an_opening_that_is_quick_is_not_worth_a_word(caplog: pytest.LogCaptureFixture) -> None:
    manager, outbox = Manager(), cast("Outbox", Silent())

    async def open_it() -> Outbox:
        return outbox

    assert await opened(open_it(), manager, lambda: 0.0) is outbox
    assert manager.said == []
    assert caplog.records == []
