"""Tags are what they say, or raw; never somebody else, and never an exception."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.capture.tag import EPC_BYTES_MAX, TAGS_CACHED_MAX, decode_tag
from gateway.capture.tag_text import read_tag_text
from simulators.epc import check_digit, sgtin_96, sgtin_198, sscc_96

PREFIX_LENGTHS = range(6, 13)
SERIAL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!\"%&'()*+,-./:;<=>?_"
"""GS1 AI encodable character set 82 (General Specifications, figure 7.11-1)."""


def prefixes(digits: int) -> st.SearchStrategy[tuple[str, str]]:
    """A GS1 Company Prefix and what is left of `digits`."""
    return st.tuples(st.sampled_from(PREFIX_LENGTHS), st.integers(0, 10**digits - 1)).map(
        lambda drawn: (f"{drawn[1]:0{digits}d}"[: drawn[0]], f"{drawn[1]:0{digits}d}"[drawn[0] :])
    )


def test_sgtin_96_of_the_standard() -> None:
    """TDS 1.13, E.3. Laid out by hand: 0x30, filter 3 = 011, partition 5 = 101, 24 bits 614141, 20 bits 812345,
    38 bits 6789."""
    bits = f"{0x30:08b}" + "011" + "101" + f"{614141:024b}" + f"{812345:020b}" + f"{6789:038b}"
    epc = int(bits, 2).to_bytes(12)
    assert epc.hex() == "3074257bf7194e4000001a85"
    tag = decode_tag(epc)
    assert (tag.epc, tag.scheme, tag.filter) == ("urn:epc:id:sgtin:0614141.812345.6789", "sgtin-96", 3)
    assert (tag.gtin, tag.serial) == ("80614141123458", "6789")
    assert (tag.is_raw, tag.reason, tag.sscc) == (False, None, None)


def test_sscc_96_of_the_standard() -> None:
    tag = decode_tag(bytes.fromhex("3174257BF4499602D2000000"))
    assert (tag.epc, tag.sscc, tag.filter) == ("urn:epc:id:sscc:0614141.1234567890", "106141412345678908", 3)
    assert tag.gtin is None


@pytest.mark.parametrize(
    ("epc", "uri", "field", "key"),
    [
        ("3274257BF46072000000162E", "urn:epc:id:sgln:0614141.12345.5678", "gln", "0614141123452"),
        ("3374257BF40C0E400000162E", "urn:epc:id:grai:0614141.12345.5678", "grai", "06141411234525678"),
        ("3474257BF40000000000162E", "urn:epc:id:giai:0614141.5678", "giai", "06141415678"),
    ],
)
def test_keys_of_the_other_schemes(epc: str, uri: str, field: str, key: str) -> None:
    """TDS 1.13, E.3, filter 3."""
    tag = decode_tag(bytes.fromhex(epc))
    assert (tag.epc, getattr(tag, field), tag.filter) == (uri, key, 3)


def text_bits(text: str, bits: int) -> str:
    """TDS 1.13, 14.4.2: seven bits a character of ISO 646, zeros behind the last."""
    return "".join(f"{ord(character):07b}" for character in text).ljust(bits, "0")


@pytest.mark.parametrize(
    ("header", "layout", "uri", "field", "key"),
    [
        # TDS 1.13, 14.5.1 to 14.5.8, laid out by hand: header, filter 3, partition 5, 24 bits of company prefix, the
        # reference, and a serial number in letters. The identities are those of the examples of E.3.
        (0x36, f"{712345:020b}" + text_bits("32a/b", 140), "sgtin:0614141.712345.32a%2Fb", "gtin", "70614141123451"),
        (0x39, f"{12345:017b}" + text_bits("32a/b", 140), "sgln:0614141.12345.32a%2Fb", "gln", "0614141123452"),
        (0x37, f"{12345:020b}" + text_bits("32a/b", 112), "grai:0614141.12345.32a%2Fb", "grai", "061414112345232a/b"),
        (0x38, text_bits("32a/b", 168), "giai:0614141.32a%2Fb", "giai", "061414132a/b"),
        (
            0x3E,
            f"{12345:017b}" + text_bits("ABCDefgh012345678", 119),
            "gdti:0614141.12345.ABCDefgh012345678",
            "gln",
            None,
        ),
        (0x2D, f"{1234567890:034b}" + "0" * 24, "gsrn:0614141.1234567890", "gtin", None),
        (0x2C, f"{12345:017b}" + f"{5678:041b}", "gdti:0614141.12345.5678", "gtin", None),
    ],
)
def test_long_forms_and_the_other_keys(header: int, layout: str, uri: str, field: str, key: str | None) -> None:
    bits = f"{header:08b}" + "011" + "101" + f"{614141:024b}" + layout
    bits = bits.ljust(-(-len(bits) // 16) * 16, "0")  # memory comes in words
    tag = decode_tag(int(bits, 2).to_bytes(len(bits) // 8))
    assert (tag.epc, getattr(tag, field), tag.filter) == (f"urn:epc:id:{uri}", key, 3), tag.reason


def test_a_general_identifier_has_no_key() -> None:
    """TDS 1.13, 14.5.10: header 0x35, 28 bits of manager, 24 of class, 36 of serial number."""
    bits = f"{0x35:08b}{31415:028b}{271828:024b}{1414:036b}"
    tag = decode_tag(int(bits, 2).to_bytes(12))
    assert (tag.epc, tag.gtin, tag.filter) == ("urn:epc:id:gid:31415.271828.1414", None, None)


def test_a_location_tag_gives_its_uri() -> None:
    tag = decode_tag(bytes.fromhex("3274257BF46072000000162E"))
    assert tag.sgln == tag.epc == "urn:epc:id:sgln:0614141.12345.5678"


def test_a_serial_with_a_slash_is_escaped_in_the_uri_only() -> None:
    tag = decode_tag(sgtin_198("0614141", "712345", "32a/b", filter_value=3))
    assert (tag.epc, tag.serial) == ("urn:epc:id:sgtin:0614141.712345.32a%2Fb", "32a/b")


@pytest.mark.parametrize(
    ("epc", "told"),
    [
        ("E28011606000020528F904FA", "never encoded"),
        ("F7950614141812345678901234567890", r"SGTIN\+"),
        ("FB950614141812345678901234567890", r"DSGTIN\+"),
        ("A15020B0C1D2E3F405162738", "not an EPC binary header"),
        ("000000000000000000000343", "never programmed"),
        ("3074257BF7194E4000001A85FFFF", "more than one"),
        ("3074257BF7194E4000001A850000", "more than one"),
        ("3074257BF7194E4000001A8500", "more than one"),
        ("3074257BF7194E400000", "sgtin-96"),
        ("30", "sgtin-96"),
        ("307C257BF7194E4000001A85", "sgtin-96"),
        ("3174257BF4499602D2000001", "more than one"),
    ],
)
def test_what_is_not_known_stays_raw_and_says_why(epc: str, told: str) -> None:
    """Vendor tags, TDS 2.x, ISO content, a bib number, bytes behind the end, cut off, partition 7, reserved bits."""
    tag = decode_tag(bytes.fromhex(epc))
    assert tag.epc == f"urn:epc:raw:{len(epc) * 4}.x{epc}"
    assert tag.is_raw
    assert tag.reason is not None
    assert re.search(told, tag.reason)
    assert (tag.gtin, tag.sscc, tag.filter) == (None, None, None)


@pytest.mark.parametrize("serial", ["//", "/a", "<>?", "a&<b", "%2F", "%25", "?", '"/', "%%", "a/", "%22%3C"])
def test_a_serial_that_epcpy_chokes_on_is_read_all_the_same(serial: str) -> None:
    """epcpy takes its own escapes apart: some texts it refuses, of others it makes what they were not."""
    tag = decode_tag(sgtin_198("0614141", "712345", serial))
    assert (tag.scheme, tag.serial, tag.gtin) == ("sgtin-198", serial, "70614141123451")
    assert set(tag.epc.rpartition(".")[2]).isdisjoint('"&/<>?')


def text_tag(header: int, fields: list[tuple[int, int]], text: str, bits: int) -> bytes:
    """Return a tag of filter 3 and partition 5 with numbers, each with its bits, and a text."""
    told = f"{header:08b}011101" + "".join(f"{number:0{width}b}" for number, width in fields)
    told = (told + "".join(f"{ord(one):07b}" for one in text)).ljust(-(-bits // 16) * 16, "0")
    return int(told, 2).to_bytes(len(told) // 8)


@pytest.mark.parametrize(
    ("epc", "uri"),
    [
        (text_tag(0x39, [(614141, 24), (12345, 17)], "32a/b", 195), "sgln:0614141.12345.32a%2Fb"),
        (text_tag(0x37, [(614141, 24), (12345, 20)], "32a/b", 170), "grai:0614141.12345.32a%2Fb"),
        (text_tag(0x38, [(614141, 24)], "32a/b", 202), "giai:0614141.32a%2Fb"),
        (text_tag(0x39, [(614141, 24), (12345, 17)], "/<", 195), "sgln:0614141.12345.%2F%3C"),
        (text_tag(0x37, [(614141, 24), (12345, 20)], "?x", 170), "grai:0614141.12345.%3Fx"),
        (text_tag(0x38, [(614141, 24)], "/32a", 202), "giai:0614141.%2F32a"),
    ],
)
def test_texts_in_other_keys_are_read_by_the_standard_too(epc: bytes, uri: str) -> None:
    """The examples of TDS 1.13, appendix E.3, and the same keys with texts that epcpy does not read."""
    found = read_tag_text(epc)
    assert found is not None
    assert found.uri == decode_tag(epc).epc == f"urn:epc:id:{uri}"
    tag = decode_tag(epc)
    assert [one for one in (tag.gln, tag.grai, tag.giai) if one] != []


@pytest.mark.parametrize(
    ("header", "bits", "text", "uri"),
    [
        (0x39, 195, "/A", "sgln:952100000777..%2FA"),
        (0x39, 195, "A", "sgln:952100000777..A"),
        (0x37, 170, "?A", "grai:952100000777..%3FA"),
        (0x3E, 174, "<A", "gdti:952100000777..%3CA"),
        (0x3E, 174, "A&B", "gdti:952100000777..A%26B"),
        (0x3E, 174, "12345678901234567", "gdti:952100000777..12345678901234567"),
    ],
)
def test_a_company_prefix_of_twelve_digits_leaves_an_empty_reference(
    header: int, bits: int, text: str, uri: str
) -> None:
    """TDS 1.13, section 6.3: the part between the two full stops is empty, and it is there. Partition 0; a GRAI has
    four bits for it, a location and a document one."""
    head = f"{header:08b}011000{952100000777:040b}" + "0" * (4 if header == 0x37 else 1)
    told = (head + "".join(f"{ord(one):07b}" for one in text)).ljust(-(-bits // 16) * 16, "0")
    tag = decode_tag(int(told, 2).to_bytes(len(told) // 8))
    assert tag.epc == f"urn:epc:id:{uri}", tag.reason


def test_what_both_read_both_read_alike() -> None:
    for serial in ("32a/b", "A", "12345678901234567890"):
        epc = sgtin_198("0614141", "712345", serial)
        found, tag = read_tag_text(epc), decode_tag(epc)
        assert found is not None
        assert (found.uri, found.key, found.text, found.coding) == (tag.epc, tag.gtin, tag.serial, tag.scheme)


def test_characters_behind_the_end_of_a_serial_are_not_swallowed() -> None:
    """An SGTIN-198 whose serial goes on behind a NUL: epcpy reads "AB", and so it would be another tag's name."""
    whole = int.from_bytes(sgtin_198("0614141", "712345", "AB"))
    spare = 208 - 198
    beyond = whole | ord("C") << (spare + 7 * (20 - 4))  # the fourth character, the third being NUL
    assert decode_tag(beyond.to_bytes(26)).is_raw
    assert decode_tag(whole.to_bytes(26)).serial == "AB"


