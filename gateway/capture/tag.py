"""What an RFID tag says it is.

Theory of operation. A reader reports the content of the EPC memory bank; GS1's EPC Tag Data Standard (TDS 1.13,
section 14) says how the bits become a pure identity. `epcpy` knows the coding tables, but is lenient in ways that
would let one tag pass for another: bits behind the identity, reserved bits and characters behind a terminator are
dropped without a word. So it is believed only when encoding its answer again gives exactly the bits that were read
(plus zero bits up to a whole byte or a whole 16-bit memory word). Everything else keeps its bits as `urn:epc:raw`
(TDS section 12) with a reason: vendor numbers in tags nobody encoded, ISO 15962 content, wrong lengths. A tag never
raises, and a raw tag is still a good observation: it can be found again by its bits.

Tags of TDS 2.x are read by `tag_plus`. Of texts whose escapes epcpy 0.1.8 takes apart wrongly `tag_text` knows better.
What else it takes for wrong ends as a raw tag: ADI (aviation), whose six-bit characters it reads out of step.

The reading carries no protocol control word, so the raw form cannot state an Application Family Identifier.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from epcpy.epc_schemes.base_scheme import TagEncodable
from epcpy.epc_schemes.giai import GIAI
from epcpy.epc_schemes.grai import GRAI
from epcpy.epc_schemes.itip import ITIP
from epcpy.epc_schemes.sgln import SGLN
from epcpy.epc_schemes.sgtin import SGTIN
from epcpy.epc_schemes.sscc import SSCC
from epcpy.utils.common import ConvertException, replace_uri_escapes
from epcpy.utils.parsers import TAG_ENCODABLE_CLASSES

from gateway.capture.tag_plus import TagPlusError, read_tag_plus, scheme_name
from gateway.capture.tag_text import read_tag_text

TAGS_CACHED_MAX: Final = 8_192
"""A portal sees the same few thousand tags again and again; 8,192 identities are about 6 MB at the worst."""

EPC_BYTES_MAX: Final = 62
"""31 words: all that the length field of the protocol control word can state (EPC Gen2, section 6.3.2.1.2.2)."""

_CODINGS: Final[dict[int, tuple[type[TagEncodable], Enum]]] = {
    int(header.value, 2): (scheme, scheme.BinaryCodingScheme[header.name])
    for scheme in TAG_ENCODABLE_CLASSES
    for header in scheme.BinaryHeader
}


@dataclass(frozen=True, slots=True)
class TagIdentity:
    """What a tag's EPC memory says; `gtin` and its siblings are filled for their scheme only."""

    epc: str
    """EPC pure identity URI, of a tag of TDS 2.x its GS1 Digital Link URI; `urn:epc:raw:<bits>.x<hex>` for what could
    not be decoded."""
    scheme: str | None = None
    """Binary coding scheme in the words of the standard, e.g. "sgtin-96"; None for a raw tag."""
    filter: int | None = None
    """Filter value: what the tag is fixed to, in the numbering of its scheme (SGTIN 1 = point of sale item, 2 = full
    case; SSCC 2 = full case or logistic unit). A hint for readers, never part of the identity."""
    gtin: str | None = None
    """GTIN-14 with its check digit."""
    serial: str | None = None
    """Serial number of the GTIN, without URI escapes."""
    sscc: str | None = None
    """SSCC-18 with its check digit."""
    sgln: str | None = None
    """Pure identity URI of a location, as a read point or a location label states it."""
    gln: str | None = None
    """GLN-13 with its check digit."""
    grai: str | None = None
    """GRAI: 13 digits with the check digit, then the serial number."""
    giai: str | None = None
    """GIAI: GS1 Company Prefix and individual asset reference."""
    reason: str | None = None
    """For a raw tag: why it is raw, in words for a person."""

    @property
    def is_raw(self) -> bool:
        """True when the bits are kept and the meaning is unknown."""
        return self.scheme is None


@lru_cache(maxsize=TAGS_CACHED_MAX)
def decode_tag(epc: bytes) -> TagIdentity:
    """Return the identity in an EPC memory bank's content (without CRC and PC). Never raises; about 30 us at first
    sight of a tag, then a cache look-up."""
    if not epc:
        return _raw(epc, "the EPC memory is empty")
    if len(epc) > EPC_BYTES_MAX:
        return _raw(epc, f"{len(epc)} bytes are more than an EPC memory bank can announce ({EPC_BYTES_MAX})")
    if scheme_name(epc[0]) is not None:
        return _of_plus(epc)
    coding = _CODINGS.get(epc[0])
    if coding is None:
        return _raw(epc, _unknown_header(epc[0]))
    scheme, binary_coding = coding
    bits = f"{int.from_bytes(epc):0{len(epc) * 8}b}"
    try:
        tag = scheme.from_binary(bits)
        filter_value = _filter_value(bits, binary_coding)
        encoded = _encode(tag, binary_coding, filter_value)
    except (ConvertException, ValueError, KeyError, IndexError) as error:
        return _of_text(epc) or _raw(epc, f"header 0x{epc[0]:02X} says {binary_coding.value}, but: {error}")
    if not _covers(encoded, bits):
        return _of_text(epc) or _raw(
            epc, f"header 0x{epc[0]:02X} says {binary_coding.value}, but the bits hold more than one"
        )
    if isinstance(tag, ITIP):
        piece, total = tag.epc_uri.split(".")[2:4]
        if not 0 < int(piece) <= int(total):
            return _raw(epc, f"header 0x{epc[0]:02X} says {binary_coding.value}, but piece {piece} of {total}")
    return _identity(tag, binary_coding.value, filter_value)


