"""The local API, put together.

GET   /                                the page for people (docs/page.md); its files under /page/{name}
GET   /healthz                         the process lives; open to anybody who reaches it
GET   /readyz                          scans are taken; 503 and the reason while they are not
GET   /metrics                         for Prometheus; docs/metrics.md names them
POST  /v1/session                      {"token": ".."}: a session of the page; GET says who asks, DELETE ends it
GET   /v1/openapi.json                 these addresses, for programs (docs/api.md is for people)
GET   /v1/status                       everything, as `dockline status --json`
GET   /v1/stations                     every station: its last scan and answer, its last hour, its document
GET   /v1/stations/{station}           one, with its latest scans
POST  /v1/stations/{station}/scans     what a person types when the scanner cannot; ?device=   role operator
GET   /v1/devices                      devices, and those that knock with the lines that would admit them
GET   /v1/devices/{device}             what is needed to replace one
GET   /v1/history                      the last 24 hours by minutes; ?minutes=
GET   /v1/stream                       server-sent events for open pages: stations, scans, status as they change
GET   /v1/events                       newest first; ?type= &station= &device= &from= &to= &limit= and, to search,
                                       ?text= or &document= &before=
GET   /v1/events/tail                  server-sent events as they are committed; ?after= or Last-Event-ID,
                                       ?type= &station= &device= &document= &code=
GET   /v1/events/{id}                  one event, by id or sequence
GET   /v1/events/{id}/steps            the same, and what became of it, step by step
GET   /v1/quarantine                   ?upstream= &state= &reason= &after= &limit=
GET   /v1/quarantine/{upstream}/{seq}  one, with its event and history
POST  /v1/quarantine/{upstream}/retry    {"seqs": [..], "reason": ".."}   role operator
POST  /v1/quarantine/{upstream}/discard  {"seqs": [..], "reason": ".."}   role technician
POST  /v1/replay                       begin a replay, or count (docs/durability.md); role operator
GET   /v1/replay                       replays that run and the last that are over
GET   /v1/replay/{id}                  one; ?wait= seconds
POST  /v1/replay/{id}/cancel           {"reason": ".."}   role operator
POST  /v1/incidents/{number}/acknowledge {"reason": ".."}   role technician
POST  /v1/backup                       the whole outbox as a file (docs/backup.md); role admin
GET   /v1/upstreams                    every position, with its books and whether it is configured
POST  /v1/upstreams/{name}/rewind      {"to": n, "reason": ".."}   role technician
POST  /v1/upstreams/{name}/rename      {"name": "..", "replace": false, "reason": ".."}   role admin
POST  /v1/upstreams/{name}/remove      {"reason": ".."}   role admin
GET   /v1/expectations                 expected documents (docs/expectations.md); ?after= &limit=
GET   /v1/expectations/{id}            one, with its lines and the work on it here
PUT   /v1/expectations/{id}            keep one, or a newer version of it; role operator
DELETE /v1/expectations/{id}           expect it no more; role operator
POST  /v1/expectations/{id}/switch     {"reason": ".."}: work under way goes on by the newest version; role operator
GET   /v1/exceptions                   ?state= &code= &owner= &document= &after= &limit=
GET   /v1/exceptions/{id}              one, with its evidence
POST  /v1/exceptions/{id}/acknowledge  {"reason": ".."}   role operator
POST  /v1/exceptions/{id}/resolve      {"resolution": ".."}   role operator
POST  /v1/scans                        a handheld's scan or an array of them; role device
POST  /v1/readers/{device}/tags        an RFID reader's own JSON; role device
"""

from __future__ import annotations

import logging
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from buffer.errors import OutboxError, QuarantineRefused, UpstreamUnknown
from drivers import StorageUnavailable
from gateway.log import event
from gateway.report import Report
from gateway.web import page_files
from gateway.web.api import Queries
from gateway.web.auth import Tokens
from gateway.web.backup import BackupDesk
from gateway.web.devices import DevicesApi
from gateway.web.exceptions import ExceptionsApi
from gateway.web.expectations import ExpectationsApi
from gateway.web.guard import ApiError, Guard, Policy, error_response
from gateway.web.ingest import Ingest
from gateway.web.replay import ReplayDesk
from gateway.web.session import Sessions
from gateway.web.sign_in import SignIn
from gateway.web.stations import StationsApi
from gateway.web.stream import Stream
from gateway.web.tail import TailDesk
from gateway.web.turn import ReadingTurns
from gateway.web.upstreams import UpstreamDesk

log = logging.getLogger(__name__)