def piece_tag(piece: int, total: int, text: str) -> bytes:
    """TDS 1.13, 14.6, laid out by hand: as an SGTIN-198, with piece and total in seven bits each before the text."""
    return text_tag(0x41, [(614141, 24), (712345, 20), (piece, 7), (total, 7)], text, 212)


@pytest.mark.parametrize(
    ("piece", "total", "serial", "uri"),
    [
        (1, 2, "mw133", "01.02.mw133"),
        (2, 2, "32a/b", "02.02.32a%2Fb"),
        (3, 12, "/<", "03.12.%2F%3C"),
        (1, 99, '"/', "01.99.%22%2F"),
        (99, 99, "A", "99.99.A"),
    ],
)
def test_a_piece_of_a_trade_item_is_read_whatever_its_serial(piece: int, total: int, serial: str, uri: str) -> None:
    tag = decode_tag(piece_tag(piece, total, serial))
    assert (tag.epc, tag.scheme, tag.filter) == (f"urn:epc:id:itip:0614141.712345.{uri}", "itip-212", 3), tag.reason
    assert tag.gtin is None, "a piece is not the trade item"


@pytest.mark.parametrize(("piece", "total"), [(0, 2), (3, 2), (1, 100), (127, 127), (0, 0)])
def test_a_piece_beyond_all_pieces_stays_raw(piece: int, total: int) -> None:
    assert decode_tag(piece_tag(piece, total, "/")).is_raw


