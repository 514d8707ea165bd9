"""Labels for simulated scans: given ones in turn, or GS1 labels that carry a token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

from simulators.token import Token

GTINS = ("09521234543213", "09521234543220", "09521234543237")
"""Trade items under a company prefix that GS1 keeps for examples; check digits are right."""


def carton(gtin: str, token: Token) -> str:
    """Return a GS1-128 label with its AIM identifier: item (AI 01) and serial number (AI 21), the token."""
    return f"]C101{gtin}21{token}"


async def labels(codes: Sequence[str] | None, tag: str, count: int, interval_s: float) -> AsyncIterator[str]:
    """Yield `count` labels (0: without end), one every `interval_s` seconds."""
    for number, label in enumerate(_endless(codes, tag), start=1):
        yield label
        if number == count:
            return
        await asyncio.sleep(interval_s)


def _endless(codes: Sequence[str] | None, tag: str) -> Iterator[str]:
    number = 0
    while True:
        for code in codes or (None,):
            number += 1
            yield code if code is not None else carton(GTINS[number % len(GTINS)], Token(tag, number))
