"""A secret in a file: a token, a signing secret, a systemd credential.

The file is looked at before every use (one `stat`) and read again when it changed, so that a renewed token counts
without a restart. Its content never appears in a message, a `repr` or a log. A file that went bad is not forgiven
because it once was good: the old value is dropped first.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sync.errors import UpstreamHolds

_SECRET_BYTES_MAX = 16_384
_STRUCK_CHARACTERS_MIN = 6
"""A shorter one turns up by chance."""

Stamp = tuple[int, ...]


class SecretFile:
    """Text read from a file, current at every `value`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: Stamp | None = None
        self._value = ""

    def value(self) -> str:
        """Return the text, runs of white space made one blank.

        Raises UpstreamHolds when the file is missing, empty, too large, no plain text or readable by everybody.
        """
        stamp = stamp_of(self._path)
        if stamp is None or stamp != self._stamp or not self._value:
            self._value = ""
            # Before the reading: a file replaced meanwhile has another stamp, and is read again next time.
            self._stamp = stamp
            self._value = self._read()
        return self._value

    def changed(self) -> bool:
        """Return whether the file is no longer the one that `value` last looked at."""
        return stamp_of(self._path) != self._stamp

    def struck_from(self, text: bytes) -> bytes:
        """Return the text with stars wherever it repeats the secret, as long as it was."""
        secret = self._value.encode()
        return text.replace(secret, b"*" * len(secret)) if len(secret) >= _STRUCK_CHARACTERS_MIN else text

    def __repr__(self) -> str:
        return f"SecretFile({str(self._path)!r})"

    def _read(self) -> str:
        try:
            with self._path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(_SECRET_BYTES_MAX + 1)
        except OSError as error:
            raise self._fault(f"cannot be read: {error.strerror}", "make it readable by the service") from None
        # Not the group: `root:dockline 0640` is how a package keeps a file that the service may read but not change,
        # and a systemd credential shows its access list as group bits.
        if mode & stat.S_IRWXO:
            raise self._fault("is open to every user of this computer", "chmod o= it, then renew the secret")
        if len(content) > _SECRET_BYTES_MAX or not content.isascii():
            raise self._fault("is too large or not plain text", "put the secret alone into it")
        text = " ".join(content.decode("ascii").split())
        if not text or not text.isprintable():
            raise self._fault("is empty or holds control characters", "put the secret alone into it")
        return text

    def _fault(self, message: str, hint: str) -> UpstreamHolds:
        return UpstreamHolds(f"{self._path} {message}", hint=hint, code="upstream_credential")


def stamp_of(path: Path) -> Stamp | None:
    """Return what differs after every change of a file, of its owner and mode too; None when it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    times = (found.st_mtime_ns, found.st_ctime_ns)
    return (*times, found.st_size, found.st_ino, found.st_mode, found.st_uid, found.st_gid)
