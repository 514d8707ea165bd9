"""A table from one option of a command line: `dock-3-scanner station=dock-3 url=serial:///dev/...?baudrate=9600`.

The first word is the id (of an upstream: the name), each further one a key of the table as it stands in
`config/gateway.toml`. Secrets are named by the file they are in; what is on a command line can be read by everybody.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from gateway.setup.draft import Secret, Table

NO_PROFILES: Mapping[str, str | None] = MappingProxyType({})
POINT_WORDS = ("name", "address", "type", "means", "table")
DRIVER_OF_SCHEME = {
    "serial": "serial-scanner",
    "socket": "serial-scanner",
    "tcp": "tcp-scanner",
    "tcp-listen": "tcp-scanner",
    "modbus-tcp": "modbus-poller",
    "modbus-rtu": "modbus-poller",
}
SECRET_KEYS = {
    "token_file": "token",
    "signing_secret_file": "whsec",
    "password_file": "password",
    "users_file": "passwd",
}
"""Keys that name a file with a secret, and how the copy of it is called behind the dot."""


class WordsUnclear(ValueError):
    """An option cannot be understood; says what it should look like."""


def table_of(text: str, model: type[BaseModel], *, first: str | None) -> Table:
    """Return the table that a text describes; `first` is the key of its first word. Raises WordsUnclear."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise WordsUnclear(f'"{text}": a quotation mark is not closed') from None
    table: Table = {}
    if first is not None:
        if not words or "=" in words[0]:
            raise WordsUnclear(f'"{text}" must begin with the {first}')
        table[first] = words.pop(0)
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key:
            raise WordsUnclear(f'"{word}" in "{text}" is not key=value')
        key = key.replace("-", "_")
        if key == "point":
            table.setdefault("points", []).append(point_of(value))
        else:
            table[key] = typed(value, model, key)
    return table


def device_table(text: str, common: type[BaseModel], drivers: Mapping[str, str | None] = NO_PROFILES) -> Table:
    """Return the table of a device; its driver follows from the profile or the url when it is not named.

    `drivers` are those of the profiles. Raises WordsUnclear.
    """
    table = table_of(text, common, first="id")
    table.setdefault("driver", drivers.get(str(table.get("profile"))) or driver_of(str(table.get("url", ""))))
    from drivers.registry import UnknownDriver, load_driver

    try:
        own = load_driver(str(table["driver"])).settings_model
    except UnknownDriver:
        return table  # the loader says so, with what was probably meant
    # In the order in which a person reads a device; what the driver alone knows is typed as it wants it.
    known = [key for key in ("id", "station", "driver", "url", "profile") if key in table]
    return {
        key: typed(table[key], own, key) if key in own.model_fields and isinstance(table[key], str) else table[key]
        for key in (*known, *(key for key in table if key not in known))
    }


def driver_of(url: str) -> str:
    """Return the driver that speaks to a url; without one it is a handheld."""
    return DRIVER_OF_SCHEME.get(url.partition("://")[0], "serial-scanner") if url else "handheld"


def point_of(text: str) -> Table:
    """Return the table of a PLC's value: `good_parts:0:uint32:count`, and the register table if it is not holding."""
    parts = text.split(":")
    if len(parts) < 3 or len(parts) > len(POINT_WORDS) or not parts[1].isdecimal():
        raise WordsUnclear(f'"{text}" is not NAME:ADDRESS:TYPE[:MEANS[:TABLE]], as in "good_parts:0:uint32:count"')
    point: Table = dict(zip(POINT_WORDS, parts, strict=False))
    point["address"] = int(parts[1])
    return point


def with_secrets(table: Table, owner: str) -> Table:
    """Return the table with the files it names replaced by the secrets in them. Raises WordsUnclear."""
    found = dict(table)
    for key, ending in SECRET_KEYS.items():
        if isinstance(found.get(key), str):
            path = Path(found[key])
            try:
                text = path.read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise WordsUnclear(f"{key}: {path}: {getattr(error, 'strerror', None) or 'is not text'}") from None
            if not text:
                raise WordsUnclear(f"{key}: {path} is empty")
            found[key] = Secret(f"{owner}.{ending}", text + "\n")
    return found


def typed(value: Any, model: type[BaseModel], key: str) -> Any:
    """Return a word as TOML would hold it: a number or truth value where the key takes no text."""
    field = model.model_fields.get(key)
    if not isinstance(value, str) or field is None or "str" in str(field.annotation) or "Path" in str(field.annotation):
        return value
    try:
        found = json.loads(value)
    except ValueError:
        return value
    return found if isinstance(found, bool | int | float) else value
