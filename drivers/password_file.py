"""Who may connect to the listener: the file that mosquitto_passwd writes.

    hh-7:$7$101$<salt, base64>$<hash, base64>      PBKDF2-HMAC-SHA-512, the default of mosquitto 2.0
    hh-8:$6$<salt, base64>$<hash, base64>          SHA-512 over password and salt, mosquitto before 2.0

A user name is a device id. Nothing here is async: one verification costs milliseconds of CPU by design, so callers run
`verify` in a thread. The file is read again when it changes; a password that was proven once is remembered as a keyed
digest under its own stored hash, so that a thousand handhelds which reconnect after a power cut do not have to wait for
a thousand derivations. An unknown user costs as much time as some known one, the same at each try: else the time would
tell a stranger which devices there are.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from drivers.contract import os_words
from drivers.file_version import FileVersion, file_version

ITERATIONS_MAX: Final = 1_000_000
"""A file that asks for more would let one connection hold a thread for many seconds."""
ITERATIONS: Final = 10_000
"""Of the lines we write: some milliseconds for a device that comes for the first time."""
SALT_BYTES: Final = 12
"""As mosquitto_passwd takes."""
PASSWORD_BYTES_MAX: Final = 1024
PROVEN_MAX: Final = 4096


class PasswordFileError(Exception):
    """The users file cannot be used."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class StoredPassword:
    """One line of the file, understood."""

    salt: bytes
    hash: bytes
    iterations: int
    """0 for the salted SHA-512 of mosquitto before 2.0."""

    def matches(self, password: bytes) -> bool:
        """Compare in constant time."""
        if self.iterations:
            derived = hashlib.pbkdf2_hmac("sha512", password, self.salt, self.iterations, len(self.hash))
        else:
            derived = hashlib.sha512(password + self.salt).digest()
        return hmac.compare_digest(derived, self.hash)


_NOBODY: Final = StoredPassword(b"\0" * 12, b"\0" * 64, ITERATIONS)
"""What the password of an unknown user is compared with where there is none to take after."""
_LIKENESS_KEY: Final = os.urandom(16)
"""Nobody outside can know whom an unknown user takes after."""


def parse_password_file(text: str) -> dict[str, StoredPassword]:
    """Return the users of a file. Raises PasswordFileError that names the line."""
    users: dict[str, StoredPassword] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        user, separator, stored = line.strip().partition(":")
        if not separator or not user:
            raise PasswordFileError(f"line {number}: not `user:hash`", hint="write the file with mosquitto_passwd")
        if user in users:
            raise PasswordFileError(f'line {number}: user "{user}" stands here twice')
        users[user] = _parse_hash(stored, number)
    return users


def _parse_hash(stored: str, number: int) -> StoredPassword:
    match stored.split("$"):
        case ["", "7", iterations, salt, digest]:
            count = int(iterations) if iterations.isascii() and iterations.isdigit() else 0
            if not 1 <= count <= ITERATIONS_MAX:
                raise PasswordFileError(f"line {number}: iterations must be 1 to {ITERATIONS_MAX}")
            return StoredPassword(_decode(salt, number), _decode(digest, number), count)
        case ["", "6", salt, digest]:
            return StoredPassword(_decode(salt, number), _decode(digest, number), 0)
    raise PasswordFileError(
        f"line {number}: a kind of hash this gateway does not know",
        hint="write it with `mosquitto_passwd -H sha512-pbkdf2`; hash plain passwords with `mosquitto_passwd -U`",
    )


def _like_one_of(users: dict[str, StoredPassword], user: str) -> StoredPassword:
    """Return what costs an unknown user as much as one of these costs."""
    if not users:
        return _NOBODY
    digest = hashlib.blake2b(user.encode("utf-8", "surrogatepass"), key=_LIKENESS_KEY, digest_size=8).digest()
    found = list(users.values())
    return found[int.from_bytes(digest, "big") % len(found)]


def _decode(text: str, number: int) -> bytes:
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not decoded:
        raise PasswordFileError(f"line {number}: not base64", hint="write the file with mosquitto_passwd")
    return decoded


def password_line(user: str, password: bytes) -> str:
    """Return the line of a user, as mosquitto_passwd writes it (PBKDF2-HMAC-SHA-512)."""
    salt = os.urandom(SALT_BYTES)
    derived = hashlib.pbkdf2_hmac("sha512", password, salt, ITERATIONS)
    return f"{user}:$7${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(derived).decode()}\n"


def _proof(user: str, password: bytes, stored: StoredPassword) -> tuple[str, bytes]:
    """Return by what a proven password is remembered: a keyed digest, never itself."""
    return user, hashlib.blake2b(password, key=stored.hash[:64]).digest()


class PasswordFile:
    """The users file on disk. All methods block and are safe to call from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._version: FileVersion | None = None
        self._users: dict[str, StoredPassword] = {}
        self._proven: dict[tuple[str, bytes], StoredPassword] = {}

    def users(self) -> dict[str, StoredPassword]:
        """Return the users as the file has them now. Raises PasswordFileError."""
        with self._lock:
            try:
                version = file_version(self.path)
                if version != self._version:
                    self._users = self._read()
                    self._version = version
            except OSError as error:
                hint = "see [mqtt.listener] users_file; it must belong to the user of the service"
                raise PasswordFileError(f"users file {self.path}: {os_words(error)}", hint=hint) from error
            except UnicodeDecodeError as error:
                hint = "see [mqtt.listener] users_file"
                raise PasswordFileError(f"users file {self.path}: {error}", hint=hint) from error
            except PasswordFileError as error:
                raise PasswordFileError(f"users file {self.path}: {error}", hint=error.hint) from error
            return self._users

    def _read(self) -> dict[str, StoredPassword]:
        if self.path.stat().st_mode & stat.S_IWOTH:
            raise PasswordFileError("everybody may write it", hint=f"chmod o-w {self.path}")
        return parse_password_file(self.path.read_text("utf-8"))

    def recalls(self, user: str, password: bytes) -> bool:
        """Return whether this password was proven before and is still this user's; costs next to nothing. Raises
        PasswordFileError."""
        stored = self.users().get(user)
        if stored is None or len(password) > PASSWORD_BYTES_MAX:
            return False
        return self._proven.get(_proof(user, password, stored)) == stored

    def verify(self, user: str, password: bytes) -> bool:
        """Return whether this user exists and this is the password. Raises PasswordFileError."""
        users = self.users()
        stored = users.get(user)
        if len(password) > PASSWORD_BYTES_MAX:
            return False
        if stored is None:
            _like_one_of(users, user).matches(password)
            return False
        proof = _proof(user, password, stored)
        if self._proven.get(proof) == stored:
            return True
        if not stored.matches(password):
            return False
        with self._lock:
            if len(self._proven) >= PROVEN_MAX:
                self._proven.clear()
            self._proven[proof] = stored
        return True
