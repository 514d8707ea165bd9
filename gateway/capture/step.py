"""The effects of one take, until its commit is known."""

from __future__ import annotations

import asyncio

from buffer.entry import Draft
from drivers.reading import Verdict
from gateway.capture.checks_port import Judged
from gateway.capture.event_cycle import EventCycle, Seal
from gateway.capture.station import Session

Key = tuple[str, str]
"""Device and its number for a message."""


class Step:
    """The effects of one take, until its commit is known."""

    __slots__ = (
        "answers", "cycles", "drafts", "future", "judged", "last", "redelivered", "seals", "sessions", "state", "waits",
    )  # fmt: skip

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.state: dict[str, bytes | None] = {}
        self.answers: dict[Key, tuple[bytes, Verdict]] = {}
        self.sessions: dict[str, Session] = {}
        self.last: dict[str, bytes] = {}
        self.cycles: dict[EventCycle, None] = {}
        self.seals: list[tuple[EventCycle, Seal]] = []
        self.judged: list[Judged] = []
        """What the checks found, in order."""
        self.future: asyncio.Future[None] | None = None
        self.waits: list[Step] = []
        """Steps of earlier takes whose commit must be known before this one answers."""
        self.redelivered = 0

    def adopt(self, judged: Judged) -> None:
        """Take over what the checks found: behind the event it is about."""
        self.judged.append(judged)
        self.drafts.extend(judged.drafts)
        for row in judged.state:
            self.state[row.key] = row.value
