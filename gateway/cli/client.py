"""How a command finds the daemon and talks to it, and what it reads when none runs.

The daemon has a local socket, over which the kernel says who asks: root and the service's user may do everything,
members of the groups in `[api]` what those give, others look. `addresses.json` in its storage folder says where it is.
Whoever brings a token asks the address instead, and so does everybody where there is no socket (then `cli.token` is for
whoever may read that folder).
"""

from __future__ import annotations

import getpass
import http.client
import json
import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlencode

from gateway.cli.errors import EXIT_CONFIG, EXIT_NO_DAEMON, EXIT_NOT_ALLOWED, Failure

if TYPE_CHECKING:
    from buffer import OutboxReader

TIMEOUT_S = 15.0
DOWNLOAD_S = 900.0
"""For an answer that is minutes in the making: a copy of a large outbox."""
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""A daemon that listens everywhere is called where only this computer can."""
SERVICE_SOCKET = Path("/run/dockline/api.sock")
"""Where the service's unit has it made (RuntimeDirectory=)."""
SERVICE_STORAGE = Path("/var/lib/dockline")
Json = dict[str, Any]


def _is_kept_from_us(config: Path) -> bool:
    """True for a file that is there, or may be in a folder we may not look into, and that we may not read."""
    try:
        config.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return not os.access(config, os.R_OK)


class NoDaemon(Failure):
    """No daemon answers."""

    def __init__(self, why: str) -> None:
        super().__init__(f"No daemon answers: {why}", hint="systemctl status dockline", code=EXIT_NO_DAEMON)