def _unknown_header(header: int) -> str:
    if header == 0xE2:
        # TDS reserves 0xE2 as header because chip makers ship tags whose EPC memory repeats the TID, which begins so.
        return "header 0xE2: the tag was never encoded and shows its chip number"
    if header == 0x00:
        return "header 0x00: the tag was never programmed"  # TDS section 14.2: Unprogrammed Tag
    return f"header 0x{header:02X} is not an EPC binary header"


def _filter_value(bits: str, coding: Enum) -> int | None:
    """epcpy drops the filter while decoding, so it is read here: the bits behind the header."""
    match coding.value:
        case "gid-96":
            return None
        case "usdod-96":
            return int(bits[8:12], 2)  # four bits, TDS section 14.5.9
        case "adi-var":
            return int(bits[8:14], 2)  # six bits, TDS section 14.5.11
        case _:
            return int(bits[8:11], 2)


@dataclass(frozen=True, slots=True)
class _Filter:
    """epcpy has an enumeration of filter values for each scheme, and uses nothing but `value` of its members."""

    value: str


def _encode(tag: TagEncodable, coding: Enum, filter_value: int | None) -> str:
    if filter_value is None:
        return tag.binary(binary_coding_scheme=coding)
    return tag.binary(binary_coding_scheme=coding, filter_value=_Filter(str(filter_value)))


def _covers(encoded: str, bits: str) -> bool:
    """True when `bits` is the encoding and nothing else, filled with zeros to a whole byte or a whole memory word."""
    whole_bytes = -(-len(encoded) // 8) * 8
    whole_words = -(-len(encoded) // 16) * 16
    spare = bits[len(encoded) :]
    return len(bits) in (whole_bytes, whole_words) and bits.startswith(encoded) and "1" not in spare


def _identity(tag: TagEncodable, coding: str, filter_value: int | None) -> TagIdentity:
    match tag:
        case SGTIN():
            serial = replace_uri_escapes(tag.epc_uri.split(":", 4)[4].split(".", 2)[2])
            return TagIdentity(tag.epc_uri, coding, filter_value, gtin=tag.gtin(), serial=serial)
        case SSCC():
            return TagIdentity(tag.epc_uri, coding, filter_value, sscc=tag.gs1_key())
        case SGLN():
            return TagIdentity(tag.epc_uri, coding, filter_value, sgln=tag.epc_uri, gln=tag.gs1_key())
        case GRAI():
            return TagIdentity(tag.epc_uri, coding, filter_value, grai=tag.gs1_key())
        case GIAI():
            return TagIdentity(tag.epc_uri, coding, filter_value, giai=tag.gs1_key())
        case _:
            return TagIdentity(tag.epc_uri, coding, filter_value)


def _of_plus(epc: bytes) -> TagIdentity:
    try:
        tag = read_tag_plus(epc)
    except TagPlusError as error:
        return _raw(epc, f"header 0x{epc[0]:02X} says {scheme_name(epc[0])}, but: {error}")
    coding = tag.scheme.lower()
    match tag.ai:
        case "01":
            return TagIdentity(tag.link, coding, tag.filter, gtin=tag.key, serial=tag.text)
        case "00":
            return TagIdentity(tag.link, coding, tag.filter, sscc=tag.key)
        case "414":
            return TagIdentity(tag.link, coding, tag.filter, sgln=tag.link, gln=tag.key)
        case "8003":
            return TagIdentity(tag.link, coding, tag.filter, grai=tag.key[1:] + tag.text)
        case "8004":
            return TagIdentity(tag.link, coding, tag.filter, giai=tag.key)
        case _:
            return TagIdentity(tag.link, coding, tag.filter)


def _of_text(epc: bytes) -> TagIdentity | None:
    """Return what a tag with a text says that epcpy does not understand; None when it is none."""
    tag = read_tag_text(epc)
    if tag is None:
        return None
    match tag.scheme:
        case "sgtin":
            return TagIdentity(tag.uri, tag.coding, tag.filter, gtin=tag.key, serial=tag.text)
        case "sgln":
            return TagIdentity(tag.uri, tag.coding, tag.filter, sgln=tag.uri, gln=tag.key)
        case "grai":
            return TagIdentity(tag.uri, tag.coding, tag.filter, grai=tag.key + tag.text)
        case "giai":
            return TagIdentity(tag.uri, tag.coding, tag.filter, giai=tag.key)
        case _:
            return TagIdentity(tag.uri, tag.coding, tag.filter)


def _raw(epc: bytes, reason: str) -> TagIdentity:
    return TagIdentity(f"urn:epc:raw:{len(epc) * 8}.x{epc.hex().upper()}", reason=reason)
