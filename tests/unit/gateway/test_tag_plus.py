"""Tags of EPC Tag Data Standard 2.x say what they hold, or stay raw."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.capture.tag import decode_tag
from gateway.capture.tag_plus import TagPlusError, read_tag_plus, scheme_name

LINK = "https://id.gs1.org"

EXAMPLES = [
    ("F73795211411234538566CB0AFC4", "sgtin+", "/01/79521141123453/21/32a%2Fb"),
    ("FB342CDE795211411234538566CB0AFC4", "dsgtin+", "/01/79521141123453/21/32a%2Fb"),
    ("FD3795211411234538566CB0AFC525065F1876F0D996D800", "sgtin++", "/01/79521141123453/21/32a%2Fb"),
    ("FC342CDE795211411234538566CB0AFC525065F1876F0D996D80", "dsgtin++", "/01/79521141123453/21/32a%2Fb"),
    ("F90095201234567891235", "sscc+", "/00/095201234567891235"),
    ("F2395211411234548566CB0AFC4", "sgln+", "/414/9521141123454/254/32a%2Fb"),
    ("E9395211411234548566CB0AFC525065F1876F0D996D8000", "sgln++", "/414/9521141123454/254/32a%2Fb"),
    ("F13095211411234548566CB0AFC4", "grai+", "/8003/0952114112345432a%2Fb"),
    ("EB3095211411234548566CB0AFC525065F1876F0D996D800", "grai++", "/8003/0952114112345432a%2Fb"),
    ("FA3952114132E83C2BF10", "giai+", "/8004/952114132a%2Fb"),
    ("EE3952114132E83C2BF1494197C61DBC3665B600", "giai++", "/8004/952114132a%2Fb"),
    ("F43952114112345678906", "gsrn+", "/8018/952114112345678906"),
    ("E7395211411234567890692832F8C3B786CCB6C0", "gsrn++", "/8018/952114112345678906"),
    ("F53952114112345678906", "gsrnp+", "/8017/952114112345678906"),
    ("F6395211411234540458B8", "gdti+", "/253/95211411234545678"),
    ("EA395211411234540458BA4A0CBE30EDE1B32DB0", "gdti++", "/253/95211411234545678"),
    ("F0395211415E87A145BAFB4D19A8C0E4", "cpi+", "/8010/95211415PQ7%2FZ43/8011/12345"),
    ("E6395211415E87A145BAFB4D19A8C0E64A0CBE30EDE1B32DB000", "cpi++", "/8010/95211415PQ7%2FZ43/8011/12345"),
    ("F839521141678909509338", "sgcn+", "/255/952114167890904711"),
    ("EC3952114167890950933C94197C61DBC3665B60", "sgcn++", "/255/952114167890904711"),
    ("F3309521141123454010266AE27FDF35", "itip+", "/8006/095211411234540102/21/rif981"),
]
"""TDS 2.3, annex E.3, as printed: padded to a whole digit of hexadecimal."""


def tag(hexadecimal: str) -> bytes:
    """As it lies in the memory of a tag: in words of 16 bits."""
    return bytes.fromhex(hexadecimal.ljust(-(-len(hexadecimal) // 4) * 4, "0"))


@pytest.mark.parametrize(("hexadecimal", "scheme", "path"), EXAMPLES)
def test_the_examples_of_the_standard(hexadecimal: str, scheme: str, path: str) -> None:
    found = decode_tag(tag(hexadecimal))
    assert (found.epc, found.scheme, found.reason) == (LINK + path, scheme, None)
    assert found.filter == (0 if hexadecimal[2] == "0" else 3)


def test_the_keys_of_a_tag() -> None:
    piece = decode_tag(tag("F73795211411234538566CB0AFC4"))
    assert (piece.gtin, piece.serial) == ("79521141123453", "32a/b")
    assert decode_tag(tag("F90095201234567891235")).sscc == "095201234567891235"
    place = decode_tag(tag("F2395211411234548566CB0AFC4"))
    assert (place.gln, place.sgln) == ("9521141123454", place.epc)
    whole = decode_tag(laid_out((0, 3), (1, 5), (0, 4), header=0xF2, gtin="9521141123454"))
    assert whole.epc == f"{LINK}/414/9521141123454", "an extension of 0 is none"
    assert decode_tag(tag("F13095211411234548566CB0AFC4")).grai == "952114112345432a/b"
    assert decode_tag(tag("FA3952114132E83C2BF10")).giai == "952114132a/b"


def laid_out(*fields: tuple[int, int], header: int = 0xF7, toggle: int = 0, gtin: str = "79521141123453") -> bytes:
    """Header, toggle, filter 1, GTIN four bits a digit, and fields as (value, bits)."""
    bits = f"{header:08b}{toggle}001" + "".join(f"{int(digit):04b}" for digit in gtin)
    bits += "".join(f"{value:0{count}b}" for value, count in fields)
    bits = bits.ljust(-(-len(bits) // 16) * 16, "0")
    return int(bits, 2).to_bytes(len(bits) // 8)


@pytest.mark.parametrize(
    ("fields", "serial"),
    [
        ([(0, 3), (5, 5), (47, 17)], "00047"),
        ([(0, 3), (20, 5), (10**20 - 1, 67)], "9" * 20),
        ([(1, 3), (4, 5), (0xBEEF, 16)], "BEEF"),
        ([(2, 3), (4, 5), (0xBEEF, 16)], "beef"),
        ([(3, 3), (2, 5), (62, 6), (63, 6)], "-_"),
        ([(4, 3), (2, 5), (ord("%"), 7), (ord("z"), 7)], "%z"),
    ],
)
def test_a_text_is_read_as_it_says_it_is_written(fields: list[tuple[int, int]], serial: str) -> None:
    assert decode_tag(laid_out(*fields)).serial == serial


def test_data_behind_the_identity_are_announced() -> None:
    """A date (AI 17) behind the serial number: with the toggle set it follows, else the tag holds more than one."""
    fields = [(0, 3), (2, 5), (47, 7), (0x17, 8), (27, 7), (12, 4), (31, 5)]
    assert decode_tag(laid_out(*fields, toggle=1)).epc == f"{LINK}/01/79521141123453/21/47"
    assert decode_tag(laid_out(*fields)).is_raw


@pytest.mark.parametrize(
    ("epc", "told"),
    [
        (laid_out((0, 3), (2, 5), (47, 7), gtin="79521141123454"), "check digit 4, expected 3"),
        (laid_out((0, 3), (2, 5), (100, 7)), "100 has more than 2 digits"),
        (laid_out((4, 3), (1, 5), (ord("$"), 7)), "'$' is no text"),
        (laid_out((4, 3), (0, 5)), "nothing behind the key"),
        (laid_out((4, 3), (21, 5), (0, 147)), "no text"),
        (laid_out((5, 3), (3, 5), (1601, 16)), "URN Code 40 is not read"),
        (laid_out((6, 3), (3, 5), (0, 20)), "6 is no way to write a text"),
        (laid_out((4, 3), (9, 5), (ord("A"), 7)), "break off"),
        (laid_out((0, 3), (2, 5), (47, 7)) + b"\0\0", "more than one"),
        (bytes.fromhex("F7"), "break off"),
        (bytes.fromhex("F71A95211411234530"), "A is no digit"),
        (bytes.fromhex("FA3952114132D83C2BF10000"), "D is no digit"),
    ],
)
def test_what_does_not_come_out_even_stays_raw_and_says_why(epc: bytes, told: str) -> None:
    found = decode_tag(epc)
    assert found.epc == f"urn:epc:raw:{len(epc) * 8}.x{epc.hex().upper()}"
    assert told in str(found.reason)


@given(st.sampled_from([header for header in range(256) if scheme_name(header)]), st.binary(max_size=61))
def test_any_bits_are_a_tag_or_a_reason(header: int, rest: bytes) -> None:
    try:
        found = read_tag_plus(bytes([header]) + rest)
    except TagPlusError as error:
        assert str(error)
    else:
        assert found.link.startswith(f"{LINK}/{found.ai}/")
