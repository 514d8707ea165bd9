"""Positions of upstreams over the API: which there are, and what people decide about them.

GET  /v1/upstreams                 every position, with its books and whether it is configured
POST /v1/upstreams/{name}/rewind   {"to": n, "reason": ".."}                        role technician
POST /v1/upstreams/{name}/rename   {"name": "..", "replace": false, "reason": ".."} role admin
POST /v1/upstreams/{name}/remove   {"reason": ".."}                                 role admin
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from buffer.errors import UpstreamTaken
from gateway.deliveries import UpstreamConfigured
from gateway.report import Report
from gateway.web.api import actor_of
from gateway.web.guard import ApiError, read_action, require


class UpstreamDesk:
    """The handlers."""

    def __init__(self, report: Report) -> None:
        self._report = report

    async def list(self, request: Request) -> Response:
        """Every position."""
        require(request, "viewer")
        outbox, configured = self._report.outbox, {one.name for one, _ in self._report.deliveries.states()}
        rows: list[dict[str, Any]] = []
        for position in await outbox.upstreams():
            census = await outbox.census(position.upstream)
            rows.append(
                {
                    "name": position.upstream,
                    "configured": position.upstream in configured,
                    "required": position.required,
                    "settled_through": position.seq,
                    **asdict(census),
                    "imbalance": census.imbalance,
                }
            )
        return JSONResponse({"upstreams": rows})

    async def rewind(self, request: Request) -> Response:
        """Deliver again what is kept behind a sequence."""
        caller = require(request, "technician")
        asked = await read_action(request, {"to": "number", "reason": "text"})
        name, to = request.path_params["name"], int(asked["to"])
        try:
            kept_behind = await self._report.deliveries.rewind(
                name, to=to, actor=actor_of(request, caller), reason=asked["reason"].strip()
            )
        except ValueError as error:
            raise ApiError(409, "position_ahead", str(error), hint="a position only goes back") from None
        return JSONResponse({"name": name, "settled_through": to, "kept_behind": kept_behind})

    async def rename(self, request: Request) -> Response:
        """Give a position to another name."""
        caller = require(request, "admin")
        asked = await read_action(request, {"name": "text", "replace": "flag", "reason": "text"})
        name, new = request.path_params["name"], asked["name"].strip()
        try:
            await self._report.deliveries.rename(
                name,
                new,
                actor=actor_of(request, caller),
                reason=asked["reason"].strip(),
                replace=asked["replace"],
            )
        except UpstreamConfigured as error:
            hint = "give it its new name in the file and reload first"
            raise ApiError(409, "upstream_configured", str(error), hint=hint) from None
        except UpstreamTaken as error:
            hint = "--replace forgets that one: what it has had is then delivered again where the old one was behind"
            raise ApiError(409, "upstream_taken", str(error), hint=hint) from None
        return JSONResponse({"name": new})

    async def remove(self, request: Request) -> Response:
        """Forget a position."""
        caller = require(request, "admin")
        asked = await read_action(request, {"reason": "text"})
        name = request.path_params["name"]
        try:
            await self._report.deliveries.remove(name, actor=actor_of(request, caller), reason=asked["reason"].strip())
        except UpstreamConfigured as error:
            hint = "take it out of the file and reload first"
            raise ApiError(409, "upstream_configured", str(error), hint=hint) from None
        return JSONResponse({"removed": name})
