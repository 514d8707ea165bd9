"""The API in front of a running daemon: its socket, its tokens, and the files by which commands find it.

`addresses.json` in the storage folder says which addresses were really bound (a port 0 means any), and where the local
socket is, over which the kernel says who asks (`gateway/web/peer.py`). `cli.token` holds a token for this run that only
the service's user and root can read. A port that is taken closes the API, not the gateway: it is tried again while
scanners go on.
"""

from __future__ import annotations

import asyncio
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
from gateway.web.server import ApiServer, listen, listen_local
from gateway.web.session import Sessions

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from gateway.daemon import Daemon

log = logging.getLogger(__name__)

ADDRESSES = "addresses.json"
SOCKET = "api.sock"
CLI_TOKEN = "cli.token"  # noqa: S105


class FrontDoor:
    """Opens and closes the API of one daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._server: ApiServer | None = None
        self._local: ApiServer | None = None
        """The same over the local socket; without it commands use the address."""
        self._tokens = Tokens(None)
        self._sessions = Sessions(self._tokens, daemon.world.elapsed)
        self._cli_token = self._tokens.admit("cli", "admin")
        self._written: dict[str, object] = {}
        self.report = Report(daemon)
        self.fault: str | None = None
        """Why the API is closed; None while it is open."""
        self._refused_certificate: str | None = None

    def open(self) -> None:
        """Open the API; where it is open follow a renewed certificate. What keeps it from opening becomes `fault`."""
        settings = self._daemon.settings.api
        if self._server is not None:
            self._tokens.refresh()
            self._renew(self._server)
            return
        try:
            self._tokens.follow(settings.tokens_file)
            listener = listen(settings.bind.host, settings.bind.port)
        except (OSError, CredentialError) as error:
            self._closed(f"{settings.bind}: {getattr(error, 'strerror', None) or error}")
            return
        policy = Policy.of(settings, self._daemon.settings.expectations.bytes_max)
        app = build_app(self.report, policy, self._tokens, self._sessions)
        try:
            self._server = ApiServer(
                app,
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
        self._open_local(app, settings.connections_max)
        self._write(CLI_TOKEN, self._cli_token + "\n")
        self.write_addresses()

    def _renew(self, server: ApiServer) -> None:
        settings = self._daemon.settings.api
        try:
            if server.renew():
                self._refused_certificate = None
        except (OSError, ssl.SSLError) as error:
            reason = _unreadable(settings.certificate, settings.key) or str(error)
            self._refused_certificate = f"{settings.certificate}, {settings.key}: {reason}"
            log.warning("%s", event("certificate_refused", path=settings.certificate, reason=reason))

    def refused_files(self) -> list[str]:
        """Return why tokens or certificate, as their files are now, cannot be used; those from before go on."""
        found = (self._tokens.refused, self._refused_certificate)
        return [str(one) for one in found if one is not None]

    def _open_local(self, app: ASGIApp, connections_max: int) -> None:
        path = self._socket_folder() / SOCKET
        try:
            self._local = ApiServer(
                app, listen_local(path), connections_max=connections_max, certificate=None, key=None
            )
        except OSError as error:
            log.warning("%s", event("local_socket_closed", path=path, reason=error.strerror))
            return
        self._local.start()

    def _socket_folder(self) -> Path:
        """Return the folder systemd made for things that end with the service, else the storage folder."""
        made = os.environ.get("RUNTIME_DIRECTORY")
        return Path(made) if made else self._daemon.settings.storage.path

    def _closed(self, fault: str) -> None:
        if fault != self.fault:
            log.error("%s", event("api_closed", reason=fault))
        self.fault = fault

    async def close(self) -> None:
        """Return when every request has had its answer."""
        self.report.closing.set()
        # Both at once: each waits a fifth of a second for its connections to hear that it is closing.
        await asyncio.gather(*(server.stop() for server in (self._server, self._local) if server is not None))
        if self._local is not None:
            (self._socket_folder() / SOCKET).unlink(missing_ok=True)
        self._server = self._local = None
        for name in (ADDRESSES, CLI_TOKEN):
            self._path(name).unlink(missing_ok=True)

    async def reopen(self) -> None:
        """Close and open with changed settings; the outbox and the devices do not notice."""
        await self.close()
        self._written = {}
        self._refused_certificate = None
        self.report = Report(self._daemon)
        self.open()

    def write_addresses(self) -> None:
        """Say in `addresses.json` what is bound now."""
        daemon = self._daemon
        found: dict[str, object] = {"pid": os.getpid()}
        if self._server is not None:
            found["scheme"] = "https" if daemon.settings.api.certificate else "http"
            found["api"] = self._server.address
        if self._local is not None:
            found["socket"] = str(self._socket_folder() / SOCKET)
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


def _unreadable(*files: Path | None) -> str | None:
    """Return which file cannot be read, and why: what TLS says names none."""
    for path in files:
        try:
            if path is not None:
                path.open("rb").close()
        except OSError as error:
            return f"{path} cannot be read: {error.strerror}"
    return None


def _address(driver: object) -> str | None:
    """Return where a driver that listens can be reached."""
    listening, address = getattr(driver, "listening", None), getattr(driver, "address", None)
    if listening is None or not listening.is_set():
        return None
    if isinstance(address, tuple):
        return f"{address[0]}:{address[1]}"
    port = getattr(driver, "port", None)
    return f"127.0.0.1:{port}" if isinstance(port, int) else None
