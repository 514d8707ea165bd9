"""Expected documents over the local API: what is known, another one, a newer one, one less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.checks.desk import ChecksDesk, Refused
from gateway.checks.documents import OpenDocument, Progress
from gateway.checks.expectation import Expectation, ExpectationInvalid, read_expectation, read_json
from gateway.checks.line import Line
from gateway.checks.shelf import Header
from gateway.checks.wording import plain
from gateway.report import Report
from gateway.web.api import actor_of, number
from gateway.web.guard import ApiError, read_action, read_body, require, require_json

DOCUMENTS_MAX = 10_000
TURN_DOCUMENTS = 10
"""Documents that are told of before scans get their turn."""
LINES_MAX = 10_000
"""In one answer."""


class ExpectationsApi:
    """The handlers."""

    def __init__(self, report: Report) -> None:
        self._report = report

    @property
    def _desk(self) -> ChecksDesk:
        return self._report.checks.desk

    async def list(self, request: Request) -> Response:
        """The documents that are expected, by id; `?after=` a document, `?limit=`. `next_after` is null at the end."""
        require(request, "viewer")
        asked = request.query_params
        limit = number("limit", asked.get("limit"), 1000, DOCUMENTS_MAX)
        found = self._report.checks.checker.shelf.headers(after=asked.get("after") or "", count_max=limit + 1)
        shown = []
        for place, header in enumerate(found[:limit], 1):
            shown.append(self._summary(header))
            if place % TURN_DOCUMENTS == 0:
                await self._report.pause(0)  # what is counted of each may have to be read
        go_on = found[limit - 1].id if len(found) > limit and limit else None
        return JSONResponse({"expectations": shown, "next_after": go_on})

    async def one(self, request: Request) -> Response:
        """One document with its lines, at most `?limit=`, and the work on it here."""
        require(request, "viewer")
        header = _asked(lambda: self._desk.header(request.path_params["id"]))
        limit = number("limit", request.query_params.get("limit"), 1000, LINES_MAX)
        told: dict[int, Any] = {}
        for page in self._report.checks.checker.shelf.pages(header):
            # Page by page, and aside: a document may have 200,000 lines, and scans want their turn.
            told |= await self._report.aside(partial(_lines, page, limit))
        lines = [told[order] for order in sorted(told)]
        body = {**self._summary(header), "lines": lines, "lines_total": header.lines}
        return JSONResponse(body, headers={"ETag": f'"{header.digest}"'})

    async def put(self, request: Request) -> Response:
        """Keep a document: 201 a new one, 200 a newer version or the same again. Role operator."""
        caller = require(request, "operator")
        require_json(request)
        body = await read_body(request, self._report.expectation_bytes_max)
        document = request.path_params["id"]
        try:
            expectation = await self._report.aside(lambda: _document(body, document))
        except ExpectationInvalid as error:
            raise ApiError(422, "expectation_invalid", str(error), hint="docs/expectations.md has the shape") from None
        was_known = self._report.checks.checker.shelf.newest(document) is not None
        header, is_new = await self._desk.put(expectation, origin="api", actor=actor_of(request, caller))
        answer = {**self._summary(header), "changed": is_new}
        return JSONResponse(answer, 200 if was_known else 201, headers={"ETag": f'"{header.digest}"'})

    async def delete(self, request: Request) -> Response:
        """Expect a document no more; work under way goes on by what it began with. Role operator."""
        caller = require(request, "operator")
        try:
            await self._desk.remove(request.path_params["id"], actor=actor_of(request, caller))
        except Refused as refused:
            raise refusal(refused) from None
        return JSONResponse({"removed": request.path_params["id"]})

    async def switch(self, request: Request) -> Response:
        """Have work under way go on by the newest version. Body: `reason`; audited. Role operator."""
        caller = require(request, "operator")
        asked = await read_action(request, {"reason": "text"})
        document, actor = request.path_params["id"], actor_of(request, caller)
        try:
            switched = await self._desk.switch(document, actor=actor, reason=str(asked["reason"]).strip())
        except Refused as refused:
            raise refusal(refused) from None
        # The work on many scans follows between the scans of others.
        counting = [one.activity for one in self._desk.progress(document) if one.progress.is_switching]
        version = self._desk.header(document).version
        return JSONResponse({"switched": switched, "version": version, "counting": counting})

    def _summary(self, header: Header) -> dict[str, Any]:
        fields = asdict(header)
        fields["lines_total"] = fields.pop("lines")
        kept = {key: value for key, value in fields.items() if value not in (None, ())}
        return {**kept, "progress": [_progress(one) for one in self._desk.progress(header.id)]}


def _document(body: bytes, name: str) -> Expectation:
    value = read_json(body)
    if isinstance(value, dict) and value.setdefault("id", name) != name:
        raise ExpectationInvalid(f'the address says "{name}" and the document says its id is "{value["id"]}"')
    return read_expectation(value)


def refusal(refused: Refused) -> ApiError:
    """Return what the API answers when the desk refuses."""
    status = 404 if refused.code.endswith("_unknown") else 409
    return ApiError(status, refused.code, str(refused), hint=refused.hint)


def _asked(work: Any) -> Any:
    try:
        return work()
    except Refused as refused:
        raise refusal(refused) from None


def _progress(one: OpenDocument) -> dict[str, Any]:
    progress = one.progress
    return {
        "activity": one.activity,
        "version": progress.version,
        "state": _state(progress),
        "closed": progress.number,
    }


def _state(progress: Progress) -> str:
    if progress.is_closing:
        return "closing"
    if progress.is_switching:
        return "switching"
    return "closed" if progress.is_closed else "recount" if progress.round > 1 else "open"


def _lines(page: Sequence[Line], limit: int) -> dict[int, Any]:
    """Return the lines of a page that are among the first of the document, by their place in it."""
    return {line.order: _line(line) for line in page if line.order < limit}


def _line(line: Line) -> dict[str, Any]:
    fields = {
        "line": line.line,
        "item": line.item,
        "quantity": plain(line.quantity),
        "unit": line.unit,
        "lots": sorted(line.lots),
        "serials": sorted(line.serials),
        "locations": list(line.locations),
        "price": None if line.price is None else plain(line.price),
        "return_disposition": line.return_disposition,
    }
    return {key: value for key, value in fields.items() if value not in (None, [])}
