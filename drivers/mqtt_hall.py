"""What the connections of one listener share: who is in, whose session is kept, how much is on its way to disk.

Theory of operation. Everything is bounded, and whoever reaches a bound pays for it alone:

- Connections. When all places are taken, one that has not yet proved who it is makes room for the next one: the oldest
  from where most of them come, so that neither a flood of silent sockets nor one of wrong passwords keeps a handheld
  out. When all are known devices, the newcomer is turned away.
- Bytes on their way to disk. A connection that brings more than its share is not read until the disk caught up.
- Sessions of devices that went away. Kept in memory, a limited number for a limited time, and for one device no more
  than it may have connections. Kept at all because a client that reconnects and is told "no session" has to forget the
  messages it was never answered (MQTT 5, 3.2.2.1.1).

What the connections bring while several have their turn (`Gathering`) is handed on as one list: a step, a commit and a
future for each of them would cost more than their scans.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from mqtt5 import DisconnectReasonCode as Reason

from drivers.contract import Emit
from drivers.mqtt_doorkeeper import Doorkeeper
from drivers.mqtt_gathering import Gathering
from drivers.mqtt_routes import Routes
from drivers.mqtt_settings import ListenerSettings
from drivers.mqtt_turns import origin_of
from drivers.mqtt_wire import WireFault
from drivers.reading import Reading, Verdict
from drivers.slow_lane import LaneSelector, running_lanes

_log = logging.getLogger(__name__)

SESSIONS_PER_CONNECTION_MAX: Final = 4
TOLD_PER_MINUTE_MAX: Final = 10
FIGHT: Final = 4
"""Take-overs of one session in a minute: nobody roams that often."""

SessionKey = tuple[str, str]
"""Device id and client id. Not the client id alone: a device could end another's session by using its client id."""


OnAnswer = Callable[[Sequence[Verdict], BaseException | None], None]
"""Told the verdicts of the readings that were handed on, or why there are none (a CancelledError: nobody waited)."""


class Guest(Protocol):
    """A connection as the hall sees it."""

    identity: str
    peer: object
    """Address of its socket."""

    def abort(self) -> None:
        """Close at once, saying nothing."""

    def breathe(self) -> None:
        """Something reached the disk; read on if that was what you waited for."""


@dataclass(slots=True)
class ListenerStats:
    """Counters since the listener was built. Every refusal has one."""

    connections_accepted: int = 0
    connections_refused: int = 0
    """Wrong password, no place, no MQTT 5, too slow to say who they are."""
    received: int = 0
    """Messages."""
    acknowledged: int = 0
    """Messages whose readings are on disk."""
    refused: int = 0
    """Messages of devices that are not configured."""
    foreign: int = 0
    """Messages on a topic that is not the sender's."""
    faults: int = 0
    """Connections ended because the peer broke the protocol."""
    oversize: int = 0
    """Connections ended because of a packet over the announced size."""
    slow_readers: int = 0
    """Connections ended because the device did not read its answers."""
    storage_refusals: int = 0
    """Connections ended without acknowledgement because storage was unavailable."""
    taken_over: int = 0
    """Connections ended because the same client connected again."""
    silent: int = 0
    """Connections ended because nothing was heard for one and a half times the keep-alive."""


@dataclass(slots=True)
class _KeptSession:
    subscriptions: set[str]
    expires_at: float


