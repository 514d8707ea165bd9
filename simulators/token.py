"""A checksummed token inside every simulated scan.

The token travels inside the label itself, through everything the gateway does, to the centre. Whoever holds only the
centre's record can still tell a scan that a device made from one that nobody made, and a whole one from a damaged one.

    d3.00042.1f9a2b7c      device tag, number of the scan, CRC-32 of both

It fits the 20 characters that a GS1 serial number (AI 21) may have, and uses only characters that GS1 allows there.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(r"(?<![a-z])([a-z][a-z0-9]{1,3})\.(\d{5,6})\.([0-9a-f]{8})(?![0-9a-f])")


@dataclass(frozen=True, slots=True, order=True)
class Token:
    """Which device made a scan, and which of its scans this is."""

    tag: str
    number: int

    def __str__(self) -> str:
        stem = f"{self.tag}.{self.number:05d}"
        return f"{stem}.{zlib.crc32(stem.encode()):08x}"

    def epc(self) -> bytes:
        """Return 96 bits of EPC memory that carry the token, under a header no standard knows: it passes as raw."""
        stem = f"{self.tag:<4}{self.number:06d}".encode()
        return b"\xe2" + stem + bytes([zlib.crc32(stem) & 0xFF])


@dataclass(frozen=True, slots=True)
class Found:
    """The tokens in a piece of text: whole ones, and how many looked like tokens but failed their checksum."""

    whole: tuple[Token, ...]
    damaged: tuple[str, ...]


@lru_cache(maxsize=4096)
def find_tokens(text: str) -> Found:
    """Return every distinct token in `text`, in order of appearance. A judge asks about each event several times."""
    whole: dict[Token, None] = {}
    damaged: dict[str, None] = {}
    for match in _TOKEN.finditer(text):
        token = Token(match[1], int(match[2]))
        if str(token) == match[0]:
            whole[token] = None
        else:
            damaged[match[0]] = None
    return Found(tuple(whole), tuple(damaged))
