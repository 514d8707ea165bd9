"""One check: what was looked at, how it is, what shows it, and the one thing to do next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gateway.settings import Settings
from gateway.setup.trial import Tried
from sync import UpstreamSettings

State = Literal["ok", "notice", "warning", "failed", "unknown"]
"""ok: nothing to do. notice: worth knowing. warning: will be trouble. failed: is trouble. unknown: nobody could say."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's."""

    area: str
    subject: str
    state: State
    evidence: str
    action: str | None = None
    """The one thing to do next; None when there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Patient:
    """Everything the checks look at; whoever examines fills it."""

    config: Path
    settings: Settings | None
    """None when the file cannot be used."""
    problems: Sequence[str]
    storage: Path | None
    status: dict[str, Any] | None
    """What the daemon says; None when none answers."""
    silence: str
    """Why no daemon answered."""
    wall_ms: int
    is_synchronised: bool
    environ: dict[str, str] = field(default_factory=dict)
    try_upstream: Callable[[Settings, UpstreamSettings], Tried | None] = lambda *_: None
    """Has an upstream let us in, without an event; None: it is not tried."""
    try_broker: Callable[[Settings], Tried | None] = lambda *_: None
