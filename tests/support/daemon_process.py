"""A gateway as a real process, as systemd runs it: its notify socket, its API, its signals."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.cli.errors import run_command

ROOT = Path(__file__).parents[2]
BOUND_S = 60.0

CONFIG = """\
[site]
id = "dc07"
gateway = "dock-pc-1"

[storage]
path = "{state}"

[limits]
link_up_after_s = 0.0
link_down_after_s = 0.0

[[upstream]]
name = "centre"
url = "http://127.0.0.1:9/v1/events"

[[station]]
id = "floor"
activity = "pick"

[[device]]
id = "hh-*"
station = "floor"
driver = "handheld"

[mqtt.listener]
bind = "127.0.0.1:0"
unauthenticated = "accept-in-lab"

[api]
bind = "127.0.0.1:0"
unauthenticated = "accept-in-lab"
"""


class Answer:
    """What the API said."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class GatewayProcess:
    """One daemon in a folder of its own."""

    def __init__(self, folder: Path, config: str = CONFIG) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.config = folder / "gateway.toml"
        self.write(config)
        self.process: subprocess.Popen[bytes] | None = None
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket_path = folder / "notify"
        self._socket.bind(str(self._socket_path))

    def write(self, config: str) -> None:
        """Write the configuration, `{state}` being the storage folder."""
        self.config.write_text(config.replace("{state}", str(self.state)))

    def spawn(self, **environ: str) -> subprocess.Popen[bytes]:
        """Start the process and wait for nothing."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "run", "--config", str(self.config)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": str(self._socket_path), **environ},
            )
        return self.process

    def start(self, **environ: str) -> GatewayProcess:
        """Return when the daemon says READY=1."""
        self.spawn(**environ)
        self.hear("READY=1")
        self.settle_log()
        return self

    def settle_log(self) -> None:
        """Return when the log has caught up: it is written by a thread of its own."""
        count = sum(message.startswith("READY=1") for message in self.heard)
        until(lambda: len(re.findall("daemon_ready|configuration_refused", self.log())) >= count, "the log catches up")

    def hear(self, wanted: str) -> str:
        """Return the next message to the service manager with `wanted` in it."""
        end = time.monotonic() + BOUND_S
        while time.monotonic() < end:
            self._socket.settimeout(0.2)
            try:
                message = self._socket.recv(4096).decode()
            except TimeoutError:
                assert self.process is not None
                if self.process.poll() is not None:
                    break
                continue
            self.heard.append(message)
            if wanted in message:
                return message
        raise AssertionError(f"never heard {wanted}; it wrote:\n{self.log()}")

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def signal(self, which: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(which)

    def wait(self) -> int:
        """Return the exit code."""
        assert self.process is not None
        return self.process.wait(BOUND_S)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        self._socket.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(BOUND_S)

    def addresses(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state / "addresses.json").read_text())
        return found

    def cli_token(self) -> str:
        return (self.state / "cli.token").read_text().strip()

    def connect(self) -> http.client.HTTPConnection:
        host, _, port = str(self.addresses()["api"]).rpartition(":")
        return http.client.HTTPConnection(host, int(port), timeout=BOUND_S)

    def ask(self, method: str, path: str, body: object = None, *, token: str | None = None, **headers: str) -> Answer:
        """One request. `body` is sent as JSON unless it is bytes."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        connection = self.connect()
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command line against this gateway."""
        return command(*arguments, "--config", str(self.config))


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in this process, which is ten times as quick and the same program."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command(arguments)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


@contextmanager
def gateway(folder: Path, config: str = CONFIG) -> Iterator[GatewayProcess]:
    """A gateway that is gone afterwards, whatever happens."""
    folder.mkdir(exist_ok=True)
    made = GatewayProcess(folder, config)
    try:
        yield made
    finally:
        made.close()


def until(done: Any, what: str) -> Any:
    """Return the first true result of `done`, asked again and again; fail after a generous bound."""
    end = time.monotonic() + BOUND_S
    while time.monotonic() < end:
        result = done()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"never: {what}")


def reload(daemon: GatewayProcess, config: str) -> str:
    """Return what the daemon says when it is ready again."""
    daemon.write(config)
    daemon.signal(signal.SIGHUP)
    daemon.hear("RELOADING=1")
    answer = daemon.hear("READY=1")
    daemon.settle_log()
    return answer
