"""The capture interface of a simulated EPCIS 2.0 repository: documents in, capture jobs out, and what can go wrong.

Written from the published REST bindings, without the gateway's own code. Events go into the centre's ledger under their
eventID; an error declaration repeats an id on purpose, so it is kept apart from the event it corrects. Acts of the
script spoil the POSTs; `job_*` acts spoil the job of a POST. A job says that it runs for `polls` questions.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from simulators.centre_http import Reply, Request
from simulators.centre_ledger import CentreLedger

CAPTURE_PATH = "/capture"
_JSON = {"Content-Type": "application/json"}
_PROBLEM = {"Content-Type": "application/problem+json"}
_EVENT_TYPES = ("ObjectEvent", "AggregationEvent", "TransactionEvent", "TransformationEvent", "AssociationEvent")
_NAMESPACE = "dockline:"
_IDS = ("urn:uuid:", "urn:dockline:event:")

JOB_ACTS = ("job_fails", "job_lost", "job_runs", "job_broken")
"""job_fails: ends without success and stores nothing. job_lost: stores, and 404 when asked for. job_runs: stores, and
never ends. job_broken: stores, and answers 503 the first time it is asked for."""


@dataclass(slots=True)
class CapturePolicy:
    """What the repository insists on. May be changed while it runs."""

    events_max: int | None = None
    bytes_max: int | None = None
    announces: bool = True
    """Say the limits in headers; else only 413 tells."""
    polls: int = 1
    """Questions a job answers with "running" before it ends."""
    behaviour: Literal["rollback", "proceed"] = "rollback"
    refuses_known: bool = False
    """Fail a capture of an eventID it has, also for an error declaration: a naive repository."""


@dataclass(slots=True)
class _Job:
    polls_left: int
    success: bool
    errors: list[dict[str, Any]]
    is_lost: bool = False
    is_broken: bool = False


class EpcisEndpoint:
    """Captures into a ledger."""

    def __init__(self, ledger: CentreLedger, policy: CapturePolicy) -> None:
        self._ledger = ledger
        self.policy = policy
        self.documents: list[dict[str, Any]] = []
        """Every document that was taken, in order."""
        self.questions = 0
        """How often a job was asked for."""
        self._jobs: dict[str, _Job] = {}

    def describe(self) -> Reply:
        """Answer OPTIONS."""
        return Reply(204, headers=self._headers())

    def capture(self, request: Request, is_poison: Callable[[dict[str, Any]], bool], act: str | None) -> Reply:
        """Answer a POST. Raises ValueError, KeyError, TypeError when it is no EPCIS document."""
        policy = self.policy
        if policy.bytes_max is not None and request.body_length > policy.bytes_max:
            return Reply(413, headers=self._headers())
        document = json.loads(request.body)
        events = _events_of(document)
        if policy.events_max is not None and len(events) > policy.events_max:
            return Reply(413, headers=self._headers())
        known = [event for event in events if policy.refuses_known and _event_id(event) in self._ledger.by_id]
        bad = [event for event in events if is_poison(event)]
        errors = [_problem(409, "an event with this id exists")] * len(known) + [_problem(400, "not acceptable")] * len(
            bad
        )
        if act == "job_fails":
            errors.append(_problem(500, "the capture failed"))
        self.documents.append(document)
        if not errors or policy.behaviour == "proceed":
            for event in events:
                if event not in bad and event not in known:
                    self._ledger.take(_record(event))
        polls = 1_000_000 if act == "job_runs" else policy.polls
        name = f"job-{len(self.documents)}"
        self._jobs[name] = _Job(polls, not errors, errors, act == "job_lost", act == "job_broken")
        return Reply(202, headers={**self._headers(), "Location": f"{CAPTURE_PATH}/{name}"})

    def job(self, path: str) -> Reply:
        """Answer a question about a job."""
        self.questions += 1
        job = self._jobs.get(path.removeprefix(f"{CAPTURE_PATH}/"))
        if job is None or job.is_lost:
            return Reply(404, headers=_PROBLEM)
        if job.is_broken:
            job.is_broken = False
            return Reply(503)
        is_running = job.polls_left > 0
        job.polls_left -= 1
        told = {
            "captureID": path.rpartition("/")[2],
            "running": is_running,
            "success": True if is_running else job.success,
            "captureErrorBehaviour": self.policy.behaviour,
            "errors": [] if is_running else job.errors,
        }
        return Reply(200, json.dumps(told).encode(), _JSON)

    def _headers(self) -> dict[str, str]:
        policy = self.policy
        headers = {"GS1-EPCIS-Version": "2.0.0", "GS1-Capture-Error-Behaviour": policy.behaviour}
        if policy.announces and policy.events_max is not None:
            headers["GS1-EPCIS-Capture-Limit"] = str(policy.events_max)
        if policy.announces and policy.bytes_max is not None:
            headers["GS1-EPCIS-Capture-File-Size-Limit"] = str(policy.bytes_max)
        return headers


def _events_of(document: Any) -> list[dict[str, Any]]:
    """Return the events, refusing what a strict repository would: wrong envelope, missing required members."""
    if document["type"] != "EPCISDocument" or document["schemaVersion"] != "2.0" or not document["creationDate"]:
        raise ValueError("not an EPCIS 2.0 document")
    if not any("epcis-context.jsonld" in str(one) for one in document["@context"]):
        raise ValueError("the JSON-LD context of the standard is missing")
    events = document["epcisBody"]["eventList"]
    for event in events:
        if event["type"] not in _EVENT_TYPES or not event["eventTime"] or not event["eventTimeZoneOffset"]:
            raise ValueError(f"{event.get('eventID')} is no EPCIS event")
    return list(events)


def _event_id(event: dict[str, Any]) -> str:
    event_id = str(event["eventID"])
    for head in _IDS:
        event_id = event_id.removeprefix(head)
    return event_id


def _record(event: dict[str, Any]) -> dict[str, Any]:
    """Return the event as the ledger writes it down: by its id, with the place its source gave it."""
    declaration = event.get("errorDeclaration")
    told = event
    if declaration is not None:
        told = {f"{_NAMESPACE}event": declaration[f"{_NAMESPACE}void"]}
    place = told[f"{_NAMESPACE}event"]
    return {
        "id": _event_id(event) + ("#error" if declaration is not None else ""),
        "source": place[f"{_NAMESPACE}source"],
        "sequence": place[f"{_NAMESPACE}sequence"],
        "type": place[f"{_NAMESPACE}type"],
        # A gap record says of a run where it begins.
        "data": {"reason": _reason_of(event), **_first_of(event), "epcis": event},
    }


def _reason_of(event: dict[str, Any]) -> str | None:
    """Return what a gap record says; a report has it in words."""
    reports = [report for element in event.get("sensorElementList", ()) for report in element["sensorReport"]]
    return next((str(report["stringValue"]) for report in reports if "stringValue" in report), None)


def _first_of(event: dict[str, Any]) -> dict[str, Any]:
    first = event.get(f"{_NAMESPACE}first_sequence")
    return {} if first is None else {"first_sequence": first}


def _problem(status: int, title: str) -> dict[str, Any]:
    return {"type": "epcisException:ValidationException", "title": title, "status": status}
