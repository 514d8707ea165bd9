"""Scans that arrived as one, because a frame lost its end or a wedge sent no terminator."""

from __future__ import annotations

import re
from typing import Final

from gateway.capture.element_string import ElementProblem
from gateway.events.check_digit import is_closed

WHOLE_KEY: Final = re.compile(r"00[0-9]{18}|0[12][0-9]{14}")
"""How a message of element strings begins that has lost its symbology identifier: AI 00, 01 or 02, whole."""
_DOUBLED_LENGTHS: Final = (8, 12, 13, 14, 18, 20)
_JOINED_LENGTHS: Final = (12, 13, 14, 18)


def check_not_joined(digits: str) -> None:
    """Two keys run together, different ones, when a frame lost its end. Both halves are closed by their check digits:
    one number in a hundred is so by chance, and nobody prints one of that length."""
    half = len(digits) // 2
    first, second = digits[:half], digits[half:]
    if WHOLE_KEY.match(digits):
        return  # element strings
    if half in _JOINED_LENGTHS and len(first) == len(second) and is_closed(first) and is_closed(second):
        raise ElementProblem(f"two scans arrived as one: {first} and {second}", is_mismatch=True)


def check_not_doubled(text: str) -> None:
    """A wedge may deliver one scan twice, or more often, without a terminator between. Digits of known length give it
    away; so does a GS1 message that is its own repetition, which no label is."""
    length = len(text)
    half = text[: length // 2]
    if length % 2 == 0 and half == text[length // 2 :] and WHOLE_KEY.match(half):
        raise ElementProblem(f"{half} arrived twice in one scan", is_mismatch=True)
    if not text.isdigit():
        return
    for once in _DOUBLED_LENGTHS:
        times, rest = divmod(length, once)
        if times > 1 and not rest and text == text[:once] * times and is_closed(text[:once]):
            raise ElementProblem(
                f"{text[:once]} arrived {'twice' if times == 2 else f'{times} times'} in one scan", is_mismatch=True
            )
