"""A backup over the API: the daemon takes the copy, whoever asked proves it.

POST /v1/backup   {"reason": ".."}   role admin; answers with the file itself

The copy lies in the storage folder while it is sent, without a name once it is open, so that a caller who goes away or
a daemon that is killed leaves at most one file behind, which the next backup removes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from buffer import OutboxFull
from gateway.log import event
from gateway.report import Report
from gateway.web.api import actor_of
from gateway.web.guard import ApiError, read_action, require

log = logging.getLogger(__name__)

COPY_NAME = "outbox.backup"
"""In the storage folder, while the copy is taken."""
CHUNK_BYTES = 256 * 1024


class BackupDesk:
    """The handler; one backup at a time."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._lock = asyncio.Lock()

    async def take(self, request: Request) -> Response:
        """Answer with a copy of the outbox as of its last commit; audited. Body: `reason`."""
        caller = require(request, "admin")
        asked = await read_action(request, {"reason": "text"})
        if self._lock.locked():
            raise ApiError(409, "backup_under_way", "another backup is being taken", retry_after_s=30)
        async with self._lock:
            file = await self._copy()
        actor = actor_of(request, caller)
        head = await self._report.outbox.head_of_chain()
        detail = f"at sequence {head.seq} or before: {str(asked['reason']).strip()}"
        await self._report.outbox.record("backup_taken", actor=actor, detail=detail)
        log.info("%s", event("backup_taken", actor=actor, seq=head.seq))
        size = os.fstat(file.fileno()).st_size
        return StreamingResponse(
            _sent(file), media_type="application/octet-stream", headers={"Content-Length": str(size)}
        )

    async def _copy(self) -> BinaryIO:
        """Return a copy that has no name any more: it is gone when it is closed."""
        storage = self._report.storage
        path = Path(storage.path) / COPY_NAME
        path.unlink(missing_ok=True)
        stats = self._report.outbox.stats()
        room = shutil.disk_usage(path.parent).free - storage.reserve_bytes
        if room < stats.bytes_used:
            message = f"the copy needs {stats.bytes_used} bytes beyond the disk reserve, {max(0, room)} are free"
            raise ApiError(507, "no_room", message, hint=f"free space on the disk of {path.parent}")
        try:
            await self._report.outbox.snapshot(path)
        except OutboxFull as error:
            raise ApiError(507, "no_room", str(error), hint=error.hint) from None
        file = path.open("rb")
        path.unlink()
        return file


async def _sent(file: BinaryIO) -> AsyncIterator[bytes]:
    try:
        while chunk := await run_in_threadpool(file.read, CHUNK_BYTES):
            yield chunk
    finally:
        file.close()
