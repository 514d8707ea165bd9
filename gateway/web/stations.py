"""Stations over the local API: how each is, what was last scanned there, and what a person types there."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from drivers import Reading
from drivers.reading import ScanContext
from drivers.scan_message import BODY_BYTES_MAX, encode_acks, parse_scans
from gateway.andon.board import DAY, DAY_COLUMNS, HOUR, TONES, StationBoard
from gateway.andon.minutes import MINUTE_MS
from gateway.capture.label import KEYED
from gateway.capture.station import EMPTY, Session
from gateway.checks.documents import OpenDocument
from gateway.report import Report
from gateway.settings.model import DeviceSettings, StationSettings
from gateway.web.api import actor_of, number
from gateway.web.guard import ApiError, read_body, require, require_json

KEYED_PREFIX: Final = "keyed/"
"""Before the number of what was typed: it must not be taken for a number of the device itself."""
_BLIND: Final = "count"
"""Who counts is told neither what is expected nor what was counted before (docs/exceptions.md)."""


class StationsApi:
    """The handlers."""

    def __init__(self, report: Report) -> None:
        self._report = report

    async def list(self, request: Request) -> Response:
        """Every configured station: its last scan and answer, its last hour, its document and how far that is."""
        require(request, "viewer")
        found = [station_json(self._report, one) for one in self._report.settings.stations]
        return JSONResponse({"stations": found, "now_ms": self._report.wall_ms()})

    async def one(self, request: Request) -> Response:
        """One station, with its scans among the last few hundred of the gateway, newest first."""
        require(request, "viewer")
        station = self._station(request)
        recent = [one.as_json() for one in self._report.andon.board.recent() if one.station == station.id]
        body = {**station_json(self._report, station), "recent": recent, "now_ms": self._report.wall_ms()}
        return JSONResponse(body)

    async def history(self, request: Request) -> Response:
        """The day by minutes, oldest first; null for a minute that nobody saw. `?minutes=` at most 1440."""
        require(request, "viewer")
        count = max(1, number("minutes", request.query_params.get("minutes"), DAY, DAY))
        andon, now_ms = self._report.andon, self._report.wall_ms()
        series = {name: andon.board.day.column(name, now_ms, count) for name in DAY_COLUMNS}
        first_ms = (now_ms // MINUTE_MS - count + 1) * MINUTE_MS
        return JSONResponse({"since_ms": andon.since_ms, "first_ms": first_ms, "minutes": count, "series": series})

    async def enter(self, request: Request) -> Response:
        """A scan that a person typed because the scanner cannot; the body is one of `POST /v1/scans`. Role operator.

        It goes the way of every scan, and is stored with the symbology identifier `]Z0` (keyboard) and the person as
        operator. `?device=` says which device of the station it stands for; else the first configured one. The `id` is
        the caller's own: sent again after a lost answer, the same entry is stored once.
        """
        caller = require(request, "operator")
        require_json(request)
        station = self._station(request)
        device = self._device(station, request.query_params.get("device"))
        body = await read_body(request, BODY_BYTES_MAX)
        parsed = parse_scans(device, body)
        if parsed.is_array or len(parsed.readings) != 1 or parsed.readings[0].kind != "scan":
            reason = parsed.problem or (parsed.readings[0].reason if parsed.readings else None)
            raise ApiError(422, "wrong_value", reason or "the body is one scan", hint='{"id": "..", "code": ".."}')
        reading = _as_typed(parsed.readings[0], actor_of(request, caller))
        verdict = await self._report.enter(reading)
        answer = encode_acks([reading], [verdict])
        return Response(answer, 200 if verdict.is_positive else 403, media_type="application/json")

    def _station(self, request: Request) -> StationSettings:
        wanted = request.path_params["station"]
        for station in self._report.settings.stations:
            if station.id == wanted:
                return station
        known = ", ".join(station.id for station in self._report.settings.stations)
        raise ApiError(404, "station_unknown", "there is no such station here", hint=f"there are: {known}")

    def _device(self, station: StationSettings, asked: str | None) -> str:
        if asked is not None:
            route = self._report.route(asked)
            if route is None or route.station.id != station.id or not route.enabled:
                raise ApiError(422, "wrong_value", f'"{asked[:64]}" is no device of this station that is in use')
            return asked
        for device in self._report.settings.devices:
            if device.station == station.id and device.enabled and not device.is_pattern:
                return device.id
        board = self._report.andon.board.stations.get(station.id)
        if board is not None and board.last is not None and self._report.route(board.last.device) is not None:
            return board.last.device
        hint = "name the device that it stands for: ?device="
        raise ApiError(409, "no_device", "no device of this station is known by name", hint=hint)


def _as_typed(reading: Reading, person: str) -> Reading:
    context = (reading.context or ScanContext())._replace(operator=person)
    return reading._replace(symbology=KEYED, message_id=f"{KEYED_PREFIX}{reading.message_id}"[:128], context=context)


def station_json(report: Report, station: StationSettings) -> dict[str, Any]:
    """Return what is shown of a station; reads memory only."""
    board = report.andon.board.stations.get(station.id)
    devices = [device for device in report.settings.devices if device.station == station.id]
    last = board.last if board is not None else None
    session = _session(report, devices, last.device if last is not None else None)
    activity = session.activity or station.activity
    document = (last.document if last is not None else None) or session.document
    return {
        "id": station.id,
        "activity": activity,
        "read_point": station.read_point,
        "devices": [device.id for device in devices],
        "last": last.as_json() if last is not None else None,
        "hour": _hour(board, report.wall_ms()),
        "session": _session_json(session),
        "tally": tally_json(report, document, activity),
    }


def tally_json(report: Report, document: str | None, activity: str | None) -> dict[str, Any] | None:
    """Return how far a document is; None when there is none in work here, or when it must not be told."""
    if document is None or activity is None:
        return None
    told: dict[str, Any] = {"document": document, "activity": activity, "observed": None, "expected": None,
                            "unit": None, "exceptions": 0}  # fmt: skip
    checker = report.checks.checker
    one = checker.documents.peek(document, activity) if checker.is_on else None
    if one is None:
        return told
    told["exceptions"] = checker.docket.count_about(document)
    if activity == _BLIND:
        return {**told, "is_blind": True}
    header = one.header
    told["observed"] = _observed(one, None if header is None else header.unit)
    if header is not None:
        told.update(expected=header.quantity, unit=header.unit, lines=header.lines, version=header.version)
    return told


def _observed(one: OpenDocument, unit: str | None) -> str | None:
    """Return how much was observed in the unit of the document; None when that would add pieces to kilograms."""
    found = {key[1]: total for key, total in one.book.totals.items() if key[0] == one.progress.round and total}
    if unit is None and len(found) > 1:
        return None
    return f"{found.get(unit, Decimal(0)) if unit is not None else sum(found.values(), Decimal(0)):f}"


def _session(report: Report, devices: list[DeviceSettings], last: str | None) -> Session:
    """Return the context of whoever scanned last here; before the first scan, of the station's first device."""
    device = last or next((one.id for one in devices if not one.is_pattern), None)
    return EMPTY if device is None else replace(report.session(device), trail=())


def _session_json(session: Session) -> dict[str, Any] | None:
    if session == EMPTY:
        return None
    fields = ("activity", "document", "document_type", "location", "operator", "quantity", "damaged")
    return {name: value for name in fields if (value := getattr(session, name))}


def _hour(board: StationBoard | None, now_ms: int) -> dict[str, Any]:
    if board is None:
        return {**dict.fromkeys(TONES, 0), "minutes": []}
    columns = {tone: board.hour.column(tone, now_ms, HOUR) for tone in TONES}
    minutes = [sum(value or 0 for value in values) for values in zip(*columns.values(), strict=True)]
    return {**{tone: sum(value or 0 for value in column) for tone, column in columns.items()}, "minutes": minutes}