@dataclass(slots=True)
class Hall:
    """One run of the listener."""

    settings: ListenerSettings
    routes: Routes
    doorkeeper: Doorkeeper
    stats: ListenerStats
    emit: Emit
    on_fault: Callable[[BaseException], None]
    """Called with an error that ends the run: a programming error in `emit` must not be lost in a task."""
    guests: dict[Guest, None] = field(default_factory=dict)
    """Every open connection, oldest first."""
    strangers: dict[str, dict[Guest, None]] = field(default_factory=dict)
    """Those of them that have not proved who they are, oldest first, by where they come from."""
    seated: dict[SessionKey, Guest] = field(default_factory=dict)
    emits: set[asyncio.Future[list[Verdict]]] = field(default_factory=set)
    """Emits under way. They outlive their connection: a QoS 0 message may be followed by good-bye at once."""
    lanes: LaneSelector | None = field(default_factory=running_lanes)
    gathering: Gathering = field(init=False)
    bytes_held: int = 0
    is_closed: bool = False
    """Nobody gets in any more."""
    kept: dict[SessionKey, _KeptSession] = field(default_factory=dict)
    _told: dict[str, tuple[int, int]] = field(default_factory=dict)
    _taken: Counter[SessionKey] = field(default_factory=Counter)
    _taken_minute: int = 0
    """Take-overs in this minute."""
    _lane_fds: dict[Guest, int] = field(default_factory=dict)
    """Sockets in the slow lane, by number: when they leave it, TLS may have closed them already."""
    _joined: list[tuple[list[Reading], OnAnswer]] = field(default_factory=list)
    """What was brought in the turn under way."""

    def __post_init__(self) -> None:
        self.gathering = Gathering(lane=self.lanes)
        self.gathering.on_acted = self._hand_on_joined

    def enter(self, guest: Guest) -> bool:
        """Give a new connection a place; False when there is none."""
        if self.is_closed:
            return False
        if len(self.guests) >= self.settings.connections_max:
            crowd = max(self.strangers.values(), key=len, default=None)
            oldest = next(iter(crowd)) if crowd else None
            self.stats.connections_refused += 1
            self.tell("connection_refused", 'reason="all places are taken" places=%d', self.settings.connections_max)
            if oldest is None:
                return False
            self.leave(oldest)
            oldest.abort()
        self.guests[guest] = None
        self.strangers.setdefault(origin_of(guest.peer), {})[guest] = None
        return True

    def leave(self, guest: Guest) -> None:
        """Forget a connection, before its socket is closed."""
        self.guests.pop(guest, None)
        self._is_no_stranger(guest)
        if self.lanes is not None and (fd := self._lane_fds.pop(guest, None)) is not None:
            self.lanes.leave(fd)

    def _is_no_stranger(self, guest: Guest) -> None:
        origin = origin_of(guest.peer)
        crowd = self.strangers.get(origin)
        if crowd is not None:
            crowd.pop(guest, None)
            if not crowd:
                del self.strangers[origin]

    def take_slow_lane(self, guest: Guest, transport: asyncio.BaseTransport) -> None:
        """Nobody need wake up any more for a read of this connection that would have to wait for company."""
        wire = transport.get_extra_info("socket")
        if self.lanes is not None and wire is not None:
            self._lane_fds[guest] = wire.fileno()
            self.lanes.join(wire.fileno())

    def is_crowded(self, key: SessionKey) -> bool:
        """True when this device has as many connections as it may and the new one would be one more."""
        mine = sum(identity == key[0] for identity, _ in self.seated)
        return key not in self.seated and mine >= self.settings.connections_per_device_max

    def seat(self, key: SessionKey, guest: Guest) -> Guest | None:
        """The device is known: return its earlier connection with this client id, which it takes over."""
        self._is_no_stranger(guest)
        earlier = self.seated.get(key)
        self.seated[key] = guest
        return earlier

    def unseat(self, key: SessionKey, guest: Guest) -> None:
        """The connection of this session ended, unless another took it over."""
        if self.seated.get(key) is guest:
            del self.seated[key]

    def keep_session(self, key: SessionKey, subscriptions: set[str], expiry_s: int, now: float) -> None:
        """Remember a session for when its device comes back."""
        self.kept.pop(key, None)
        if not expiry_s:
            return
        # One that makes up client ids pushes out sessions of its own, not those of others.
        mine = [one for one in self.kept if one[0] == key[0]]
        if len(mine) >= self.settings.connections_per_device_max:
            del self.kept[mine[0]]
        if len(self.kept) >= self.settings.connections_max * SESSIONS_PER_CONNECTION_MAX:
            del self.kept[next(iter(self.kept))]
        self.kept[key] = _KeptSession(subscriptions, now + expiry_s)

    def resume_session(self, key: SessionKey, now: float) -> set[str] | None:
        """Return the subscriptions of a kept session and forget it; None when there is none."""
        session = self.kept.pop(key, None)
        return session.subscriptions if session is not None and session.expires_at > now else None

    def hold(self, size: int) -> None:
        """Bytes went on their way to disk."""
        self.bytes_held += size

    def release(self, size: int) -> None:
        """They arrived, or never will."""
        was_full = self.is_full
        self.bytes_held -= size
        if was_full and not self.is_full:
            for guest in list(self.guests):
                guest.breathe()

    @property
    def is_full(self) -> bool:
        """True while nobody should bring more."""
        return self.bytes_held > self.settings.in_flight_bytes_max

    def hand_on(self, readings: list[Reading], on_answer: OnAnswer) -> None:
        """Have readings stored and `on_answer` told."""
        if self.gathering.is_acting:
            self._joined.append((readings, on_answer))
        else:
            self._emit([(readings, on_answer)])

    def _hand_on_joined(self) -> None:
        joined, self._joined = self._joined, []
        if joined:
            self._emit(joined)

    def _emit(self, parts: Sequence[tuple[list[Reading], OnAnswer]]) -> None:
        readings = parts[0][0] if len(parts) == 1 else [reading for part, _ in parts for reading in part]
        answer = asyncio.ensure_future(self.emit(readings))
        self.emits.add(answer)
        answer.add_done_callback(partial(self._answered, parts))

    def _answered(self, parts: Sequence[tuple[list[Reading], OnAnswer]], answer: asyncio.Future[list[Verdict]]) -> None:
        self.emits.discard(answer)
        error = asyncio.CancelledError() if answer.cancelled() else answer.exception()
        verdicts: Sequence[Verdict] = () if error is not None else answer.result()
        end = 0
        for readings, on_answer in parts:
            first, end = end, end + len(readings)
            on_answer(verdicts if len(parts) == 1 else verdicts[first:end], error)

    def tell(self, event: str, form: str, *values: object) -> None:
        """Log what strangers can cause, a few times a minute and kind at most: a flood must not fill the disk."""
        minute = int(asyncio.get_running_loop().time() // 60)
        last, count = self._told.get(event, (minute, 0))
        count = count + 1 if last == minute else 1
        self._told[event] = (minute, count)
        if count <= TOLD_PER_MINUTE_MAX:
            _log.warning(f"%s {form}", event, *values)

    def note_taken_over(self, key: SessionKey, earlier: object, peer: object) -> None:
        """A connection took over the session of an earlier one: a device that roams does, now and then."""
        self.stats.taken_over += 1
        minute = int(asyncio.get_running_loop().time() // 60)
        if minute != self._taken_minute:
            self._taken_minute = minute
            self._taken.clear()
        self._taken[key] += 1
        if self._taken[key] == FIGHT:
            form = "device_id=%s client_id=%r peer=%s other=%s hint=%r"
            self.tell("session_contested", form, key[0], key[1][:80], peer, earlier, "two devices with one client id?")

    def note_fault(self, fault: WireFault, identity: str, peer: object) -> None:
        """A peer broke the protocol."""
        self.stats.faults += 1
        self.stats.oversize += fault.reason is Reason.PACKET_TOO_LARGE
        self.tell("protocol_broken", "device_id=%r peer=%s reason=%r", identity, peer, str(fault))

    def note_foreign(self, topics: Sequence[str], identity: str) -> None:
        """A device published on topics that are not its own."""
        self.stats.foreign += len(topics)
        self.tell("foreign_topic_refused", "device_id=%s topic=%r", identity, topics[0][:120])

    async def wait_for_emits(self, within_s: float) -> None:
        """Wait until what is on its way to disk has arrived, but not longer than this; then give up on the rest."""
        if self.emits:
            await asyncio.wait(self.emits, timeout=within_s)
        for emit in self.emits:
            emit.cancel()
