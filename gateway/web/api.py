"""What people and programs may ask: status, events, quarantine; and the two things they may decide."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from functools import cache
from typing import Any, cast, get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from buffer import Entry, EntryFilter, QuarantineState
from gateway.event_json import as_event
from gateway.journey import as_json, journey
from gateway.report import Report
from gateway.web.auth import Caller, Role
from gateway.web.event_search import document_needle, needle, search
from gateway.web.guard import ApiError, read_action, require
from gateway.web.metrics import CONTENT_TYPE, exposition

EVENTS_MAX = 1000
SEQ_DIGITS_MAX = 18
"""What is longer is no sequence: SQLite holds 63 bits."""
_ACTOR = re.compile(r"[\w.@-]{1,63}")


class Queries:
    """The handlers, apart from the two ways in."""

    def __init__(self, report: Report) -> None:
        self._report = report

    async def healthz(self, request: Request) -> Response:
        """The process lives and its loop turns."""
        del request
        return PlainTextResponse("ok\n")

    async def readyz(self, request: Request) -> Response:
        """Scans are taken; else 503 and why."""
        del request
        reason = self._report.not_ready_because()
        return PlainTextResponse("ready\n") if reason is None else PlainTextResponse(f"{reason}\n", 503)

    async def metrics(self, request: Request) -> Response:
        """The numbers, for Prometheus."""
        require(request, "viewer")
        body = exposition(await self._report.status(), self._report.latency)
        return Response(body, headers={"Content-Type": CONTENT_TYPE})

    async def openapi(self, request: Request) -> Response:
        """What there is to ask, for programs."""
        require(request, "viewer")
        # Making it takes a hundred milliseconds once: not in the loop that takes scans.
        return Response(await self._report.aside(_description), media_type="application/json")

    async def status(self, request: Request) -> Response:
        """Everything."""
        require(request, "viewer")
        return JSONResponse((await self._report.status()).as_json())

    # -- events

    async def events(self, request: Request) -> Response:
        """A list of events, newest first; `?text=` anywhere in the event, `?document=`, `?before=` a sequence.

        A search by text reads a bounded number of events, and an answer has a bounded size; `next_before` then says
        where to go on, null at the end.
        """
        require(request, "viewer")
        asked = request.query_params
        wanted, given = event_filter(asked), asked.get("before")
        if asked.get("text") and asked.get("document"):
            raise ApiError(422, "wrong_value", 'a search is by "text" or by "document"')
        if asked.get("text"):
            wanted = replace(wanted, contains=needle(asked["text"]))
        elif asked.get("document"):
            wanted = replace(wanted, contains=document_needle(asked["document"]))
        before = None if given is None else number("before", given, 0, 2**62)
        entries, go_on = await search(self._report.outbox, wanted, before)
        body = await self._report.aside(lambda: _listed(entries, go_on))  # event by event, scans in between
        return Response(body, media_type="application/json")

    async def one_event(self, request: Request) -> Response:
        """One event, by id or sequence."""
        require(request, "viewer")
        return JSONResponse(as_event(await self._entry(request)))

    async def steps(self, request: Request) -> Response:
        """What became of one event, step by step, each with its time as far as that is kept."""
        require(request, "viewer")
        entry = await self._entry(request)
        found = as_event(entry)
        steps = journey(found, await self._report.outbox.settlements(entry.seq))
        return JSONResponse({**found, "steps": as_json(steps)})

    async def _entry(self, request: Request) -> Entry:
        wanted = request.path_params["id"]
        is_seq = wanted.isascii() and wanted.isdigit() and len(wanted) <= SEQ_DIGITS_MAX
        entry = await self._report.outbox.entry(int(wanted) if is_seq else wanted)
        if entry is None:
            raise ApiError(404, "event_unknown", "there is no such event here", hint="it may be past its retention")
        return entry

    # -- quarantine

    async def quarantine(self, request: Request) -> Response:
        """What upstreams would not take; `total` counts all that fit, `reasons` the twenty that most of them have."""
        require(request, "viewer")
        asked = request.query_params
        state = asked.get("state")
        if state is not None and state not in get_args(QuarantineState):
            raise ApiError(422, "wrong_value", f"state is one of {', '.join(get_args(QuarantineState))}")
        chosen: dict[str, Any] = {"state": cast("QuarantineState | None", state), "reason": asked.get("reason")}
        found = await self._report.outbox.quarantine_list(
            asked.get("upstream"),
            **chosen,
            after=number("after", asked.get("after"), 0),
            limit=number("limit", asked.get("limit"), 100, EVENTS_MAX),
        )
        total, reasons = await self._report.outbox.quarantine_reasons(asked.get("upstream"), **chosen)
        told = {"total": total, "reasons": [asdict(one) for one in reasons]}
        return JSONResponse({"quarantine": [asdict(one) for one in found], **told})

    async def one_quarantined(self, request: Request) -> Response:
        """One of them, with its event and what was done about it."""
        require(request, "viewer")
        seq = number("seq", request.path_params["seq"], 0)
        case = await self._report.outbox.quarantine_show(request.path_params["upstream"], seq)
        if case is None:
            raise ApiError(
                404,
                "not_quarantined",
                "this event is not in quarantine for that upstream",
                hint="dockline quarantine list",
            )
        history = [{**asdict(record), "chain": record.chain.hex()} for record in case.history]
        entry = as_event(case.entry) if case.entry is not None else None
        return JSONResponse({**asdict(case.quarantined), "event": entry, "history": history})

    async def retry(self, request: Request) -> Response:
        """Have quarantined events sent again. Body: `seqs`, `reason`; audited."""
        upstream, seqs, reason, actor = await self._action(request, "operator")
        await self._report.outbox.quarantine_retry(upstream, seqs, actor=actor, note=reason)
        self._report.nudge(upstream)
        return JSONResponse({"retried": seqs})

    async def discard(self, request: Request) -> Response:
        """Decide that an upstream never gets these events. Body: `seqs`, `reason`; audited."""
        upstream, seqs, reason, actor = await self._action(request, "technician")
        await self._report.outbox.quarantine_discard(upstream, seqs, actor=actor, note=reason)
        self._report.nudge(upstream)
        return JSONResponse({"discarded": seqs})

    async def acknowledge(self, request: Request) -> Response:
        """Note that somebody knows of an incident: the alarm ends. Body: `reason`; audited."""
        caller = require(request, "technician")
        asked = await read_action(request, {"reason": "text"})
        incident = number("number", request.path_params["number"], 0)
        if incident not in {one.number for one in await self._report.outbox.incidents(unacknowledged_only=True)}:
            raise ApiError(404, "incident_unknown", "there is no open incident of that number")
        note = str(asked["reason"]).strip()
        await self._report.outbox.acknowledge(incident, actor=actor_of(request, caller), note=note)
        return JSONResponse({"acknowledged": incident})

    async def _action(self, request: Request, role: Role) -> tuple[str, list[int], str, str]:
        caller = require(request, role)
        asked = await read_action(request, {"seqs": "numbers", "reason": "text"})
        seqs = sorted(set(cast("list[int]", asked["seqs"])))
        return request.path_params["upstream"], seqs, str(asked["reason"]).strip(), actor_of(request, caller)


@cache
def _description() -> bytes:
    from gateway.web.openapi import openapi

    return json.dumps(openapi(), ensure_ascii=False).encode()


def _listed(entries: Sequence[Entry], go_on: int | None) -> bytes:
    """Return a page of events as JSON."""
    shown = ",".join(json.dumps(as_event(entry), separators=(",", ":")) for entry in entries)
    return f'{{"events":[{shown}],"next_before":{json.dumps(go_on)}}}'.encode()


def actor_of(request: Request, caller: Caller) -> str:
    """Return who acts, for the audit; the command line may say for which user of this computer it runs."""
    user = request.headers.get("dockline-user", "")
    return f"{caller.name}:{user}" if caller.may_name and _ACTOR.fullmatch(user) else caller.name


def event_filter(asked: Any) -> EntryFilter:
    """Return the filter a query asks for; raise ApiError for one that makes no sense."""
    kind = asked.get("type")
    if kind is not None and "." not in kind:
        kind = f"dockline.{kind}.v1"
    return EntryFilter(
        type=kind,
        station=asked.get("station"),
        device=asked.get("device"),
        captured_from=moment("from", asked.get("from")),
        captured_before=moment("to", asked.get("to")),
        seq_from=number("after", asked.get("after"), 0) + 1,
        limit=number("limit", asked.get("limit"), 100, EVENTS_MAX),
    )


def number(name: str, text: str | None, default: int, highest: int = 2**62) -> int:
    """Return a number of a query; raise ApiError for anything else."""
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 20 or int(text) > highest:
        raise ApiError(422, "wrong_value", f'"{name}" is a number from 0 to {highest}')
    return int(text)


def moment(name: str, text: str | None) -> int | None:
    """Return a time of a query in milliseconds since 1970 UTC; raise ApiError for anything else."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text.replace(" ", "+"))
        milliseconds = int(found.timestamp() * 1000)
    except (ValueError, OverflowError):
        found = None
    if found is None or found.tzinfo is None:
        hint = "for example 2026-11-21T08:00:00Z"
        raise ApiError(422, "wrong_value", f'"{name}" is a time with its zone (RFC 3339)', hint=hint)
    return milliseconds
