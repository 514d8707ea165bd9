"""Where an address of a web server leads."""

from __future__ import annotations

import functools
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from sync.http_exchange import NoConnection

_TARGET_SAFE: Final = "/?:@!$&'()*+,;=-._~%[]|"


class Origin(NamedTuple):
    """Where a connection leads."""

    is_tls: bool
    host: str
    port: int


class Place(NamedTuple):
    """What an address means."""

    origin: Origin
    named: str
    """The Host header."""
    target: str


@functools.lru_cache(maxsize=64)
def read_address(url: str) -> Place:
    """Take an address apart. Raises NoConnection for one that leads nowhere."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        target = quote(parts.path or "/", safe=_TARGET_SAFE)
        if parts.query:
            target += "?" + quote(parts.query, safe=_TARGET_SAFE)
    except ValueError as error:  # half a character in it, too: a centre may have named it in JSON
        raise NoConnection(str(error)) from error
    if not host or parts.scheme not in ("http", "https"):
        raise NoConnection("this is no address of a web server")
    is_tls = parts.scheme == "https"
    named = f"[{host}]" if ":" in host else host
    if port is not None and port != (443 if is_tls else 80):
        named += f":{port}"
    return Place(Origin(is_tls, host, port or (443 if is_tls else 80)), named, target)
