"""Replays over the API: how many events, begin, look, end.

POST /v1/replay               {"upstream", "reason", and any of "from_sequence", "to_sequence", "from", "to", "type",
                              "station", "device", "events_per_s", "dry_run"}   role operator
GET  /v1/replay               those that run and the last that are over
GET  /v1/replay/{id}          one; ?wait= seconds answers when it has gone on
POST /v1/replay/{id}/cancel   {"reason": ".."}   role operator
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from buffer import EntryFilter
from gateway.replays import ReplayRefused, Replays
from gateway.report import Report
from gateway.web.api import actor_of, moment, number
from gateway.web.guard import ApiError, is_text, read_action, read_body, require, require_json
from sync import ReplayState

EVENTS_PER_S = 200.0
EVENTS_PER_S_MAX = 10_000.0
WAIT_S_MAX = 10
_TEXTS = ("upstream", "reason", "from", "to", "type", "station", "device")
_NUMBERS = ("from_sequence", "to_sequence", "events_per_s")


class ReplayDesk:
    """The handlers."""

    def __init__(self, report: Report) -> None:
        self._report = report

    @property
    def _replays(self) -> Replays:
        return self._report.replays

    async def begin(self, request: Request) -> Response:
        """Begin a replay; with `dry_run` only count."""
        caller = require(request, "operator")
        asked = await _read_order(request)
        wanted = _filter_of(asked)
        if asked.get("dry_run"):
            configured = {one.name for one, _ in self._report.deliveries.states()}
            if asked.get("upstream", "") not in {"", *configured}:
                raise ApiError(409, "replay_refused", f"no upstream {asked['upstream']!r} is configured")
            tally = await self._report.outbox.tally(wanted)
            return JSONResponse({"count": tally.count, "first": tally.first, "last": tally.last})
        rate = float(asked.get("events_per_s", EVENTS_PER_S))
        try:
            state = await self._replays.order(
                asked["upstream"],
                wanted,
                events_per_s=rate,
                actor=actor_of(request, caller),
                reason=asked["reason"].strip(),
            )
        except ReplayRefused as error:
            raise ApiError(409, "replay_refused", str(error)) from None
        return JSONResponse(as_json(state), 202)

    async def list(self, request: Request) -> Response:
        """Every replay that is known."""
        require(request, "viewer")
        return JSONResponse({"replays": [as_json(state) for state in self._replays.states()]})

    async def one(self, request: Request) -> Response:
        """One replay."""
        require(request, "viewer")
        id_ = request.path_params["id"]
        await self._replays.changed(id_, number("wait", request.query_params.get("wait"), 0, WAIT_S_MAX))
        return JSONResponse(as_json(self._find(id_)))

    async def cancel(self, request: Request) -> Response:
        """End a replay where it is."""
        caller = require(request, "operator")
        asked = await read_action(request, {"reason": "text"})
        id_ = request.path_params["id"]
        if not await self._replays.cancel(id_, actor=actor_of(request, caller), reason=asked["reason"].strip()):
            raise ApiError(409, "replay_over", f"replay {self._find(id_).order.id} does not run")
        return JSONResponse(as_json(self._find(id_)))

    def _find(self, id_: str) -> ReplayState:
        state = self._replays.find(id_)
        if state is None:
            raise ApiError(404, "replay_unknown", "there is no such replay")
        return state


async def _read_order(request: Request) -> dict[str, Any]:
    require_json(request)
    try:
        found = json.loads(await read_body(request, 64 * 1024))
    except (ValueError, RecursionError):
        raise ApiError(400, "not_json", "the body is not JSON") from None
    if not isinstance(found, dict) or set(found) - {*_TEXTS, *_NUMBERS, "dry_run"}:
        raise ApiError(422, "wrong_keys", f"the body is an object with {', '.join((*_TEXTS, *_NUMBERS, 'dry_run'))}")
    for key in _TEXTS:
        value = found.get(key)
        is_needed = key in {"upstream", "reason"} and not found.get("dry_run")
        if (value is not None or is_needed) and not is_text(value):
            raise ApiError(422, "wrong_value", f'"{key}" is a text of 1 to 500 characters')
    for key in _NUMBERS:
        value = found.get(key, 1)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**62:
            raise ApiError(422, "wrong_value", f'"{key}" is a whole number from 1')
    if found.get("events_per_s", 1) > EVENTS_PER_S_MAX:
        raise ApiError(422, "wrong_value", f'"events_per_s" is at most {EVENTS_PER_S_MAX:.0f}')
    if not isinstance(found.get("dry_run", False), bool):
        raise ApiError(422, "wrong_value", '"dry_run" is true or false')
    return found


def _filter_of(asked: dict[str, Any]) -> EntryFilter:
    kind = asked.get("type")
    wanted = EntryFilter(
        type=f"dockline.{kind}.v1" if kind is not None and "." not in kind else kind,
        station=asked.get("station"),
        device=asked.get("device"),
        captured_from=moment("from", asked.get("from")),
        captured_before=moment("to", asked.get("to")),
        seq_from=asked.get("from_sequence", 1),
    )
    return replace(wanted, seq_to=asked["to_sequence"]) if "to_sequence" in asked else wanted


def as_json(state: ReplayState) -> dict[str, object]:
    """Return what the API shows of a replay."""
    order = state.order
    return {
        "id": order.id,
        "upstream": order.upstream,
        "actor": order.actor,
        "reason": order.reason,
        "events_per_s": order.events_per_s,
        "total": order.total,
        "status": state.status,
        "through": state.through,
        "done": state.done,
        "accepted": state.accepted,
        "rejected": state.rejected,
        "unconfirmed": state.unconfirmed,
        "left_out": state.left_out,
        "note": state.note,
    }
