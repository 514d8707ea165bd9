"""Code 128 (ISO/IEC 15417) as the widths of its bars and spaces.

Code set B alone: one symbol character for each printable ASCII character. The labels printed here are a dozen letters
long, where the digits of code set C would save nothing.
"""

from __future__ import annotations

from typing import Final

QUIET_MODULES: Final = 10
"""Blank modules that the standard asks for on either side."""
_FIRST, _LAST = " ", "~"
_START_B: Final = 104
_CHECK_MODULUS: Final = 103
_STOP: Final = "2331112"
_WIDTHS: Final = """
    212222 222122 222221 121223 121322 131222 122213 122312 132212 221213 221312 231212 112232 122132 122231 113222
    123122 123221 223211 221132 221231 213212 223112 312131 311222 321122 321221 312212 322112 322211 212123 212321
    232121 111323 131123 131321 112313 132113 132311 211313 231113 231311 112133 112331 132131 113123 113321 133121
    313121 211331 231131 213113 213311 213131 311123 311321 331121 312113 312311 332111 314111 221411 431111 111224
    111422 121124 121421 141122 141221 112214 112412 122114 122411 142112 142211 241211 221114 413111 241112 134111
    111242 121142 121241 114212 124112 124211 411212 421112 421211 212141 214121 412121 111143 111341 131141 114113
    114311 411113 411311 113141 114131 311141 411131 211412 211214 211232
"""
"""Of each symbol character in turn: bar, space, bar, space, bar, space, in modules."""


class NotEncodable(ValueError):
    """The text has a character that Code 128 cannot hold in this code set."""


def code128(text: str) -> list[int]:
    """Return the widths, in modules, of bars and spaces in turn, a bar first, without the quiet zones. Raises
    NotEncodable for anything but printable ASCII, and for no text at all."""
    outside = next((character for character in text if not _FIRST <= character <= _LAST), None)
    if outside is not None or not text:
        raise NotEncodable(f"{outside!a} is no printable ASCII character" if outside else "there is nothing to encode")
    values = [_START_B, *(ord(character) - ord(_FIRST) for character in text)]
    check = (values[0] + sum(place * value for place, value in enumerate(values))) % _CHECK_MODULUS
    patterns = _WIDTHS.split()
    widths = "".join(patterns[value] for value in (*values, check)) + _STOP
    return [int(width) for width in widths]