def component_tag(prefix: str, part: str, number: int, *, spare: str = "") -> bytes:
    """TDS 1.13, 14.6, laid out by hand: six bits a character, six zeros, forty bits of serial number."""
    bits, partition = {12: (40, 0), 11: (37, 1), 10: (34, 2), 9: (30, 3), 8: (27, 4), 7: (24, 5), 6: (20, 6)}[
        len(prefix)
    ]
    told = f"{0x3D:08b}011{partition:03b}{int(prefix):0{bits}b}"
    told += "".join(f"{ord(one) & 0x3F:06b}" for one in part) + "000000" + f"{number:040b}" + spare
    told = told.ljust(-(-len(told) // 16) * 16, "0")
    return int(told, 2).to_bytes(len(told) // 8)


def test_a_component_of_the_standard() -> None:
    """TDS 1.13, E.3."""
    assert component_tag("0614141", "5PQ7/Z43", 12345).hex().upper().startswith("3D74257BF75411DEF6B4CC00000003039")
    tag = decode_tag(component_tag("0614141", "5PQ7/Z43", 12345))
    assert (tag.epc, tag.scheme, tag.filter) == ("urn:epc:id:cpi:0614141.5PQ7%2FZ43.12345", "cpi-var", 3)


@given(
    st.sampled_from(PREFIX_LENGTHS),
    st.text("#-/0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=24),
    st.integers(0, 10**12 - 1),
)
def test_any_component_comes_back_or_stays_raw(digits: int, part: str, number: int) -> None:
    """The longest reference leaves thirty characters to prefix and reference together."""
    tag = decode_tag(component_tag("012345678901"[:digits], part, number))
    if len(part) > 30 - digits:
        assert tag.is_raw
        return
    escaped = part.replace("#", "%23").replace("/", "%2F")
    assert tag.epc == f"urn:epc:id:cpi:{'012345678901'[:digits]}.{escaped}.{number}", tag.reason


@pytest.mark.parametrize(
    "epc",
    [
        component_tag("0614141", "5PQ/", 12345, spare="1"),
        component_tag("0614141", "5PQ/", 12345, spare="0" * 32),
        component_tag("0614141", "", 12345),
        component_tag("0614141", "a/", 10**12 + 1),
        component_tag("0614141", "5P?/", 1),
    ],
)
def test_a_component_with_more_or_less_than_one_stays_raw(epc: bytes) -> None:
    assert decode_tag(epc).is_raw


def test_a_serial_of_198_bits_may_come_in_whole_bytes_or_whole_words() -> None:
    words = sgtin_198("0614141", "712345", "32a/b")
    assert len(words) == 26
    assert decode_tag(words).epc == decode_tag(words[:25]).epc
    assert decode_tag(words[:24]).is_raw
    assert decode_tag(words + b"\0\0").is_raw
    assert decode_tag(words[:-1] + b"\1").is_raw


@given(prefixes(13), st.integers(0, 2**38 - 1), st.integers(0, 7))
def test_any_sgtin_96_comes_back(parts: tuple[str, str], serial: int, filter_value: int) -> None:
    prefix, item = parts
    tag = decode_tag(sgtin_96(prefix, item, serial, filter_value=filter_value))
    body = item[0] + prefix + item[1:]
    assert tag.epc == f"urn:epc:id:sgtin:{prefix}.{item}.{serial}"
    assert (tag.gtin, tag.serial, tag.filter) == (body + check_digit(body), str(serial), filter_value)


@given(prefixes(13), st.text(SERIAL, min_size=1, max_size=20), st.integers(0, 7))
def test_any_sgtin_198_comes_back(parts: tuple[str, str], serial: str, filter_value: int) -> None:
    prefix, item = parts
    tag = decode_tag(sgtin_198(prefix, item, serial, filter_value=filter_value))
    body = item[0] + prefix + item[1:]
    assert (tag.gtin, tag.serial, tag.filter) == (body + check_digit(body), serial, filter_value)


@given(prefixes(17), st.integers(0, 7))
def test_any_sscc_96_comes_back(parts: tuple[str, str], filter_value: int) -> None:
    prefix, reference = parts
    tag = decode_tag(sscc_96(prefix, reference, filter_value=filter_value))
    body = reference[0] + prefix + reference[1:]
    assert (tag.epc, tag.sscc) == (f"urn:epc:id:sscc:{prefix}.{reference}", body + check_digit(body))


@given(st.binary(max_size=EPC_BYTES_MAX + 2) | st.binary(min_size=11, max_size=25).map(lambda rest: b"\x30" + rest))
def test_no_tag_raises_and_every_tag_has_a_name(epc: bytes) -> None:
    tag = decode_tag(epc)
    assert tag.epc.startswith("urn:epc:")
    assert tag.is_raw == (tag.reason is not None)
    if tag.is_raw:
        assert tag.epc == f"urn:epc:raw:{len(epc) * 8}.x{epc.hex().upper()}"


@given(
    st.sampled_from([0x2C, 0x2D, 0x2E, 0x2F, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x3C, 0x3F]),
    st.binary(min_size=11, max_size=11),
)
def test_two_tags_never_share_a_name(header: int, rest: bytes) -> None:
    """Flip one bit that is not the filter's: the name changes."""
    epc = bytes([header]) + rest
    bit = random.Random(rest).choice([*range(8), *range(14, 96)])
    other = (int.from_bytes(epc) ^ 1 << (95 - bit)).to_bytes(12)
    assert decode_tag(epc).epc != decode_tag(other).epc


def test_the_cache_is_bounded() -> None:
    for number in range(TAGS_CACHED_MAX + 100):
        decode_tag(b"\xe2" + number.to_bytes(11))
    assert decode_tag.cache_info().currsize == TAGS_CACHED_MAX
