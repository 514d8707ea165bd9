"""A centre that has expected documents to fetch: real HTTP with ETags, answers that a test sets."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class DocumentCentre:
    """What is fetched, and what was asked."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {"expectations": []}
        self.parts: dict[str, dict[str, Any] | int] = {}
        """Further parts by their path: an answer, or the status of a refusal."""
        self.paths: list[tuple[str, str | None]] = []
        """Path and If-None-Match of every request."""
        self.asked: list[tuple[str | None, int]] = []
        """The If-None-Match of every request, and the status of its answer."""
        self.tokens: set[str | None] = set()
        self.status: int | None = None
        """Set: what every request is answered with."""
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/expectations"

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        part = self.parts.get(handler.path, self.answer)
        body = json.dumps(part).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        known = handler.headers.get("If-None-Match")
        status = self.status or (part if isinstance(part, int) else 304 if known == etag else 200)
        self.paths.append((handler.path, known))
        self.tokens.add(handler.headers.get("Authorization"))
        handler.send_response(status)
        handler.send_header("ETag", etag)
        handler.send_header("Content-Length", str(len(body) if status == 200 else 0))
        handler.end_headers()
        if status == 200:
            handler.wfile.write(body)
        self.asked.append((known, status))


@contextmanager
def document_centre() -> Iterator[DocumentCentre]:
    """Lend a centre that listens on loopback."""
    centre = DocumentCentre()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            centre.respond(self)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    centre.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield centre
    finally:
        server.shutdown()
        server.server_close()
