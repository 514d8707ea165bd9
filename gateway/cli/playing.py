"""What the commands of `dockline simulate` share: how they end, what they read, and how they tell of trouble.

play           run a simulator until it is done or stopped
Trouble        tells on standard error what keeps a device from working, once each
read_secret    a password or token from a file
"""

from __future__ import annotations

import errno
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import typer

from gateway.cli.errors import EXIT_USAGE, Failure, say
from gateway.cli.stopping import run_until_stopped

T = TypeVar("T")

_PORT_TROUBLE = (None, errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EEXIST)


def play(work: Coroutine[Any, Any, T], *, is_endless: bool = False) -> T | None:
    """Run until `work` is done, and return what it returns; None when it was stopped and was to go on until then.

    Raises KeyboardInterrupt when it was stopped before it was done, Failure for a port that is taken or a name that is
    used, and OSError for the rest (a full disk, a reader that left).
    """
    try:
        return run_until_stopped(work)
    except KeyboardInterrupt:
        if not is_endless:
            raise
        return None
    except OSError as error:
        raise _told(error) from None
    except ExceptionGroup as group:
        raise _told(_first(group)) from None


def _told(error: Exception) -> Exception:
    if isinstance(error, OSError) and error.errno in _PORT_TROUBLE:
        what = f"{error.filename} " if error.filename else ""
        return Failure(f"cannot: {what}{error.strerror or error}")
    return error


def _first(group: BaseException) -> Exception:
    """Return what really happened in a group of tasks."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    assert isinstance(group, Exception)
    return group


class Trouble:
    """Tells people what keeps a device from working: each sentence once, until it worked again."""

    def __init__(self) -> None:
        self._told = ""

    def tell(self, what: str) -> None:
        """Say it, unless it is what was said last."""
        if what != self._told:
            self._told = what
            say(what)

    def over(self) -> None:
        """It works: what comes next is news."""
        self._told = ""


def read_secret(path: Path | None) -> str | None:
    """Return the password or token in a file, None without one. Raises Failure when it holds none, OSError."""
    if path is None:
        return None
    try:
        text = path.read_text("utf-8").strip()
    except UnicodeDecodeError:
        raise Failure(f"{path}: is no text in UTF-8") from None
    if not text:
        raise Failure(f"{path}: is empty")
    return text


def check_labels(codes: list[str] | None) -> None:
    """Raise Failure for a label that no message can hold."""
    for code in codes or ():
        try:
            code.encode()
        except UnicodeEncodeError:
            raise Failure(f"--code: {code!r} is no text in UTF-8", code=EXIT_USAGE) from None


def check_url(url: str | None) -> None:
    """Raise Failure for what is no address of a web server."""
    import httpx2

    try:
        found = httpx2.URL(url or "http://none")
    except (httpx2.InvalidURL, UnicodeError):
        found = httpx2.URL()
    if found.scheme not in ("http", "https") or not found.host:
        raise Failure(f'--url: "{url}" is no address', hint="for example http://127.0.0.1:8470/v1/readers/portal-1/tags",
                      code=EXIT_USAGE)  # fmt: skip


def check_empty(folder: Path) -> None:
    """Raise Failure when there is something in a folder, or under its name; OSError when it cannot be looked into."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Failure(f"{folder} is there already and not an empty folder", hint="take another, or remove it")


def tell(text: str) -> None:
    """Print a line, with its control characters spelled out."""
    from gateway.log import escape_lines

    typer.echo(escape_lines(text))
