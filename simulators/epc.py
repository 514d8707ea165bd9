"""Writes EPC memory as GS1's Tag Data Standard (TDS 1.13, section 14) lays out the bits.

An encoder of its own, from the tables of the standard, so that the gateway's decoder is judged by somebody else.
"""

from __future__ import annotations

from typing import Final

SGTIN_96: Final = 0x30
SSCC_96: Final = 0x31
SGTIN_198: Final = 0x36

# Partition value by length of the GS1 Company Prefix: bits of the prefix, then bits of the reference beside it.
_SGTIN_BITS: Final = {
    12: (0, 40, 4),
    11: (1, 37, 7),
    10: (2, 34, 10),
    9: (3, 30, 14),
    8: (4, 27, 17),
    7: (5, 24, 20),
    6: (6, 20, 24),
}
_SSCC_BITS: Final = {
    12: (0, 40, 18),
    11: (1, 37, 21),
    10: (2, 34, 24),
    9: (3, 30, 28),
    8: (4, 27, 31),
    7: (5, 24, 34),
    6: (6, 20, 38),
}


class _Bits:
    """Numbers, most significant bit first, one behind the other."""

    def __init__(self) -> None:
        self._value = 0
        self._length = 0

    def add(self, number: int, width: int) -> None:
        if not 0 <= number < 1 << width:
            raise ValueError(f"{number} does not fit in {width} bits")
        self._value = self._value << width | number
        self._length += width

    def words(self) -> bytes:
        """Return whole 16-bit memory words; what is left of the last one is zero."""
        spare = -self._length % 16
        return (self._value << spare).to_bytes((self._length + spare) // 8)


def sgtin_96(company_prefix: str, item: str, serial: int, *, filter_value: int = 1) -> bytes:
    """Return an SGTIN-96. `item` is the indicator digit and the item reference: 13 digits together with the prefix."""
    bits = _sgtin(SGTIN_96, company_prefix, item, filter_value)
    bits.add(serial, 38)
    return bits.words()


def sgtin_198(company_prefix: str, item: str, serial: str, *, filter_value: int = 1) -> bytes:
    """Return an SGTIN-198: a serial number of up to 20 characters, seven bits each, filled up with zeros."""
    if not 0 < len(serial) <= 20:
        raise ValueError("a serial number has 1 to 20 characters")
    bits = _sgtin(SGTIN_198, company_prefix, item, filter_value)
    for character in serial:
        bits.add(ord(character), 7)
    bits.add(0, 140 - 7 * len(serial))
    return bits.words()


def sscc_96(company_prefix: str, reference: str, *, filter_value: int = 2) -> bytes:
    """Return an SSCC-96. `reference` is the extension digit and the serial reference: 17 digits with the prefix."""
    if len(company_prefix) + len(reference) != 17:
        raise ValueError("an SSCC has 17 digits before its check digit")
    partition, prefix_bits, reference_bits = _SSCC_BITS[len(company_prefix)]
    bits = _Bits()
    bits.add(SSCC_96, 8)
    bits.add(filter_value, 3)
    bits.add(partition, 3)
    bits.add(int(company_prefix), prefix_bits)
    bits.add(int(reference), reference_bits)
    bits.add(0, 24)
    return bits.words()


def _sgtin(header: int, company_prefix: str, item: str, filter_value: int) -> _Bits:
    if len(company_prefix) + len(item) != 13:
        raise ValueError("a GTIN-14 has 13 digits before its check digit")
    partition, prefix_bits, item_bits = _SGTIN_BITS[len(company_prefix)]
    bits = _Bits()
    bits.add(header, 8)
    bits.add(filter_value, 3)
    bits.add(partition, 3)
    bits.add(int(company_prefix), prefix_bits)
    bits.add(int(item), item_bits)
    return bits


def check_digit(digits: str) -> str:
    """Return the GS1 check digit: weights 3 and 1 from the right (GS1 General Specifications, section 7.9)."""
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return str(-total % 10)
