"""A disk for a Modbus driver under test: what it emitted, what it may recall, and how storing goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Literal

from drivers import Reading, StorageUnavailable, Verdict

Mood = Literal["store", "unavailable", "stored-but-unknown", "refuse", "random"]


class Disk:
    """`emit` and `recall` of one device. A reading and the row it carries are stored together or not at all."""

    def __init__(self, rng: Random | None = None) -> None:
        self.mood: Mood = "store"
        self.stored: list[Reading] = []
        self.rows: dict[str, bytes] = {}
        self.tries = 0
        self._rng = rng or Random(0)
        self._changed = asyncio.Event()

    async def emit(self, readings: Sequence[Reading]) -> list[Verdict]:
        """Store, or behave as `mood` says."""
        assert readings
        self.tries += 1
        try:
            mood = self.mood
            if mood == "random":
                mood = self._rng.choice(["store", "unavailable", "stored-but-unknown"])
            if mood == "unavailable":
                raise StorageUnavailable("the disk is full")
            if mood == "refuse":
                return [Verdict("refused", reason="not configured") for _ in readings]
            self.stored += readings
            self.rows.update(
                {r.state_key: r.state for r in readings if r.state_key is not None and r.state is not None}
            )
            if mood == "stored-but-unknown":
                raise StorageUnavailable("the answer of the disk was lost")
            return [Verdict("stored") for _ in readings]
        finally:
            self._changed.set()

    def recall(self, key: str) -> bytes | None:
        """What is committed under a key."""
        return self.rows.get(key)

    def parts(self, name: str) -> int:
        """Parts counted of one point."""
        counts = (r.measurement for r in self.stored if r.kind == "count")
        return sum(int(m.value) for m in counts if m is not None and m.name == name)

    def values(self, name: str) -> list[str]:
        """Condition values of one point, in order."""
        found = (r.measurement for r in self.stored if r.kind == "condition")
        return [m.value for m in found if m is not None and m.name == name]

    def kinds(self) -> list[str]:
        """What kinds of readings were stored, in order."""
        return [r.kind for r in self.stored]

    def gaps(self) -> list[str]:
        """The reasons of the gaps."""
        return [r.reason or "" for r in self.stored if r.kind == "gap"]

    async def until(self, condition: object, what: str = "") -> None:
        """Return once `condition()` is true; looked at after every emit."""
        assert callable(condition)
        try:
            async with asyncio.timeout(60):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"did not happen: {what}; stored {self.stored}") from None
