"""Reads close together are acted on together; nothing waits longer than it may, nothing changes its place."""

import asyncio
from collections.abc import Iterator

import mqtt5
import pytest
from mqtt_peer import Peer, Shelf, listening, publish, scan_body

from drivers import mqtt_gathering
from drivers.mqtt_gathering import CLOSE_S, CROWD_MAX, GATHER_S, READ_BYTES_MAX, READS_MAX, Gathering


class Clock(asyncio.SelectorEventLoop):
    """A loop that never runs: its time is moved by hand, and what is due is called then."""

    def __init__(self) -> None:
        self.now = 100.0
        super().__init__()

    def time(self) -> float:
        return self.now

    @property
    def due(self) -> list[asyncio.TimerHandle]:
        """What is still to be called, in time."""
        return sorted(handle for handle in self._scheduled if not handle.cancelled())

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        for handle in self.due:
            if handle.when() <= self.now:
                self._scheduled.remove(handle)
                handle._run()


class Table:
    """Devices that talk to a gathering, and what was acted on."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.acted: list[tuple[str, bytes]] = []
        self.gathering = Gathering(clock)
        self.devices = {name: Device(name, self) for name in "abcdef"}

    def say(self, name: str, data: bytes) -> None:
        self.gathering.arrive(self.devices[name], data)

    @property
    def said(self) -> str:
        return " ".join(f"{name}{data.decode()}" for name, data in self.acted)


class Device:
    def __init__(self, name: str, table: Table) -> None:
        self.name, self.table = name, table

    def act_on(self, data: bytes) -> None:
        self.table.acted.append((self.name, data))


@pytest.fixture
def table() -> Iterator[Table]:
    clock = Clock()
    yield Table(clock)
    clock.close()


def test_a_scan_after_a_quiet_moment_waits_for_nobody(table: Table) -> None:
    for number in range(3):
        table.say("abc"[number], b"1")
        assert len(table.acted) == number + 1
        table.clock.move(GATHER_S)


def test_close_scans_of_several_devices_wait_for_each_other_and_no_longer_than_they_may(table: Table) -> None:
    table.say("a", b"1")
    table.clock.move(GATHER_S / 4)
    table.say("b", b"1")
    table.clock.move(GATHER_S / 2)
    assert table.said == "a1"
    table.clock.move(GATHER_S / 4 + 1e-6)
    assert table.said == "a1 b1"


def test_company_enough_is_not_kept_waiting(table: Table) -> None:
    table.say("a", b"0")
    for number in range(READS_MAX):
        assert table.said == "a0"
        table.say("bcdef"[number], b"1")
    assert len(table.acted) == 1 + READS_MAX


def test_company_that_comes_slowly_waits_for_more(table: Table) -> None:
    table.say("a", b"0")
    table.say("b", b"1")
    table.clock.move(CLOSE_S + 0.001)
    for name in "cdef":
        table.say(name, b"1")
    assert table.said == "a0"
    table.clock.move(GATHER_S)
    assert table.said == "a0 b1 c1 d1 e1 f1"


def test_a_crowd_that_comes_slowly_does_not_grow_without_end(table: Table) -> None:
    table.say("a", b"0")
    table.say("b", b"1")
    table.clock.move(CLOSE_S + 0.001)
    for _ in range(CROWD_MAX - 2):
        table.say("c", b"1")
    assert table.said == "a0"
    table.say("d", b"1")
    assert len(table.acted) == 1 + CROWD_MAX


def test_who_acts_in_one_turn_is_told_of_its_end_once(table: Table) -> None:
    ends: list[int] = []
    table.gathering.on_acted = lambda: ends.append(len(table.acted))
    table.say("a", b"0")
    for number in range(READS_MAX):
        table.say("bcdef"[number], b"1")
    assert ends == [1 + READS_MAX]
    assert not table.gathering.is_acting


def test_nothing_of_one_device_overtakes_what_it_said_before(table: Table) -> None:
    table.say("a", b"1")
    table.say("b", b"1")
    table.say("b", b"2")
    table.say("a", b"x" * (READ_BYTES_MAX + 1))
    assert [name for name, _ in table.acted] == ["a", "b", "b", "a"]
    assert [data for name, data in table.acted if name == "b"] == [b"1", b"2"]


def test_a_device_that_talks_alone_is_never_made_to_wait(table: Table) -> None:
    """It says the next scan once it has the answer to the last: waiting would halve its speed and bring no company."""
    for number in range(5):
        table.say("a", b"%d" % number)
        assert len(table.acted) == number + 1
        table.clock.move(GATHER_S / 10)


def test_a_large_read_is_a_crowd_by_itself(table: Table) -> None:
    table.say("a", b"1")
    table.say("b", b"y" * (READ_BYTES_MAX + 1))
    assert [name for name, _ in table.acted] == ["a", "b"]


def test_opening_twice_acts_once_and_leaves_no_timer(table: Table) -> None:
    table.say("a", b"1")
    table.say("b", b"1")
    table.gathering.open()
    table.gathering.open()
    table.clock.move(2 * GATHER_S)
    assert table.said == "a1 b1"
    assert not table.clock.due


async def test_scans_taken_in_together_are_one_list_and_each_device_hears_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second device is refused, so what it hears must not be what its neighbours hear."""
    monkeypatch.setattr(mqtt_gathering, "GATHER_S", 3600.0)
    monkeypatch.setattr(mqtt_gathering, "CLOSE_S", 3600.0)
    shelf = Shelf()
    shelf.refuses = {"hh-2"}
    async with listening(shelf) as listener:
        peers = [await Peer.hello(listener.address[1], f"hh-{number}") for number in range(READS_MAX + 1)]
        peers[0].send(publish(1, device="hh-0"))
        await shelf.arrived(1)
        for number, peer in enumerate(peers[1:], 1):
            peer.send(publish(10 + number, scan_body(number), device=f"hh-{number}"))
        await shelf.arrived(1 + READS_MAX)
        assert [len(readings) for readings in shelf.lists] == [1, READS_MAX]
        for number, peer in enumerate(peers):
            answer = await peer.receive()
            assert isinstance(answer, mqtt5.PubAckPacket)
            assert answer.packet_id == (1, 11, 12, 13)[number]
            assert (int(answer.reason_code) >= 0x80) == (number == 2)
        for peer in peers:
            await peer.close()