def build_app(report: Report, policy: Policy, tokens: Tokens, sessions: Sessions) -> ASGIApp:
    """Return the application; it keeps nothing of its own."""
    queries, tails = Queries(report), TailDesk(report)
    replays = ReplayDesk(report)
    expectations, exceptions = ExpectationsApi(report), ExceptionsApi(report)
    backups, sign_in = BackupDesk(report), SignIn(sessions)
    upstreams = UpstreamDesk(report)
    ingest = Ingest(report, report.parser_of, policy.body_bytes_max)
    get, post = ["GET"], ["POST"]
    turn = ReadingTurns().of
    routes = [
        Route("/healthz", queries.healthz, methods=get),
        Route("/readyz", queries.readyz, methods=get),
        Route("/metrics", turn(queries.metrics), methods=get),
        Route("/v1/session", sign_in.begin, methods=post),
        Route("/v1/session", sign_in.show, methods=get),
        Route("/v1/session", sign_in.end, methods=["DELETE"]),
        Route("/v1/openapi.json", queries.openapi, methods=get),
        Route("/v1/status", turn(queries.status), methods=get),
        Route("/v1/events", turn(queries.events), methods=get),
        Route("/v1/events/tail", tails.tail, methods=get),
        Route("/v1/events/{id}", turn(queries.one_event), methods=get),
        Route("/v1/events/{id}/steps", turn(queries.steps), methods=get),
        Route("/v1/quarantine", turn(queries.quarantine), methods=get),
        Route("/v1/quarantine/{upstream}/retry", queries.retry, methods=post),
        Route("/v1/quarantine/{upstream}/discard", queries.discard, methods=post),
        Route("/v1/quarantine/{upstream}/{seq}", turn(queries.one_quarantined), methods=get),
        Route("/v1/replay", replays.list, methods=get),
        Route("/v1/replay", replays.begin, methods=post),
        Route("/v1/replay/{id}", replays.one, methods=get),
        Route("/v1/replay/{id}/cancel", replays.cancel, methods=post),
        Route("/v1/incidents/{number}/acknowledge", queries.acknowledge, methods=post),
        Route("/v1/backup", backups.take, methods=post),
        Route("/v1/upstreams", turn(upstreams.list), methods=get),
        Route("/v1/upstreams/{name}/rewind", upstreams.rewind, methods=post),
        Route("/v1/upstreams/{name}/rename", upstreams.rename, methods=post),
        Route("/v1/upstreams/{name}/remove", upstreams.remove, methods=post),
        Route("/v1/expectations", turn(expectations.list), methods=get),
        Route("/v1/expectations/{id:path}/switch", expectations.switch, methods=post),
        Route("/v1/expectations/{id:path}", turn(expectations.one), methods=get),
        Route("/v1/expectations/{id:path}", expectations.put, methods=["PUT"]),
        Route("/v1/expectations/{id:path}", expectations.delete, methods=["DELETE"]),
        Route("/v1/exceptions", turn(exceptions.list), methods=get),
        Route("/v1/exceptions/{id}", exceptions.one, methods=get),
        Route("/v1/exceptions/{id}/acknowledge", exceptions.acknowledge, methods=post),
        Route("/v1/exceptions/{id}/resolve", exceptions.resolve, methods=post),
        Route("/v1/scans", ingest.scans, methods=post),
        Route("/v1/readers/{device}/tags", ingest.tags, methods=post),
        *_page_routes(report),
    ]
    app = Starlette(routes=routes, exception_handlers=_REFUSALS)
    app.router.redirect_slashes = False
    return Guard(app, policy, tokens, sessions)


def _page_routes(report: Report) -> list[Route]:
    """Return the page, and what was made for it."""
    stations, devices, stream = StationsApi(report), DevicesApi(report), Stream(report)
    get, post = ["GET"], ["POST"]
    return [
        Route("/", page_files.index, methods=get),
        Route("/page/{name}", page_files.file, methods=get),
        Route("/v1/stations", stations.list, methods=get),
        Route("/v1/stations/{station}", stations.one, methods=get),
        Route("/v1/stations/{station}/scans", stations.enter, methods=post),
        Route("/v1/devices", devices.list, methods=get),
        Route("/v1/devices/{device}", devices.one, methods=get),
        Route("/v1/history", stations.history, methods=get),
        Route("/v1/stream", stream.open, methods=get),
    ]


async def _refused(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, ApiError)
    return error_response(error)


async def _no_such_thing(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)
    body = {"code": "no_such_thing", "message": error.detail}
    return JSONResponse({"error": body}, error.status_code, error.headers)


async def _quarantine_refused(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, QuarantineRefused)
    return error_response(ApiError(409, "quarantine_refused", str(error), hint=error.hint))


async def _upstream_unknown(request: Request, error: Exception) -> Response:
    del request
    return error_response(ApiError(404, "upstream_unknown", str(error)))


async def _storage_unavailable(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, StorageUnavailable)
    return error_response(ApiError(503, "storage_unavailable", str(error), hint=error.hint, retry_after_s=5))


async def _outbox_failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, OutboxError)
    log.error("%s", event("request_failed", path=request.url.path, reason=error, hint=error.hint))
    return error_response(ApiError(503, "storage_unavailable", str(error), hint=error.hint, retry_after_s=5))


_REFUSALS: Final = {
    ApiError: _refused,
    HTTPException: _no_such_thing,
    QuarantineRefused: _quarantine_refused,
    UpstreamUnknown: _upstream_unknown,
    OutboxError: _outbox_failed,
    StorageUnavailable: _storage_unavailable,
}
"""What is answered to what handlers raise."""
