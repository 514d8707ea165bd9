"""Splits what a scanner sent into the symbology identifier and the data.

ISO/IEC 15424: "]" + code character (which symbology) + modifier character (which options the reader applied), for
example "]C1" for GS1-128, "]d2" for GS1 DataMatrix, "]Q3" for GS1 QR Code, "]E0" for EAN-13. The case of the code
character matters: "]d" is Data Matrix, "]D" is Code One.

The data is data: control characters stay. GS (0x1D) separates GS1 element strings of variable length; a scanner that
cannot send it and puts something in its place is repaired by its profile (`group_separator`), and only where the data
are element strings: behind such an identifier, or without any when they begin with a whole SSCC or GTIN. What stands in
for GS must not be able to stand in the data itself: a single character that GS1 allows in a lot number is refused.

Text: GS1 data and most labels are ASCII. Beyond it scanners send UTF-8 or one byte a character and do not say which.
"auto" takes UTF-8 when the bytes are valid UTF-8 and ISO/IEC 8859-1 otherwise (every byte has a character there, so
nothing is lost and nothing fails); a site that knows better says so in `encoding`. `Reading.raw` keeps the bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator

Encoding = Literal["auto", "utf-8", "latin-1"]

GROUP_SEPARATOR = "\x1d"
ELEMENT_STRING_IDENTIFIERS = frozenset(
    {"]C1", "]e0", "]e1", "]e2", "]d2", "]d5", "]d8", "]dB", "]Q3", "]Q4", "]J1", "]J4"}
)
"""GS1 General Specifications, symbology identifiers: GS1-128, GS1 DataBar and composites, GS1 DataMatrix and its
rectangular extension (ISO/IEC 21471), GS1 QR Code, GS1 DotCode. ]d5, ]dB, ]Q4 and ]J4 are the same symbols, FNC1 in
first position, as a scanner names them that would also transmit a change of character set (ECI)."""

_WHOLE_KEY = re.compile(r"00[0-9]{18}|0[12][0-9]{14}")
_SET_82 = re.compile(r"[!\"%-?A-Z_a-z#]")
_IDENTIFIER = re.compile(rb"\][A-Za-z][0-9A-Za-z]")


def _stand_in(text: str) -> str:
    if _SET_82.fullmatch(text):
        raise ValueError(f'"{text}" may itself stand in GS1 data; set the device to send another character or text')
    return text


StandIn = Annotated[str, AfterValidator(_stand_in)]
"""What a device sends in place of GS."""


@dataclass(frozen=True, slots=True)
class ScannedData:
    """A frame, understood."""

    code: str
    """The data without the identifier."""
    symbology: str | None
    """AIM symbology identifier with its bracket, or None when the scanner sent none."""


def split_symbology(
    frame: bytes, *, encoding: Encoding = "auto", group_separator: str = GROUP_SEPARATOR
) -> ScannedData:
    """Return data and identifier of one frame.

    `group_separator` is what this scanner sends in place of GS (0x1D). Raises UnicodeDecodeError only when `encoding`
    is "utf-8" and the data is not.
    """
    identifier = _IDENTIFIER.match(frame)
    symbology = identifier[0].decode("ascii") if identifier else None
    code = _decode(frame[3:] if identifier else frame, encoding)
    if group_separator != GROUP_SEPARATOR:
        code = with_separators(code, symbology, group_separator)
    return ScannedData(code, symbology)


def with_separators(code: str, symbology: str | None, stand_in: str) -> str:
    """Return the data with GS where the device sent something in its place."""
    if symbology in ELEMENT_STRING_IDENTIFIERS or (symbology is None and _WHOLE_KEY.match(code)):
        return code.replace(stand_in, GROUP_SEPARATOR)
    return code


def _decode(data: bytes, encoding: Encoding) -> str:
    if encoding == "latin-1":
        return data.decode("latin-1")
    if encoding == "utf-8":
        return data.decode("utf-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
