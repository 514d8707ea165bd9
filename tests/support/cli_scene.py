"""A site for commands that fail: a stopped gateway with three events, and a daemon that says what a test wants."""

from __future__ import annotations

import ast
import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from daemon_process import CONFIG, ROOT
from outbox_rig import SMALL, draft

from buffer import Outbox
from gateway.cli import client, errors

CLI = ROOT / "gateway" / "cli"
RAISED = ("Failure", "NoDaemon")
STATUS = {"devices": [{"id": "hh-*"}, {"id": "dock-3-scanner"}], "links": []}


async def make_outbox(folder: Path) -> None:
    """Three events; the centre has the first and would not take the second."""
    writer, reader = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    outbox = await Outbox.open(
        folder, source="//dc07/dock-pc-1", limits=SMALL, executor=writer, reader=reader, wall=lambda: 1_795_248_000_000,
        monotonic=lambda: 1.0, new_epoch=lambda: "e1", on_fatal=lambda _: None,
    )  # fmt: skip
    await outbox.register("centre", required=True, start="retained")
    await outbox.register("gone", required=False, start="now")
    await outbox.append([draft(number) for number in (1, 2, 3)])
    await outbox.settle("centre", through=2, rejected=[(2, "unknown article")])
    await outbox.close(5)
    writer.shutdown()
    reader.shutdown()


@dataclass
class Scene:
    """What one failing command finds."""

    folder: Path
    patch: pytest.MonkeyPatch
    servers: list[ThreadingHTTPServer] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.folder / "gateway.toml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def write(self, text: str = CONFIG, *, more: str = "") -> None:
        """Write the configuration."""
        self.config.write_text((text + more).replace("{state}", str(self.state)))

    def outbox(self) -> None:
        """Put three events there."""
        asyncio.run(make_outbox(self.state))

    def raises(self, name: str, error: BaseException) -> None:
        """Have a function fail; a name such as "buffer.OutboxReader.open"."""

        def fail(*_: object, **__: object) -> None:
            raise error

        self.patch.setattr(name, fail)

    def daemon(self, answers: dict[str, Any] | None = None, *, status: int = 200, raw: bytes | None = None) -> None:
        """Let something answer where the daemon would: JSON by path, or the same bytes to everything."""
        told = {"/v1/status": STATUS, **(answers or {})}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = raw if raw is not None else json.dumps(told.get(self.path.partition("?")[0], {})).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        self.servers.append(server)
        self.addresses(scheme="http", api=f"127.0.0.1:{server.server_port}")

    def addresses(self, **said: str) -> None:
        """Write what a running daemon leaves in its storage folder."""
        self.state.mkdir(exist_ok=True)
        (self.state / "addresses.json").write_text(json.dumps(said))


@contextmanager
def scene_in(folder: Path) -> Iterator[Scene]:
    """A scene that is gone afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        scene = Scene(folder, patch)
        scene.write()
        yield scene
        for server in scene.servers:
            server.shutdown()
            server.server_close()


@cache
def places() -> dict[str, tuple[Path, range]]:
    """Return every place in gateway/cli that makes a failure: "module.function:n" with its file and lines."""
    found: dict[str, tuple[Path, range]] = {}
    for path in sorted(CLI.glob("*.py")):
        _walk(ast.parse(path.read_text()), path, path.stem, found)
    return found


def _walk(node: ast.AST, path: Path, name: str, found: dict[str, tuple[Path, range]]) -> None:
    for child in ast.iter_child_nodes(node):
        inner = f"{path.stem}.{child.name}" if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else name
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id in RAISED:
            number = sum(place.rpartition(":")[0] == name for place in found) + 1
            found[f"{name}:{number}"] = (path, range(child.lineno, (child.end_lineno or child.lineno) + 1))
        _walk(child, path, inner, found)


@contextmanager
def noting_places() -> Iterator[Callable[[], list[str]]]:
    """Note where failures are made; yields what returns the places, in order."""
    made: list[tuple[str, int]] = []
    real = errors.Failure.__init__

    def note(self: errors.Failure, *arguments: Any, **options: Any) -> None:
        frame = sys._getframe(1)
        if frame.f_code is client.NoDaemon.__init__.__code__:
            assert frame.f_back is not None
            frame = frame.f_back
        made.append((frame.f_code.co_filename, frame.f_lineno))
        real(self, *arguments, **options)

    known = places()

    def told() -> list[str]:
        return [
            name for file, line in made for name, (path, lines) in known.items() if str(path) == file and line in lines
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(errors.Failure, "__init__", note)
        yield told
