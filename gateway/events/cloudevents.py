"""The envelope: event ids, and events as bytes.

Theory of operation. An event is encoded once, at capture, and its bytes are stored, hashed, joined into batches and
delivered; they are never encoded again. All but a few of them are the same for every scan of one station and type, so
a `Template` holds that text ready and `encode` joins it with what varies. Every text that came from outside goes
through `quote`, which alone decides what is valid JSON; `gateway.events.model` states what is valid content, and a
property test holds both against every encoded event.

Measured here for a pick of 740 bytes: joining 0.9 us, `pydantic_core.to_json` of a plain dict 1.9 us plus 1 us to build
the dict, a pydantic model 7 us.

Ids are UUIDv7 (RFC 9562 section 5.7): 48 bits of milliseconds, 12 random bits, 62 bits of a counter that starts at
random in each millisecond (section 6.2, method 2). A clock that is set back does not move them back: the last
millisecond stays until the clock has passed it.
"""

from __future__ import annotations

import json.encoder
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from gateway.events.model import event_type, schema_urn

_TOP_BITS: Final = 14
_LOW_BITS: Final = 48
"""The counter in the two groups that the text has of it."""
_VARIANT: Final = 0b10 << _TOP_BITS
_BEFORE_EVERYTHING_MS: Final = -(1 << 62)
"""Below any clock, also one that was set to before 1970: else a new process would make ids without chance in them."""

quote: Final[Callable[[str], str]] = json.encoder.encode_basestring
"""Return a text as a JSON string. Other than ASCII stays readable; `Template.encode` has the last word on what UTF-8
cannot carry. C, 0.1 us, and called for every text of every event: hence the function itself and no wrapper."""


def part(name: str, text: str) -> str:
    """Return one member of an object with its comma."""
    return f',"{name}":{quote(text)}'


def instant(ms: int) -> str:
    """Return milliseconds since 1970 UTC as RFC 3339."""
    seconds, rest = divmod(ms, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=8)
def _second(seconds: int) -> str:
    """Kept, because many scans share a second and formatting one costs as much as the rest of the envelope."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def enveloped(name: str, event_id: str, *, source: str, subject: str, time: str, data: str) -> bytes:
    """Return an event of the gateway's own as UTF-8 JSON; `data` is its data as JSON. For what is not on the path of
    every scan."""
    text = (
        f'{{"specversion":"1.0","type":"{event_type(name)}","source":{quote(source)},"subject":{quote(subject)},'
        f'"datacontenttype":"application/json","dataschema":"{schema_urn(name)}","id":"{event_id}","time":"{time}",'
        f'"data":{data}}}'
    )
    return text.encode("utf-8", "replace")


class EventIds:
    """Makes event ids; each call returns a greater one."""

    def __init__(self, wall: Callable[[], int], rng: random.Random) -> None:
        """`wall` gives milliseconds since 1970 UTC. `rng` must differ between two gateways and two starts: the daemon
        hands in the system's source, a simulation a seeded one."""
        self._wall = wall
        self._rng = rng
        self._ms = _BEFORE_EVERYTHING_MS
        self._stamp = self._head = ""
        self._top = self._low = 0

    def __call__(self, ms: int | None = None) -> str:
        """Return the next id. `ms` is the wall clock when the caller has just read it."""
        if ms is None:
            ms = self._wall()
        if ms > self._ms:
            self._begin(ms)
        else:
            self._low += 1
            if self._low >> _LOW_BITS:
                self._carry()
        return f"{self._head}{self._low:012x}"

    def _begin(self, ms: int) -> None:
        self._ms = ms
        stamp = f"{ms & 0xFFFFFFFFFFFF:012x}"
        self._stamp = f"{stamp[:8]}-{stamp[8:]}-7{self._rng.getrandbits(12):03x}-"
        counter = self._rng.getrandbits(_TOP_BITS + _LOW_BITS - 1)  # top bit clear: room to count
        self._top, self._low = counter >> _LOW_BITS, counter & ((1 << _LOW_BITS) - 1)
        self._head = f"{self._stamp}{_VARIANT | self._top:04x}-"

    def _carry(self) -> None:
        self._top, self._low = self._top + 1, 0
        if self._top >> _TOP_BITS:
            self._begin(self._ms + 1)
        else:
            self._head = f"{self._stamp}{_VARIANT | self._top:04x}-"


class Template:
    """The constant text of one event type at one station."""

    __slots__ = ("_head", "_middle", "type")

    def __init__(self, name: str, *, source: str, subject: str, constants: Mapping[str, str | None]) -> None:
        """`name` is the event name ("pick"), `constants` are members of `data`; None leaves one out."""
        self.type = event_type(name)
        self._head = (
            f'{{"specversion":"1.0","type":"{self.type}","source":{quote(source)},"subject":{quote(subject)},'
            f'"datacontenttype":"application/json","dataschema":"{schema_urn(name)}","id":"'
        )
        members = ",".join(f'"{key}":{quote(value)}' for key, value in constants.items() if value is not None)
        self._middle = f'","data":{{{members},"occurred_at":"'

    def encode(self, event_id: str, occurred_at: str, captured: str, device: str, parts: str) -> bytes:
        """Return the event as UTF-8 JSON.

        `occurred_at` is RFC 3339. The others are members of `data` as JSON, each with a comma before it: `captured`
        those that one take has in common, `device` the device, `parts` the rest.
        """
        text = f'{self._head}{event_id}","time":"{occurred_at}{self._middle}{occurred_at}"{captured}{device}{parts}}}}}'
        try:
            return text.encode()
        except UnicodeEncodeError:
            # A lone surrogate, from a JSON escape: no consumer could read it. It becomes "?", which can only stand
            # inside a string, so this is still JSON; evidence that holds one is kept as bytes.
            return text.encode("utf-8", "replace")
