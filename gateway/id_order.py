"""The order in which people look for an id: `hh-2` before `hh-10`."""

from __future__ import annotations

import re

_NUMBER = re.compile("([0-9]+)")


def id_order(id_: str) -> list[tuple[int, str]]:
    """Return a key for `sorted`: numbers within an id count as numbers, and no two ids have the same key."""
    parts = _NUMBER.split(id_)  # text and number in turns, so that like is compared with like
    parts[1::2] = (number.lstrip("0") for number in parts[1::2])
    return [(len(part) if at % 2 else 0, part) for at, part in enumerate(parts)] + [(0, id_)]
