"""Texts in RFID tags: coding schemes of TDS 1.13 that hold a serial number or a part number of letters.

Read from the tables of the standard (section 14.6): header, filter, partition, company prefix, reference, for a piece
of a trade item its number and how many there are, and a text of ISO/IEC 646 characters that ends at the first of zero
bits; whatever stands behind that has to be zero. A component or part (CPI) has a text of six-bit characters instead, a
zero behind it, and a number. For what `epcpy` takes apart wrongly: texts in which / < > or ? comes first, or right
behind " % or &, # in a part number, and the last of 99 pieces.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from gateway.events.check_digit import check_digit

_PREFIXES: Final = ((40, 12), (37, 11), (34, 10), (30, 9), (27, 8), (24, 7), (20, 6))
"""Bits and digits of the GS1 Company Prefix, by partition value."""
_SET_82: Final = re.compile(r"[!-\"%-?A-Z_a-z]+")
_ESCAPED: Final = re.compile(r'["#%&/<>?]')
_HEAD_BITS: Final = 14
_CHARACTER_BITS: Final = 7


class _Scheme(NamedTuple):
    name: str
    coding: str
    reference_bits: int
    """Of company prefix and reference together; 0: there is no reference."""
    reference_digits: int
    text_bits: int
    """0: all that is left of the bits."""
    bits: int
    pieces: bool = False
    """Between reference and text: which piece it is, and of how many, in seven bits each."""


_SCHEMES: Final = {
    0x36: _Scheme("sgtin", "sgtin-198", 44, 13, 140, 198),
    0x37: _Scheme("grai", "grai-170", 44, 12, 112, 170),
    0x38: _Scheme("giai", "giai-202", 0, 0, 0, 202),
    0x39: _Scheme("sgln", "sgln-195", 41, 12, 140, 195),
    0x3E: _Scheme("gdti", "gdti-174", 41, 12, 119, 174),
    0x41: _Scheme("itip", "itip-212", 44, 13, 140, 212, pieces=True),
}
_CPI_VAR: Final = 0x3D
_PIECE_BITS: Final = 7
_PIECES_MAX: Final = 99
_PART_BITS: Final = 6
_PART_LENGTHS: Final = (18, 19, 20, 21, 22, 23, 24)
"""Characters of a component or part reference at most, by partition value (section 14.6)."""
_PART_SET: Final = re.compile(r"[#\-/0-9A-Z]+")
_NUMBER_BITS: Final = 40
_NUMBER_MAX: Final = 999_999_999_999


class TagText(NamedTuple):
    """What the bits of such a tag say."""

    scheme: str
    coding: str
    filter: int
    prefix: str
    reference: str
    """Empty for a GIAI, whose text is its reference."""
    text: str
    pieces: tuple[int, int] | None = None
    """Which piece of a trade item it is, and of how many."""
    number: int | None = None
    """Serial number of a component or part, whose reference is the text."""

    @property
    def uri(self) -> str:
        """The EPC pure identity URI; characters that a URI keeps for itself are escaped (TDS section 5.4)."""
        text = _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", self.text)
        # A company prefix of twelve digits leaves no digit to some references: their part is there and empty.
        parts = [self.prefix, text] if self.scheme in ("giai", "cpi") else [self.prefix, self.reference, text]
        if self.pieces is not None:
            parts[2:2] = [f"{one:02d}" for one in self.pieces]
        if self.number is not None:
            parts.append(str(self.number))
        return f"urn:epc:id:{self.scheme}:{'.'.join(parts)}"

    @property
    def key(self) -> str:
        """The GS1 key with its check digit, without the text; of a GIAI the whole key."""
        if self.scheme == "giai":
            return self.prefix + self.text
        digits = self.prefix + self.reference
        if self.scheme == "sgtin":
            digits = self.reference[0] + self.prefix + self.reference[1:]
        return f"{digits}{check_digit(digits)}"


def read_tag_text(epc: bytes) -> TagText | None:
    """Return what the bits say; None when they are of no such scheme, whole and without contradiction."""
    if epc[0] == _CPI_VAR:
        return _component(epc)
    scheme = _SCHEMES.get(epc[0])
    length = len(epc) * 8
    if scheme is None or length not in (-(-scheme.bits // 8) * 8, -(-scheme.bits // 16) * 16):
        return None
    bits = f"{int.from_bytes(epc):0{length}b}"
    partition = int(bits[11:_HEAD_BITS], 2)
    if partition >= len(_PREFIXES) or "1" in bits[scheme.bits :]:
        return None
    prefix_bits, prefix_digits = _PREFIXES[partition]
    at = _HEAD_BITS + prefix_bits
    prefix = _digits(bits[_HEAD_BITS:at], prefix_digits)
    reference: str | None = ""
    if scheme.reference_bits:
        end = _HEAD_BITS + scheme.reference_bits
        reference, at = _digits(bits[at:end], scheme.reference_digits - prefix_digits), end
    pieces = None
    if scheme.pieces:
        pieces, at = _pieces(bits[at : at + 2 * _PIECE_BITS]), at + 2 * _PIECE_BITS
    text = _text(bits[at : scheme.bits])
    if prefix is None or reference is None or text is None or (scheme.pieces and pieces is None):
        return None
    return TagText(scheme.name, scheme.coding, int(bits[8:11], 2), prefix, reference, text, pieces)


def _component(epc: bytes) -> TagText | None:
    """Return what a CPI-var says: company prefix, part reference in six-bit characters, a zero, serial number."""
    bits = f"{int.from_bytes(epc):0{len(epc) * 8}b}"
    partition = int(bits[11:_HEAD_BITS], 2)
    if partition >= len(_PREFIXES):
        return None
    prefix_bits, prefix_digits = _PREFIXES[partition]
    at = _HEAD_BITS + prefix_bits
    prefix = _digits(bits[_HEAD_BITS:at], prefix_digits)
    codes = [int(bits[start : start + _PART_BITS], 2) for start in range(at, len(bits) - 5, _PART_BITS)]
    length = codes.index(0) if 0 in codes else 0
    # A six-bit character is the last six bits of its ISO 646 code: letters lost 0x40 (TDS, table G-1).
    text = "".join([chr(code if code & 0x20 else code | 0x40) for code in codes[:length]])
    end = at + (length + 1) * _PART_BITS + _NUMBER_BITS
    if prefix is None or len(text) > _PART_LENGTHS[partition] or not _PART_SET.fullmatch(text):
        return None
    number = bits[end - _NUMBER_BITS : end]
    if len(bits) not in (-(-end // 8) * 8, -(-end // 16) * 16) or "1" in bits[end:] or int(number, 2) > _NUMBER_MAX:
        return None
    return TagText("cpi", "cpi-var", int(bits[8:11], 2), prefix, "", text, number=int(number, 2))


def _pieces(bits: str) -> tuple[int, int] | None:
    piece, total = int(bits[:_PIECE_BITS], 2), int(bits[_PIECE_BITS:], 2)
    return (piece, total) if 0 < piece <= total <= _PIECES_MAX else None


def _digits(bits: str, count: int) -> str | None:
    number = f"{int(bits, 2):0{count}d}" if count else ""
    return number if len(number) == count else None


def _text(bits: str) -> str | None:
    codes = [int(bits[at : at + _CHARACTER_BITS], 2) for at in range(0, len(bits) - 6, _CHARACTER_BITS)]
    length = codes.index(0) if 0 in codes else len(codes)
    text = "".join(map(chr, codes[:length]))
    if "1" in bits[length * _CHARACTER_BITS :] or not _SET_82.fullmatch(text):
        return None
    return text
