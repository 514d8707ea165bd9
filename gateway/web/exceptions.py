"""Exceptions over the local API: what is open, and what people decide about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.checks.desk import ChecksDesk, Refused
from gateway.checks.docket import PAGE_ROWS
from gateway.checks.exception import Case
from gateway.checks.summary import is_late
from gateway.events.finding import ExceptionState
from gateway.report import Report
from gateway.web.api import actor_of, number
from gateway.web.expectations import refusal
from gateway.web.guard import ApiError, read_action, require

LISTED_MAX = 1000
STATES = ("unresolved", "all", "overdue", *get_args(ExceptionState))


class ExceptionsApi:
    """The handlers."""

    def __init__(self, report: Report) -> None:
        self._report = report

    @property
    def _desk(self) -> ChecksDesk:
        return self._report.checks.desk

    async def list(self, request: Request) -> Response:
        """Exceptions, oldest first. ?state= unresolved (or all, overdue, or one), ?code= ?owner= ?document= ?limit=

        `total` and `overdue` count all that fit; `next_after` is what ?after= goes on behind, null at the end.
        """
        require(request, "viewer")
        asked = request.query_params
        state = asked.get("state", "unresolved")
        if state not in STATES:
            raise ApiError(422, "wrong_value", f"state is one of {', '.join(STATES)}")
        limit, after = number("limit", asked.get("limit"), LISTED_MAX, LISTED_MAX), asked.get("after", "")
        now_ms = self._report.outbox.operating_ms
        shown: list[dict[str, Any]] = []
        total = late = 0
        is_more = False
        for page in self._pages(state):
            for case in page:
                if not _fits(case, asked, state, now_ms):
                    continue
                total += 1
                late += is_late(case, now_ms)
                if case.id <= after:
                    continue
                if len(shown) < limit:
                    shown.append(as_json(case, now_ms))
                else:
                    is_more = True
            await self._report.pause(0)  # there may be tens of thousands, and scans want their turn
        go_on = shown[-1]["exception"] if is_more and shown else None
        return JSONResponse({"exceptions": shown, "total": total, "overdue": late, "next_after": go_on})

    def _pages(self, state: str) -> Iterable[Sequence[Case]]:
        """Yield those that may be in that state, oldest first; only what is resolved is not in memory."""
        docket = self._report.checks.checker.docket
        if state in ("all", "resolved"):
            return docket.pages()
        cases = docket.open_cases()
        return (cases[at : at + PAGE_ROWS] for at in range(0, len(cases), PAGE_ROWS))

    async def one(self, request: Request) -> Response:
        """One exception with its evidence."""
        require(request, "viewer")
        try:
            case = self._desk.case(request.path_params["id"])
        except Refused as refused:
            raise refusal(refused) from None
        return JSONResponse(as_json(case, self._report.outbox.operating_ms, whole=True))

    async def acknowledge(self, request: Request) -> Response:
        """Somebody looks after it. Body: `reason`. Role operator."""
        caller = require(request, "operator")
        asked = await read_action(request, {"reason": "text"})
        actor = actor_of(request, caller)
        try:
            case = await self._desk.acknowledge(request.path_params["id"], actor=actor)
        except Refused as refused:
            raise refusal(refused) from None
        await self._note("exception_acknowledged", actor, case, str(asked["reason"]))
        return JSONResponse(as_json(case, self._report.outbox.operating_ms))

    async def resolve(self, request: Request) -> Response:
        """It is decided. Body: `resolution`, in words. Role operator."""
        caller = require(request, "operator")
        asked = await read_action(request, {"resolution": "text"})
        actor, resolution = actor_of(request, caller), str(asked["resolution"]).strip()
        try:
            case = await self._desk.resolve(request.path_params["id"], actor=actor, resolution=resolution)
        except Refused as refused:
            raise refusal(refused) from None
        await self._note("exception_resolved", actor, case, resolution)
        return JSONResponse(as_json(case, self._report.outbox.operating_ms))

    async def _note(self, action: str, actor: str, case: Case, detail: str) -> None:
        await self._report.outbox.record(action, actor=actor, detail=f"{case.id} {case.data.code}: {detail.strip()}")


def _fits(case: Case, asked: Mapping[str, str], state: str, now_ms: int) -> bool:
    data = case.data
    return (
        (is_late(case, now_ms) if state == "overdue" else state in ("unresolved", "all", data.state))
        and asked.get("code") in (None, data.code)
        and asked.get("owner") in (None, data.owner)
        and asked.get("document") in (None, data.document.id if data.document else "")
    )


def as_json(case: Case, operating_ms: int, *, whole: bool = False) -> dict[str, Any]:
    """Return what the API shows of an exception; `whole` with its evidence and lines."""
    data = case.data.model_dump(mode="json", exclude_none=True)
    if not whole:
        data.pop("events", None)
        data.pop("lines", None)
    return {
        **data,
        "age_s": round((operating_ms - case.raised_ms) / 1000),
        "overdue": case.is_overdue(operating_ms),
        "due_in_s": None if case.due_ms is None else round((case.due_ms - operating_ms) / 1000),
    }
