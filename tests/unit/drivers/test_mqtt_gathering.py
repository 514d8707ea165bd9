"""Reads close together are acted on together; nothing waits longer than it may, nothing changes its place."""

import asyncio
from collections.abc import Iterator
from random import Random

import mqtt5
import pytest
from mqtt_peer import Peer, Shelf, listening, publish, scan_body

from drivers import mqtt_gathering
from drivers.mqtt_gathering import CLOSE_S, COMPANY, CROWD_MAX, GATHER_S, QUIET_S, READ_BYTES_MAX, Gathering


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

    def turn(self) -> None:
        """Run what is to be called in this turn."""
        ready, self._ready = self._ready, type(self._ready)()
        for handle in ready:
            if not handle.cancelled():
                handle._run()


class Lane:
    """A lane of the loop; what is said while it is held is heard when it is released."""

    def __init__(self) -> None:
        self.is_held = False

    def hold(self) -> None:
        self.is_held = True

    def release(self) -> None:
        self.is_held = False


class Table:
    """Devices that talk to a gathering, and what was acted on."""

    def __init__(self, clock: Clock, lane: Lane | None = None) -> None:
        self.clock = clock
        self.acted: list[tuple[str, bytes]] = []
        self.lane = lane
        self.unheard: list[tuple[str, bytes]] = []
        self.said_at: list[float] = []
        """When, in the order of the scans, as long as nothing but `keep_pace` made them."""
        self.waits: list[float] = []
        self.gathering = Gathering(clock, lane)
        self.devices = {name: Device(name, self) for name in "abcdef"}

    def say(self, name: str, data: bytes = b"1") -> None:
        if self.lane is not None and self.lane.is_held:
            self.unheard.append((name, data))
        else:
            self.gathering.arrive(self.devices[name], data)

    def move(self, seconds: float) -> None:
        """Let time pass; what the lane lets through then is read, and the turn of the loop after that is run."""
        self.clock.move(seconds)
        while self.unheard and not (self.lane is not None and self.lane.is_held):
            self.say(*self.unheard.pop(0))
        self.clock.turn()

    def keep_pace(self, reads_per_s: int, seconds: float = 1.0) -> None:
        """Let four devices talk for a while, whether they are heard or not."""
        for number in range(int(reads_per_s * seconds)):
            self.said_at.append(self.clock.now)
            self.say("abcd"[number % 4])
            for _ in range(8):
                self.move(1 / reads_per_s / 8)

    @property
    def said(self) -> str:
        return " ".join(f"{name}{data.decode()}" for name, data in self.acted)


class Device:
    def __init__(self, name: str, table: Table) -> None:
        self.name, self.table = name, table

    def act_on(self, data: bytes) -> None:
        self.table.acted.append((self.name, data))
        if self.table.said_at:
            self.table.waits.append(self.table.clock.now - self.table.said_at.pop(0))


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    yield clock
    clock.close()


@pytest.fixture
def table(clock: Clock) -> Table:
    return Table(clock)


@pytest.fixture
def laned(clock: Clock) -> Table:
    return Table(clock, Lane())


def test_a_scan_after_a_quiet_moment_waits_for_nobody(table: Table) -> None:
    for number in range(3):
        table.say("abc"[number])
        assert len(table.acted) == number + 1
        table.move(GATHER_S)


def test_close_scans_of_several_devices_wait_for_each_other_and_no_longer_than_they_may(table: Table) -> None:
    table.keep_pace(100)
    table.move(GATHER_S)
    table.move(GATHER_S)
    table.acted.clear()
    table.say("e", b"1")
    table.move(GATHER_S / 4)
    table.say("f", b"1")
    table.move(GATHER_S / 2)
    assert table.said == "e1"
    table.move(GATHER_S / 4 + 1e-6)
    assert table.said == "e1 f1"


@pytest.mark.parametrize("has_lane", [False, True])
@pytest.mark.parametrize("reads_per_s", [60, 200, 1000, 3000])
def test_nobody_waits_longer_than_the_pace_allows(clock: Clock, reads_per_s: int, has_lane: bool) -> None:
    """At a quick pace about as long as company takes to come, at a slow one `GATHER_S`."""
    table = Table(clock, Lane() if has_lane else None)
    table.keep_pace(reads_per_s)
    table.waits.clear()
    table.keep_pace(reads_per_s)
    allowed = COMPANY / reads_per_s if COMPANY / reads_per_s <= CLOSE_S else GATHER_S
    assert len(table.waits) > reads_per_s / 2
    assert max(table.waits) <= allowed * 1.4 + 0.001


def test_a_pace_that_begins_does_not_begin_with_long_waits(table: Table) -> None:
    table.move(2 * QUIET_S)
    table.say("a")
    table.say("b")
    assert table.said == "a1"
    table.move(CLOSE_S + 1e-6)
    assert table.said == "a1 b1"


def test_at_a_quick_pace_company_enough_is_not_kept_waiting(table: Table) -> None:
    table.say("a", b"0")
    for number in range(COMPANY):
        assert table.said == "a0"
        table.say("bcdef"[number])
    assert len(table.acted) == 1 + COMPANY


