"""The driver contract.

1. A driver is built from its own frozen settings; building touches no device.
2. `run` ends by raising: `LinkLost` (try again), `DeviceFault` (a person is needed), or cancellation. It never
   retries and never sleeps to recover: the supervisor does.
3. `await emit(readings)` returns when the readings are on disk. The device is acknowledged after it, with the verdict.
4. If `emit` raises `StorageUnavailable` the driver withholds the acknowledgement (NAK where the wire has one).
5. Back-pressure is `emit` not returning. A driver keeps no unbounded queue; many emits may be in flight.
6. A frame whose start was not seen is not a frame: a link may open mid-frame.
7. A device's own message number goes to `Reading.message_id`.
8. Parsing is sans-IO and testable with bytes alone.
9. An ability beyond reading is a one-method Protocol of its own.

    DriverError
    |- LinkLost            the wire; the supervisor reopens it
    |- DeviceFault         the device or its settings; a person is needed, the supervisor still retries, slowly
    StorageUnavailable     us; no acknowledgement
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

from drivers.reading import Reading, Verdict


class DriverError(Exception):
    """A driver could not go on."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        """What a technician can do about it."""


class LinkLost(DriverError):
    """The wire to the device broke or could not be opened; trying again may help."""

    def __init__(self, message: str, *, hint: str | None = None, reopens_at_once: bool = False) -> None:
        """`reopens_at_once`: there is nothing to be patient with. We only listen again for who comes by itself."""
        super().__init__(message, hint=hint)
        self.reopens_at_once = reopens_at_once


class DeviceFault(DriverError):
    """The device answers, but wrongly, or refuses us; a person has to look."""


class StorageUnavailable(Exception):
    """The readings are not on disk, or it is unknown whether they are. Do not acknowledge."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def os_words(error: OSError) -> str:
    """Return what the system says, without the library's own words: "Connection refused"."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)


Emit = Callable[[Sequence[Reading]], Awaitable[list[Verdict]]]
"""Hand on readings; returns one verdict a reading, in order, when they are on disk. Raises StorageUnavailable."""


class Driver(Protocol):
    """One link to one or several devices."""

    async def run(self, emit: Emit) -> None:
        """Read until the link is lost. Never returns normally."""


@runtime_checkable
class Complains(Protocol):
    """Can say what is wrong although its link is up: one of several slaves does not answer."""

    def complaints(self) -> Sequence[str]:
        """Return what lasts, a line each, for a person; nothing when all is well."""


@runtime_checkable
class FollowsFiles(Protocol):
    """Reads its passwords and certificates again when they change, and can say which of them it cannot use."""

    def refused_files(self) -> Sequence[str]:
        """Return a line for each, for a person; nothing when all is well."""


@runtime_checkable
class Hears(Protocol):
    """Can say when its device last sent anything, understood or not: a wrong baud rate is heard and not understood."""

    def last_byte(self) -> float | None:
        """Return the time of the running event loop (monotonic, seconds); None when nothing came on this link."""


@runtime_checkable
class Probes(Protocol):
    """Can say whether its device is reachable without reading from it."""

    async def probe(self) -> str:
        """Return one line for a person; raise LinkLost or DeviceFault."""
