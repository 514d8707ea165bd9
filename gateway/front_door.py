"""The API in front of a running daemon: its socket, its tokens, and the files by which commands find it.

`addresses.json` in the storage folder says which addresses were really bound (a port 0 means any); `cli.token` holds a
token for this run that only the service's user and root can read. A port that is taken closes the API, not the gateway:
it is tried again while scanners go on.
"""

from __future__ import annotations

import json
import logging
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.credentials import CredentialError
from gateway.log import event
from gateway.report import Report
from gateway.web.app import build_app
from gateway.web.auth import Tokens
from gateway.web.guard import Policy
from gateway.web.server import ApiServer, listen

if TYPE_CHECKING:
    from gateway.daemon import Daemon

log = logging.getLogger(__name__)

ADDRESSES = "addresses.json"
CLI_TOKEN = "cli.token"  # noqa: S105


class FrontDoor:
    """Opens and closes the API of one daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._server: ApiServer | None = None
        self._tokens = Tokens(None)
        self._cli_token = self._tokens.admit("cli", "admin")
        self._written: dict[str, object] = {}
        self.report = Report(daemon)
        self.fault: str | None = None
        """Why the API is closed; None while it is open."""

    def open(self) -> None:
        """Open the API unless it is open. What keeps it from opening becomes `fault`."""
        if self._server is not None:
            return
        settings = self._daemon.settings.api
        try:
            self._tokens.follow(settings.tokens_file)
            listener = listen(settings.bind.host, settings.bind.port)
        except (OSError, CredentialError) as error:
            self._closed(f"{settings.bind}: {getattr(error, 'strerror', None) or error}")
            return
        try:
            self._server = ApiServer(
                build_app(self.report, Policy.of(settings, self._daemon.settings.expectations.bytes_max), self._tokens),
                listener,
                connections_max=settings.connections_max,
                certificate=settings.certificate,
                key=settings.key,
            )
        except (OSError, ssl.SSLError) as error:
            listener.close()
            self._closed(f"{settings.certificate}: {error}")
            return
        self.fault = None
        self._server.start()
        log.info("%s", event("api_opened", address=self._server.address))
        self._write(CLI_TOKEN, self._cli_token + "\n")
        self.write_addresses()

    def _closed(self, fault: str) -> None:
        if fault != self.fault:
            log.error("%s", event("api_closed", reason=fault))
        self.fault = fault

    async def close(self) -> None:
        """Return when every request has had its answer."""
        self.report.closing.set()
        if self._server is not None:
            await self._server.stop()
            self._server = None
        for name in (ADDRESSES, CLI_TOKEN):
            self._path(name).unlink(missing_ok=True)

    async def reopen(self) -> None:
        """Close and open with changed settings; the outbox and the devices do not notice."""
        await self.close()
        self._written = {}
        self.report = Report(self._daemon)
        self.open()

    def write_addresses(self) -> None:
        """Say in `addresses.json` what is bound now."""
        daemon = self._daemon
        found: dict[str, object] = {"pid": os.getpid()}
        if self._server is not None:
            found["scheme"] = "https" if daemon.settings.api.certificate else "http"
            found["api"] = self._server.address
        found["links"] = {
            health.device: address
            for health in daemon.supervisor.health()
            if (address := _address(daemon.supervisor.driver(health.device))) is not None
        }
        if found != self._written:
            self._written = found
            self._write(ADDRESSES, json.dumps(found, indent=2) + "\n")

    def _path(self, name: str) -> Path:
        return self._daemon.settings.storage.path / name

    def _write(self, name: str, text: str) -> None:
        """Replace a small file; a disk that is full costs the commands their convenience and nothing else."""
        path = self._path(name)
        draft = path.with_name(f".{name}.new")
        try:
            draft.unlink(missing_ok=True)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
            draft.replace(path)
        except OSError as error:
            log.warning("%s", event("file_not_written", path=path, reason=error.strerror))


def _address(driver: object) -> str | None:
    """Return where a driver that listens can be reached."""
    listening, address = getattr(driver, "listening", None), getattr(driver, "address", None)
    if listening is None or not listening.is_set():
        return None
    if isinstance(address, tuple):
        return f"{address[0]}:{address[1]}"
    port = getattr(driver, "port", None)
    return f"127.0.0.1:{port}" if isinstance(port, int) else None