# On the wire, with a wait that no test would survive: whatever ends it, what was said is acted on.


@pytest.fixture
def long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_gathering, "GATHER_S", 3600.0)


async def waiting_scan(shelf: Shelf, port: int, packet_id: int | None) -> tuple[Peer, Peer]:
    """Two devices; the scan of the second waits for company, the first one's did not."""
    first, second = await Peer.hello(port, "hh-1"), await Peer.hello(port, "hh-2")
    first.send(publish(1, device="hh-1"))
    await shelf.arrived(1)
    second.send(publish(packet_id, scan_body(2), device="hh-2"))
    assert await second.is_quiet()
    assert len(shelf.readings) == 1
    return first, second


@pytest.mark.usefixtures("long_wait")
async def test_what_a_device_said_before_it_left_is_stored() -> None:
    shelf = Shelf()
    async with listening(shelf) as listener:
        first, second = await waiting_scan(shelf, listener.address[1], None)
        await second.close()
        await shelf.arrived(2)
        await first.close()


@pytest.mark.usefixtures("long_wait")
async def test_what_a_device_said_before_it_came_back_is_stored() -> None:
    """Its new connection takes the session over; what the old one had read must not go with it."""
    shelf = Shelf()
    async with listening(shelf) as listener:
        first, second = await waiting_scan(shelf, listener.address[1], None)
        again = await Peer.hello(listener.address[1], "hh-2")
        await shelf.arrived(2)
        for peer in (first, second, again):
            await peer.close()


@pytest.mark.usefixtures("long_wait")
async def test_what_was_said_before_a_stop_is_stored_and_acknowledged() -> None:
    shelf = Shelf()
    async with listening(shelf) as listener:
        first, second = await waiting_scan(shelf, listener.address[1], 7)
    packets = await second.receive_all()
    assert [packet.packet_id for packet in packets[:-1]] == [7]
    assert len(shelf.readings) == 2
    for peer in (first, second):
        await peer.close()
