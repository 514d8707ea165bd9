"""What EPCIS has no word for: the rest of a canonical event, as extension fields.

The rest is found, not listed: what reading the EPCIS words back does not give again goes into extension fields, so a
member that somebody adds to a canonical event tomorrow is carried without a line here. Every name gets the prefix, at
every depth, because JSON-LD drops members whose name has no meaning.
"""

from __future__ import annotations

import json
from typing import Any, Final

NAMESPACE: Final = "urn:dockline:epcis/"
"""Of every extension field and of the types EPCIS does not have; a name, not an address, and it does not change. The
slash is for programs that tell a namespace by one."""
PREFIX: Final = "dockline:"


def prefixed(value: Any) -> Any:
    """Return a value with the prefix before every member name."""
    if isinstance(value, dict):
        return {PREFIX + name: prefixed(member) for name, member in value.items()}
    if isinstance(value, list):
        return [prefixed(member) for member in value]
    return value


def unprefixed(value: Any) -> Any:
    """Return what `prefixed` was given."""
    if isinstance(value, dict):
        return {name.removeprefix(PREFIX): unprefixed(member) for name, member in value.items()}
    if isinstance(value, list):
        return [unprefixed(member) for member in value]
    return value


def difference(whole: dict[str, Any], told: dict[str, Any], path: str = "") -> tuple[dict[str, Any], list[str]]:
    """Return what `whole` has beyond `told`, and the paths that only `told` has."""
    rest: dict[str, Any] = {}
    absent = [f"{path}/{name}" for name in told if name not in whole]
    for name, value in whole.items():
        if name in told and isinstance(value, dict) and isinstance(told[name], dict):
            part, missing = difference(value, told[name], f"{path}/{name}")
            absent += missing
            if part:
                rest[name] = part
        elif name not in told or not _is_same(value, told[name]):
            rest[name] = value
    return rest, absent


def merged(told: dict[str, Any], rest: dict[str, Any], absent: list[str]) -> dict[str, Any]:
    """Return what `difference` was given as `whole`."""
    whole = _overlaid(told, rest)
    for path in absent:
        *folders, name = path.split("/")[1:]
        part = whole
        for folder in folders:
            part = part[folder]
        part.pop(name, None)
    return whole


def _overlaid(told: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    whole = dict(told)
    for name, value in rest.items():
        known = whole.get(name)
        whole[name] = _overlaid(known, value) if isinstance(value, dict) and isinstance(known, dict) else value
    return whole


def _is_same(one: Any, other: Any) -> bool:
    """1, 1.0 and true are equal in Python and three values in JSON."""
    return json.dumps(one) == json.dumps(other)
