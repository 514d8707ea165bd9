"""Scans and tags over HTTP: the same bodies as over MQTT, answered after the commit.

    200   every reading is on disk (also one that was not understood: the answer says so), or was known already
    401   no token, or an unknown one         403   the device is refused, or the token is another device's
    413   too large                           415   not JSON, or compressed
    429   the device has too many requests under way; Retry-After
    503   cannot be stored now; Retry-After   (the device keeps its scan and sends it again)

Which device is speaking is said by the token; the body's word counts only under "accept-in-lab".
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from drivers import Reading, StorageUnavailable, Verdict
from drivers.scan_message import BODY_BYTES_MAX, ParsedBody, encode_acks, parse_scans
from gateway.settings.model import ID_PATTERN
from gateway.web.auth import ANYBODY
from gateway.web.guard import ApiError, read_body, require, require_json

RETRY_AFTER_S = 5
UNDER_WAY_MAX = 16
"""Requests of one device at once, twice what it has of connections over MQTT. A body may come slowly, and its request
keeps its place meanwhile: one device that was taken over must not have them all."""
_ID = re.compile(ID_PATTERN)


class Intake(Protocol):
    """What takes readings."""

    async def take(self, readings: Sequence[Reading]) -> list[Verdict]:
        """Return one verdict a reading when they are on disk; raises StorageUnavailable."""


Parse = Callable[[bytes], ParsedBody]
"""Body to readings of one reader. Never raises."""
ReaderOf = Callable[[str], Parse | None]
"""Device id to its parser; None when it is not a configured reader."""


class Ingest:
    """The two ways in."""

    def __init__(self, intake: Intake, reader_of: ReaderOf, body_bytes_max: int) -> None:
        self._intake = intake
        self._reader_of = reader_of
        self._bytes_max = body_bytes_max
        self._under_way: Counter[str | None] = Counter()

    @contextmanager
    def _turn(self, device: str | None) -> Iterator[None]:
        """Count a request of a device while it lasts; None is anybody's, in a lab."""
        if device is not None and self._under_way[device] >= UNDER_WAY_MAX:
            message = f"{UNDER_WAY_MAX} requests of this device are under way"
            raise ApiError(429, "too_many_at_once", message, hint="wait for their answers", retry_after_s=RETRY_AFTER_S)
        self._under_way[device] += 1
        try:
            yield
        finally:
            self._under_way[device] -= 1
            self._under_way += Counter()  # those at zero leave

    async def scans(self, request: Request) -> Response:
        """`POST /v1/scans`."""
        require_json(request)
        speaker = _speaker(request)
        with self._turn(speaker):
            return await self._scans(request, speaker)

    async def _scans(self, request: Request, device: str | None) -> Response:
        body = await read_body(request, min(self._bytes_max, BODY_BYTES_MAX))
        device = device or _device_in(body)
        parsed = parse_scans(device, body)
        verdicts = await self._take(parsed.readings)
        return Response(
            encode_acks(parsed.readings, verdicts, is_array=parsed.is_array),
            _status(verdicts),
            media_type="application/json",
        )

    async def tags(self, request: Request) -> Response:
        """`POST /v1/readers/{device}/tags`."""
        require_json(request)
        device: str = request.path_params["device"]
        speaker = _speaker(request)
        if speaker is not None and speaker != device:
            raise ApiError(403, "other_device", f'the token is the one of "{speaker}"')
        with self._turn(speaker):
            return await self._tags(request, device)

    async def _tags(self, request: Request, device: str) -> Response:
        body = await read_body(request, self._bytes_max)
        parse = self._reader_of(device)
        if parse is None:
            raise ApiError(403, "not_a_reader", "there is no such rfid-reader", hint="configure it as a [[device]]")
        parsed = parse(body)
        verdicts = await self._take(parsed.readings) if parsed.readings else []
        refused = [verdict for verdict in verdicts if not verdict.is_positive]
        answer = {"readings": len(verdicts), "refused": len(refused), "problem": parsed.problem}
        return JSONResponse({key: value for key, value in answer.items() if value is not None}, _status(verdicts))

    async def _take(self, readings: Sequence[Reading]) -> list[Verdict]:
        try:
            return await self._intake.take(readings)
        except StorageUnavailable as error:
            text = str(error) or "the scan cannot be stored now"
            hint = "keep the scan and send it again"
            raise ApiError(503, "storage_unavailable", text, hint=hint, retry_after_s=RETRY_AFTER_S) from None


def _speaker(request: Request) -> str | None:
    """Return the device the token speaks for; None when anybody's word is taken."""
    if request.state.caller is ANYBODY:
        return None
    return require(request, "device").device


def _device_in(body: bytes) -> str:
    """Return the device a body names, under "accept-in-lab"."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise ApiError(400, "device_missing", 'the body must name its "device"') from None
    first = found[0] if isinstance(found, list) and found else found
    device = first.get("device") if isinstance(first, dict) else None
    if not isinstance(device, str) or not _ID.fullmatch(device):
        raise ApiError(400, "device_missing", 'the body must name its "device"')
    return device


def _status(verdicts: Sequence[Verdict]) -> int:
    return 403 if verdicts and not any(verdict.is_positive for verdict in verdicts) else 200
