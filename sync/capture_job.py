"""What a repository says about a capture job (EPCIS 2.0 REST bindings, `/capture/{captureID}`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sync.answer import Answer
from sync.errors import NotAnAnswer

REASON_CHARS_MAX = 300


class JobState(Enum):
    """Where a job is. `success` means nothing while it is running: so far nothing failed."""

    RUNNING = "running"
    STORED = "stored"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CaptureJob:
    """One answer about a job."""

    state: JobState
    reason: str = ""
    """Why it failed, one printable line."""
    is_known: bool = False
    """It failed for nothing but ids that the repository has already."""
    is_theirs: bool = False
    """It failed for a fault of the repository (5xx): no event is to blame, and it is tried again."""


def read_job(answer: Answer) -> CaptureJob:
    """Return what a 200 says about the job. Raises NotAnAnswer when it says nothing about one."""
    told = _parse(answer)
    if told is None:
        raise NotAnAnswer(
            "what answers says nothing about a capture job",
            hint="something between us and the repository answers; is there a portal or a proxy?",
        )
    if told["running"]:
        return CaptureJob(JobState.RUNNING)
    if told["success"]:
        return CaptureJob(JobState.STORED)
    errors = [one for one in told.get("errors") or [] if isinstance(one, dict)]
    statuses = {one.get("status") for one in errors}
    is_theirs = bool(statuses) and all(isinstance(status, int) and status >= 500 for status in statuses)
    return CaptureJob(JobState.FAILED, _reason(errors), statuses == {409}, is_theirs)


def _parse(answer: Answer) -> dict[str, Any] | None:
    if answer.is_cut:
        return None
    try:
        told = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or not all(isinstance(told.get(name), bool) for name in ("running", "success")):
        return None
    return told if isinstance(told.get("errors"), list | None) else None


def _reason(errors: list[dict[str, Any]]) -> str:
    """Return the first error in a line: it comes from outside and ends up in logs and terminals."""
    parts = [str(one[name]) for one in errors[:1] for name in ("title", "detail", "type") if one.get(name)]
    text = ": ".join(dict.fromkeys(parts)) or "it does not say why"
    text = "".join(char if char.isprintable() else " " for char in text[: 2 * REASON_CHARS_MAX])
    return " ".join(text.split())[:REASON_CHARS_MAX]