def test_a_crowd_that_comes_slowly_does_not_grow_without_end(table: Table) -> None:
    table.keep_pace(100)
    table.move(GATHER_S)
    table.move(GATHER_S)
    table.acted.clear()
    table.say("a", b"0")
    for _ in range(CROWD_MAX - 1):
        table.say("c")
    assert table.said == "a0"
    table.say("d")
    assert len(table.acted) == 1 + CROWD_MAX


def test_who_acts_in_one_turn_is_told_of_its_end_once(table: Table) -> None:
    ends: list[int] = []
    table.gathering.on_acted = lambda: ends.append(len(table.acted))
    table.say("a", b"0")
    for number in range(COMPANY):
        table.say("bcdef"[number])
    assert ends == [1 + COMPANY]
    assert not table.gathering.is_acting


def test_nothing_of_one_device_overtakes_what_it_said_before(table: Table) -> None:
    table.say("a", b"1")
    table.say("b", b"1")
    table.say("b", b"2")
    table.say("a", b"x" * (READ_BYTES_MAX + 1))
    assert [name for name, _ in table.acted] == ["a", "b", "b", "a"]
    assert [data for name, data in table.acted if name == "b"] == [b"1", b"2"]


@pytest.mark.parametrize("has_lane", [False, True])
def test_a_device_that_talks_alone_is_never_made_to_wait(clock: Clock, has_lane: bool) -> None:
    """It says the next scan once it has the answer to the last: waiting would halve its speed and bring no company."""
    table = Table(clock, Lane() if has_lane else None)
    for number in range(5):
        table.say("a", b"%d" % number)
        assert len(table.acted) == number + 1
        table.move(GATHER_S / 10)


def test_a_device_whose_company_went_is_alone_again(laned: Table) -> None:
    laned.keep_pace(200)
    laned.move(GATHER_S + 1e-6)
    laned.say("a")
    laned.move(GATHER_S)
    before = len(laned.acted)
    for number in range(5):
        laned.say("a")
        assert len(laned.acted) == before + number + 1
        laned.move(GATHER_S / 10)


def test_a_large_read_is_a_crowd_by_itself(table: Table) -> None:
    table.say("a", b"1")
    table.say("b", b"y" * (READ_BYTES_MAX + 1))
    assert [name for name, _ in table.acted] == ["a", "b"]


def test_opening_twice_acts_once_and_leaves_no_timer(table: Table) -> None:
    table.say("a", b"1")
    table.say("b", b"1")
    table.gathering.open()
    table.gathering.open()
    table.move(2 * GATHER_S)
    assert table.said == "a1 b1"
    assert not table.clock.due


def test_with_a_lane_nobody_wakes_up_for_what_waits(laned: Table) -> None:
    assert laned.lane is not None
    laned.keep_pace(200)
    laned.move(GATHER_S + 1e-6)
    before = len(laned.acted)
    for name in "ab":
        laned.say(name)
        laned.move(GATHER_S / 2)
    laned.move(1e-6)
    assert laned.lane.is_held
    for name in "cda":
        laned.say(name)
    assert len(laned.unheard) == 3
    laned.move(GATHER_S + 1e-6)
    assert laned.said.split()[before:] == ["a1", "b1", "c1", "d1", "a1"]


def test_a_lane_is_never_held_without_a_time_to_release_it(laned: Table) -> None:
    """Whatever happens: a lane that nobody releases is a listener that hears nothing."""
    assert laned.lane is not None
    rng = Random(7)
    for _ in range(20_000):
        laned.say(rng.choice("abcdef"), b"x" * rng.choice([1, 1, 1, 1, 1, READ_BYTES_MAX + 1]))
        if rng.random() < 0.1:
            laned.gathering.open()
        laned.move(rng.choice([0, 0, 0.0005, 0.004, GATHER_S, QUIET_S]))
        assert not laned.lane.is_held or laned.clock.due
    laned.move(1)
    laned.move(1)
    assert not laned.lane.is_held
    assert len(laned.acted) == 20_000


def test_large_reads_after_a_hold_are_not_piled_up(laned: Table) -> None:
    assert laned.lane is not None
    laned.keep_pace(200)
    while not laned.lane.is_held:
        laned.say("a")
        laned.say("b")
        laned.move(GATHER_S)
    before = len(laned.acted)
    laned.clock.move(GATHER_S)
    for number, name in enumerate("abcd", 1):
        laned.say(name, b"z" * (READ_BYTES_MAX + 1))
        assert len(laned.acted) == before + number


READS = 3


async def test_scans_taken_in_together_are_one_list_and_each_device_hears_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second device is refused, so what it hears must not be what its neighbours hear."""
    monkeypatch.setattr(mqtt_gathering, "CLOSE_S", 3600.0)
    monkeypatch.setattr(mqtt_gathering, "COMPANY", READS)
    shelf = Shelf()
    shelf.refuses = {"hh-2"}
    async with listening(shelf) as listener:
        peers = [await Peer.hello(listener.address[1], f"hh-{number}") for number in range(READS + 1)]
        peers[0].send(publish(1, device="hh-0"))
        await shelf.arrived(1)
        for number, peer in enumerate(peers[1:], 1):
            peer.send(publish(10 + number, scan_body(number), device=f"hh-{number}"))
        await shelf.arrived(1 + READS)
        assert [len(readings) for readings in shelf.lists] == [1, READS]
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
    monkeypatch.setattr(mqtt_gathering, "CLOSE_S", 3600.0)
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
