"""Who is asking, and what that person or device may do.

A token is 32 random bytes; the file holds its SHA-256 only, which is enough for a secret nobody can guess. Every token
in the file is compared, in constant time each, so that neither the place nor the beginning of a match can be measured.

    [[token]]
    name = "hh-7"                # who acted, in the audit
    sha256 = "<64 hex digits>"
    role = "device"              # device | viewer | operator | technician | admin
    device = "hh-7"              # role device only: the one device it speaks for

A device may only bring its own scans. The other roles are a ladder: each may do what the ones before it may.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from drivers.file_version import FileVersion, file_version
from gateway.credentials import CredentialError, check_secret_file
from gateway.log import event, keep_secret
from gateway.settings.model import Id

log = logging.getLogger(__name__)

Role = Literal["device", "viewer", "operator", "technician", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
TOKEN_BYTES = 32
TOKENS_MAX = 5000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking."""

    name: str
    role: Role
    device: str | None = None
    """The device a `device` token speaks for."""
    may_name: bool = False
    """Root and the command line's own token: they may say for which user of this computer they act."""

    def may(self, role: Role) -> bool:
        """True when the caller stands at `role` or above; a device stands on no rung of the ladder but its own."""
        if self.role == "device" or role == "device":
            return self.role == role
        return ROLES.index(self.role) >= ROLES.index(role)


ANYBODY = Caller("anybody", "admin")
"""Who asks without a token under "accept-in-lab"."""
LOCAL_READER = Caller("local", "viewer")
"""Who asks without a token on a loopback address: looking is free there."""


class TokenEntry(BaseModel):
    """One `[[token]]` of the tokens file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = Field(min_length=1, max_length=63)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    role: Role
    device: Id | None = None

    @model_validator(mode="after")
    def _check_device(self) -> TokenEntry:
        if (self.role == "device") != (self.device is not None):
            raise ValueError('role "device", and only that one, names its device')
        return self

    def lines(self) -> str:
        """Return the entry as it stands in the file."""
        texts = {"name": self.name, "sha256": self.sha256, "role": self.role, "device": self.device}
        # JSON writes a text as TOML does, but for DEL.
        told = [f"{key} = {json.dumps(text)}" for key, text in texts.items() if text is not None]
        return "\n".join(["[[token]]", *told]).replace("\x7f", "\\u007f") + "\n"


class _TokensFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    token: tuple[TokenEntry, ...] = Field(default=(), max_length=TOKENS_MAX)


def new_token() -> tuple[str, str]:
    """Return (the token to hand out once, its SHA-256 for the file)."""
    token = "dkl_" + secrets.token_urlsafe(TOKEN_BYTES)
    return token, hashlib.sha256(token.encode()).hexdigest()


def read_tokens(path: Path) -> tuple[TokenEntry, ...]:
    """Return the entries of a tokens file; raise CredentialError when it cannot be trusted or understood."""
    check_secret_file(path)
    try:
        return _TokensFile.model_validate(tomllib.loads(path.read_text("utf-8"))).token
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CredentialError(f'"{path}" is not TOML: {error}') from error
    except ValidationError as error:
        detail: Any = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part + 1) if isinstance(part, int) else str(part) for part in detail["loc"])
        raise CredentialError(f'"{path}": {where}: {detail["msg"]}', hint="`dockline token` writes entries") from error


class Tokens:
    """The tokens that are valid now: those of the file, read again when it changes, and the command line's own."""

    def __init__(self, path: Path | None) -> None:
        """Read the file. Raises CredentialError."""
        self._path = path
        self._stamp = self._look()
        self._entries = read_tokens(path) if path is not None else ()
        self.refused: CredentialError | None = None
        """Why the file as it is now cannot be used, while the tokens from before stay valid."""
        self._own: list[TokenEntry] = []

    def follow(self, path: Path | None) -> None:
        """Read another file from now on. Raises CredentialError, and then goes on with the old one."""
        entries = read_tokens(path) if path is not None else ()
        self._path, self._entries, self.refused = path, entries, None
        self._stamp = self._look()

    def admit(self, name: str, role: Role) -> str:
        """Make a token for this process's lifetime and return it."""
        token, digest = new_token()
        keep_secret(token)
        self._own.append(TokenEntry(name=name, sha256=digest, role=role))
        return token

    def find(self, token: str) -> Caller | None:
        """Return whose token it is, or None."""
        self.refresh()
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        found: TokenEntry | None = None
        for entry in (*self._entries, *self._own):
            if hmac.compare_digest(entry.sha256, digest):
                found = entry
        return Caller(found.name, found.role, found.device, found in self._own) if found else None

    def refresh(self) -> None:
        """Read the file again if it changed; what cannot be used becomes `refused`."""
        stamp = self._look()
        if self._path is None or stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._entries = read_tokens(self._path)
            self.refused = None
        except CredentialError as error:
            self.refused = error
            # Half a file while somebody edits it must not lock every handheld out: the old ones stay valid.
            log.error("%s", event("tokens_refused", reason=error, hint=error.hint))

    def _look(self) -> FileVersion | None:
        if self._path is None:
            return None
        try:
            return file_version(self._path)
        except OSError:
            return None
