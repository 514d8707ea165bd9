"""The page itself: a handful of files in `page/`, as they are, for everybody who reaches the address.

They hold no data; what they show they ask the API for, which decides who may see it. Nothing comes from elsewhere, and
the browser is told so: scripts, styles and pictures from here only, nothing inline, no other address to talk to.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.web.guard import ApiError

FOLDER: Final = Path(__file__).parent / "page"
KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


async def index(request: Request) -> Response:
    """The page for people: what stations do, what waits for somebody, and how the gateway is."""
    return _answer(request, "index.html")


async def file(request: Request) -> Response:
    """A file of the page."""
    return _answer(request, request.path_params["name"])


def _answer(request: Request, name: str) -> Response:
    found = _files().get(name)
    if found is None:
        raise ApiError(404, "no_such_thing", "the page has no such file")
    body, mark = found
    # Looked after each time, by its mark: after an upgrade nobody shall run yesterday's page against today's API.
    headers = {"ETag": mark, "Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
    if request.headers.get("if-none-match") == mark:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=KINDS[Path(name).suffix])


@lru_cache(maxsize=1)
def _files() -> dict[str, tuple[bytes, str]]:
    """Return (content, entity tag) by name; read once, some hundred kilobytes."""
    found = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in KINDS:
            body = path.read_bytes()
            found[path.name] = (body, f'"{blake2b(body, digest_size=12).hexdigest()}"')
    return found