class Site:
    """One configured gateway, as far as a command has to know it."""

    def __init__(self, config: Path, token_file: Path | None = None) -> None:
        """Read where the storage is; the rest of the file may be broken. Raises Failure."""
        from gateway.settings.document import read_document
        from gateway.settings.problem import Problem

        self._token_file = token_file
        if SERVICE_SOCKET.is_socket() and _is_kept_from_us(config):
            # The service's own file, which is not everybody's to read: whoever asks here is told who he is instead.
            self._data, self.storage = {}, SERVICE_STORAGE
            return
        found = read_document(config)
        if isinstance(found, Problem):
            raise Failure(str(found), code=EXIT_CONFIG)
        self._data = found.data
        storage = found.data.get("storage")
        path = storage.get("path") if isinstance(storage, dict) else None
        if not isinstance(path, str):
            raise Failure(f"{config} does not say where the storage is", hint="dockline check", code=EXIT_CONFIG)
        self.storage = Path(path)

    def get(self, path: str, **query: object) -> Json:
        """Ask the daemon. Raises NoDaemon, Failure."""
        asked = {key: value for key, value in query.items() if value is not None}
        with self._request("GET", f"{path}?{urlencode(asked)}" if asked else path) as answer:
            return _json_of(answer)

    def get_quickly(self, path: str, timeout_s: float) -> Json | None:
        """Ask a daemon that has a local socket; None, at once, where there is none. Raises Failure."""
        if self._socket() is None:
            return None
        with self._request("GET", path, timeout_s=timeout_s) as answer:
            return _json_of(answer)

    def post(self, path: str, body: Json) -> Json:
        """Have the daemon do something. Raises NoDaemon, Failure."""
        with self._request("POST", path, json.dumps(body).encode()) as answer:
            return _json_of(answer)

    def put(self, path: str, body: Json) -> Json:
        """Have the daemon keep something; a large document takes its time. Raises NoDaemon, Failure."""
        with self._request("PUT", path, json.dumps(body).encode(), timeout_s=DOWNLOAD_S) as answer:
            return _json_of(answer)

    def delete(self, path: str) -> Json:
        """Have the daemon let go of something. Raises NoDaemon, Failure."""
        with self._request("DELETE", path) as answer:
            return _json_of(answer)

    def follow(self, path: str, *, within_s: float | None = None, **query: object) -> Iterator[Json]:
        """Yield what the daemon sends until it stops, or for so long. Raises NoDaemon, Failure."""
        asked = {key: value for key, value in query.items() if value is not None}
        end = None if within_s is None else time.monotonic() + within_s
        whole = f"{path}?{urlencode(asked)}" if asked else path
        with self._exchange("GET", whole, timeout_s=TIMEOUT_S if within_s is None else within_s) as (answer, wire):
            try:
                while line := answer.readline():
                    if line.startswith(b"data:"):
                        yield json.loads(line[5:])
                    if end is not None:
                        wire.settimeout(max(0.01, end - time.monotonic()))
            except (OSError, http.client.HTTPException):
                return

    def download(self, path: str, body: Json, file: BinaryIO) -> None:
        """Write what the daemon answers to `file`. Raises NoDaemon, Failure when it ends early, OSError of the file."""
        with self._request("POST", path, json.dumps(body).encode(), timeout_s=DOWNLOAD_S) as answer:
            expected = answer.length
            while piece := _piece_of(answer):
                file.write(piece)
            if expected is not None and file.tell() != expected:
                raise Failure(f"the daemon's answer broke off after {file.tell()} of {expected} bytes")

    def read(self) -> OutboxReader:
        """Open the outbox without a daemon, read-only. Raises Failure."""
        from buffer import OutboxReader
        from buffer.errors import OutboxError

        try:
            return OutboxReader.open(self.storage)
        except OutboxError as error:
            raise Failure(str(error), hint=error.hint) from None
        except OSError as error:
            raise Failure(f"{self.storage}: {error.strerror}", hint="try sudo", code=EXIT_NOT_ALLOWED) from None

    @contextmanager
    def _request(
        self, method: str, path: str, body: bytes | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> Iterator[http.client.HTTPResponse]:
        with self._exchange(method, path, body, timeout_s=timeout_s) as (answer, _):
            yield answer

    @contextmanager
    def _exchange(
        self, method: str, path: str, body: bytes | None = None, *, timeout_s: float
    ) -> Iterator[tuple[http.client.HTTPResponse, socket.socket]]:
        local = None if self._token_file is not None else self._socket()
        connection = self._connect(timeout_s) if local is None else _LocalConnection(local, timeout_s)
        user = os.environ.get("SUDO_USER") or getpass.getuser()
        headers = {"Accept": "application/json", "Dockline-User": user}
        if local is None:
            headers |= self._credential()
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            try:
                connection.request(method, path, body, headers)
                wire = connection.sock  # which the connection forgets when the answer is the last one
                answer = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise NoDaemon(str(error) or type(error).__name__) from None
            if answer.status >= 400:
                raise _failure_of(answer)
            yield answer, wire
        finally:
            connection.close()

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        scheme, address = self._address()
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        host = ANY_ADDRESS.get(host, host)
        if scheme == "http":
            return http.client.HTTPConnection(host, int(port), timeout=timeout_s)
        api = self._data.get("api", {})
        try:
            # Our own certificate is the one to expect, whatever name it bears.
            context = ssl.create_default_context(cafile=api.get("certificate"))
        except OSError as error:
            raise Failure(f"the certificate of [api] cannot be read: {error.strerror}", code=EXIT_NOT_ALLOWED) from None
        context.check_hostname = False
        # Also when somebody else signed it: the end of the chain is enough for us.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return http.client.HTTPSConnection(host, int(port), timeout=timeout_s, context=context)

    def _socket(self) -> Path | None:
        """Return the local socket of a daemon that runs; None where there is none."""
        try:
            path = Path(json.loads((self.storage / "addresses.json").read_text())["socket"])
        except PermissionError:
            path = SERVICE_SOCKET  # nobody but the service looks into its folder
        except (OSError, ValueError, KeyError):
            return None
        return path if path.is_socket() else None

    def _address(self) -> tuple[str, str]:
        try:
            found = json.loads((self.storage / "addresses.json").read_text())
            if "api" not in found:
                raise NoDaemon("its API is closed; its log says why")
            return found["scheme"], found["api"]
        except FileNotFoundError:
            raise NoDaemon(f"nothing runs on {self.storage}") from None
        except (OSError, ValueError):
            api = self._data.get("api", {})
            scheme = "https" if api.get("certificate") else "http"
            return scheme, api.get("bind", "127.0.0.1:8470")

    def _credential(self) -> dict[str, str]:
        path = self._token_file or self.storage / "cli.token"
        try:
            return {"Authorization": f"Bearer {path.read_text().strip()}"}
        except OSError as error:
            if self._token_file is not None:
                raise Failure(f"{path}: {error.strerror}", code=EXIT_NOT_ALLOWED) from None
            return {}


class _LocalConnection(http.client.HTTPConnection):
    """HTTP over the local socket: the kernel tells the daemon who asks."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect through the folder's descriptor: the path of a socket may have 107 bytes only."""
        folder = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)


def _piece_of(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read(1024 * 1024)
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"the daemon's answer broke off: {error or type(error).__name__}") from None


def _json_of(answer: http.client.HTTPResponse) -> Json:
    try:
        found: Json = json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException):
        raise NoDaemon("what answered is not this program") from None
    return found


def _failure_of(answer: http.client.HTTPResponse) -> Failure:
    try:
        error = json.loads(answer.read())["error"]
        message, hint = str(error["message"]), error.get("hint")
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return NoDaemon(f"what answered is not this program (status {answer.status})")
    if answer.status in {401, 403}:
        hint = "run as the service's user or root (sudo), or bring --token-file" if os.geteuid() != 0 else hint
        hint = hint or "dockline token makes one; [api] tokens_file holds those that are valid"
        return Failure(message, hint=hint, code=EXIT_NOT_ALLOWED)
    return Failure(message, hint=hint)
