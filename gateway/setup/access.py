"""Who may come in: passwords for the listener, tokens for the local API. Made here, handed out once, kept as hashes."""

from __future__ import annotations

import secrets as chance
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from drivers.mqtt_settings import ListenerSettings
from drivers.password_file import PASSWORD_BYTES_MAX, password_line
from gateway.credentials import CredentialError
from gateway.setup.draft import Draft, Secret, Table
from gateway.setup.words import WordsUnclear, table_of, with_secrets
from gateway.web.auth import Role, TokenEntry, new_token, read_tokens

USERS = "devices.passwd"
TOKENS = "tokens.toml"
READABLE = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without what is taken for something else on a label: i, l, o, 0, 1."""
PASSWORD_CHARACTERS = 16
"""Of 31 each: 79 bits, and short enough to be typed on a handheld."""


@dataclass(frozen=True, slots=True)
class NewUser:
    """One device that connects to the listener."""

    name: str
    password: str = field(repr=False)
    is_made_up: bool = False
    """It has to be shown, because nobody knows it yet."""


def new_password() -> str:
    """Return a password that can be typed."""
    return "".join(chance.choice(READABLE) for _ in range(PASSWORD_CHARACTERS))


def new_user(name: str, password: str, *, is_made_up: bool) -> NewUser:
    """Return a user. Raises WordsUnclear for a password that no device could use."""
    if len(password.encode()) > PASSWORD_BYTES_MAX:
        raise WordsUnclear(f"{name}: a password has at most {PASSWORD_BYTES_MAX} bytes")
    return NewUser(name, password, is_made_up)


def user_of(text: str) -> NewUser:
    """Return the user that an option describes: `hh-1 password-file=hh-1.password`. Raises WordsUnclear."""
    table = with_secrets(table_of(text, ListenerSettings, first="name"), "user")
    name, given = str(table.pop("name")), table.pop("password_file", None)
    if table:
        raise WordsUnclear(f'--user "{text}" is not "DEVICE password-file=..."')
    password = given.text.rstrip("\n") if isinstance(given, Secret) else new_password()
    return new_user(name, password, is_made_up=given is None)


def users_secret(users: Sequence[NewUser], before: str = "") -> Secret:
    """Return the users file, after what is in it `before`; who can read it still knows no password."""
    return Secret(USERS, before + "".join(password_line(one.name, one.password.encode()) for one in users))


def admits(devices: Sequence[Table], name: str) -> bool:
    """Return whether a device of this name is configured, by its id or by a pattern."""
    ids = [str(device["id"]) for device in devices]
    return any(name == one or (one.endswith("*") and name.startswith(one[:-1]) and name != one) for one in ids)


def admit(draft: Draft, name: str, role: Role, *, secrets: Path, device: str | None = None) -> None:
    """Give a token to a person or device; entries of a tokens file in the folder `secrets` stay valid.

    Raises WordsUnclear when it cannot be.
    """
    token, digest = new_token()
    try:
        entry = TokenEntry(name=name, sha256=digest, role=role, device=(device or name) if role == "device" else None)
    except ValidationError as error:
        raise WordsUnclear(f'"{name}": {error.errors()[0]["msg"].removeprefix("Value error, ")}') from None
    kept = draft.api.get("tokens_file")
    if kept is None:
        kept = Secret(TOKENS, _there_already(secrets / TOKENS))
    draft.api["tokens_file"] = Secret(TOKENS, kept.text + entry.lines() + "\n")
    draft.handed.append((f"Token of {name} ({role})", token))


def _there_already(file: Path) -> str:
    if not file.exists():
        return ""
    try:
        read_tokens(file)
    except CredentialError as error:
        raise WordsUnclear(f"{error}: mend it first, or move it away") from None
    return file.read_text("utf-8").rstrip("\n") + "\n\n"
