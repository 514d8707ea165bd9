"""A crowd from one place waits for itself."""

import asyncio

import pytest

from drivers.mqtt_turns import Turns, origin_of

BOUND_S = 60.0


@pytest.mark.parametrize(
    ("peer", "origin"),
    [
        (("10.0.0.7", 4000), "10.0.0.7"),
        (("::ffff:10.0.0.7", 4000, 0, 0), "10.0.0.7"),
        (("2001:db8:1:2:3:4:5:6", 4000, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 4000, 0, 2), "fe80::/64"),
        (("no address: at all", 1), "no address: at all"),
        (None, ""),
        ("/run/socket", ""),
        ((), ""),
    ],
)
def test_where_a_connection_comes_from(peer: object, origin: str) -> None:
    assert origin_of(peer) == origin


class Door:
    """Whoever has a turn keeps it until the test lets it go."""

    def __init__(self, turns_max: int) -> None:
        self.turns = Turns(turns_max)
        self.served: list[str] = []
        self.leave = asyncio.Event()
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str) -> None:
        for name in names:
            self.tasks[name] = asyncio.create_task(self._turn(name))
            await self.settle()

    async def _turn(self, name: str) -> None:
        async with self.turns.of(name.partition("-")[0]):
            self.served.append(name)
            await self.leave.wait()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def end(self) -> None:
        self.leave.set()
        async with asyncio.timeout(BOUND_S):
            await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        assert self.turns._free == 1 and not self.turns._waiting, "every turn came back"


async def test_one_from_elsewhere_waits_for_one_of_the_crowd_and_not_for_all() -> None:
    door = Door(1)
    await door.come(*(f"evil-{number}" for number in range(50)), "dock-1", "dock-2", "yard-1")
    await door.end()
    assert door.served[:6] == ["evil-0", "evil-1", "dock-1", "yard-1", "evil-2", "dock-2"]
    assert len(door.served) == 53


async def test_those_who_leave_the_queue_take_no_turn_with_them() -> None:
    door = Door(1)
    await door.come("a-1", "b-1", "c-1", "b-2")
    door.tasks["b-1"].cancel()
    await door.settle()
    door.tasks["c-1"].cancel()  # and its turn comes before it knows
    await door.end()
    assert door.served == ["a-1", "b-2"]


async def test_one_that_is_given_a_turn_and_has_gone_gives_it_back() -> None:
    door = Door(1)
    await door.come("a-1", "b-1", "c-1")
    door.leave.set()
    await asyncio.sleep(0)
    door.tasks["b-1"].cancel()
    await door.end()
    assert "c-1" in door.served
