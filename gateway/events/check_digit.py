"""Check digits and check characters (GS1 General Specifications, sections 7.9 and 7.14; ISO 13616 for the IBAN)."""

from __future__ import annotations

import re
from typing import Final

_ZERO: Final = ord("0")
_SET_82: Final = "!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
_SET_32: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_PRIMES: Final = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83)
"""Weights from right to left; AI 8013 has at most 23 characters before its pair."""
_PAIR_MODULUS: Final = 1021
_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[0-9A-Z]{10,30}")


def check_digit(digits: str) -> int:
    """Return the check digit that closes these digits: weights 3 and 1 from the right, modulo 10."""
    values = digits.encode()
    threes, ones = values[::-2], values[-2::-2]
    return -(3 * sum(threes) + sum(ones) - _ZERO * (3 * len(threes) + len(ones))) % 10


def is_closed(digits: str) -> bool:
    """Return True when the last of these digits is the check digit of the others."""
    return digits[-1:] == str(check_digit(digits[:-1]))


def check_digit_problem(key: str, digits: str) -> str | None:
    """Return what is wrong with a GS1 key that ends in its check digit, or None."""
    if not digits.strip("0"):
        return f"{key} {digits}: zeros identify nothing"
    expected = check_digit(digits[:-1])
    return None if digits[-1] == str(expected) else f"{key} {digits}: check digit {digits[-1]}, expected {expected}"


def check_pair(text: str) -> str:
    """Return the two check characters that close a text of set 82 (AI 8013, 8014)."""
    total = sum(_SET_82.index(character) * prime for character, prime in zip(reversed(text), _PRIMES, strict=False))
    high, low = divmod(total % _PAIR_MODULUS, 32)
    return _SET_32[high] + _SET_32[low]


def is_iban(text: str) -> bool:
    """Return True when the two check digits of an international bank account number hold."""
    if not _IBAN.fullmatch(text):
        return False
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1


def upc_a(digits: str) -> str | None:
    """Return the GTIN-12 that eight digits of a UPC-E stand for, check digit included; None when they are none.

    The General Specifications (section 5.2.1.2.3) put the zeros back by the last digit before the check digit.
    """
    system, body, check = digits[0], digits[1:7], digits[7]
    if system not in "01":
        return None
    a, b, c, d, e, how = list(body)
    match how:
        case "0" | "1" | "2":
            full = f"{a}{b}{how}0000{c}{d}{e}"
        case "3":
            full = f"{a}{b}{c}00000{d}{e}"
        case "4":
            full = f"{a}{b}{c}{d}00000{e}"
        case _:
            full = f"{a}{b}{c}{d}{e}0000{how}"
    return f"{system}{full}{check}"
