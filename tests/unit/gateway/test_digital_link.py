"""GS1 Digital Link URIs, by the rules and examples of the URI Syntax standard (section numbers of release 1.6)."""

import pytest
from biip import ParseConfig, ParseError
from biip.gs1_digital_link_uris import GS1DigitalLinkURI
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.capture.digital_link import read_link
from gateway.capture.element_string import ElementProblem

GTIN = "09506000134352"
"""The GTIN of the examples of the standard."""
SSCC = "952123456789012345"
YEAR = 2026
BASE = "https://id.gs1.org"


@pytest.mark.parametrize(
    ("address", "values"),
    [
        # Section 5.1 and 5.2: canonical examples, key and qualifiers in their order.
        (f"{BASE}/01/{GTIN}", {"01": GTIN}),
        (f"{BASE}/01/{GTIN}/22/2A", {"01": GTIN, "22": "2A"}),
        (f"{BASE}/01/{GTIN}/10/ABC123", {"01": GTIN, "10": "ABC123"}),
        (f"{BASE}/01/{GTIN}/21/12345", {"01": GTIN, "21": "12345"}),
        (f"{BASE}/01/{GTIN}/10/ABC1/21/12345", {"01": GTIN, "10": "ABC1", "21": "12345"}),
        (f"{BASE}/01/{GTIN}/22/2A/10/ABC1/21/12345", {"01": GTIN, "22": "2A", "10": "ABC1", "21": "12345"}),
        (f"{BASE}/01/{GTIN}/235/TPX5521", {"01": GTIN, "235": "TPX5521"}),
        (f"{BASE}/01/{GTIN}?17=271231", {"01": GTIN, "17": "271231"}),
        (f"{BASE}/01/{GTIN}?3103=000195", {"01": GTIN, "3103": "000195"}),
        (f"{BASE}/01/{GTIN}?3103=000195&3922=0299", {"01": GTIN, "3103": "000195", "3922": "0299"}),
        (f"{BASE}/00/{SSCC}", {"00": SSCC}),
        (f"{BASE}/00/{SSCC}?02={GTIN}&37=25&10=ABC123", {"00": SSCC, "02": GTIN, "37": "25", "10": "ABC123"}),
        (f"{BASE}/414/9520123456788", {"414": "9520123456788"}),
        (f"{BASE}/414/9520123456788/254/32a%2Fb", {"414": "9520123456788", "254": "32a/b"}),
        (f"{BASE}/8004/9520614141234567", {"8004": "9520614141234567"}),
        (f"{BASE}/8003/09521234543213A1", {"8003": "09521234543213A1"}),
        # Any domain, any stem, port, upper case, fragment.
        (f"http://example.com/some/where/01/{GTIN}/10/A", {"01": GTIN, "10": "A"}),
        (f"https://brand.example:8443/01/{GTIN}", {"01": GTIN}),
        (f"HTTPS://EXAMPLE.COM/01/{GTIN}/10/ABC", {"01": GTIN, "10": "ABC"}),
        (f"https://xn--bcher-kva.example/01/{GTIN}#details/10/X", {"01": GTIN}),
        (f"https://example.com/01/{GTIN}?17=271231#top", {"01": GTIN, "17": "271231"}),
        (f"https://example.com/00/99/01/{GTIN}", {"01": GTIN}),
        # Other parameters are not ours.
        (f"https://example.com/01/{GTIN}?utm_source=label&17=271231&linkType=gs1:pip", {"01": GTIN, "17": "271231"}),
        (f"https://example.com/01/{GTIN}?flag&=x&&17=271231&", {"01": GTIN, "17": "271231"}),
        (f"https://example.com/01/{GTIN}?back=https://other.example/01/123", {"01": GTIN}),
        # Percent-encoding.
        (f"{BASE}/01/{GTIN}/10/A%2fB%3FC%23D%25E%26F", None),
        (f"{BASE}/01/{GTIN}/10/ABC%2F1", {"01": GTIN, "10": "ABC/1"}),
        (f"{BASE}/01/{GTIN}/10/A+B", {"01": GTIN, "10": "A+B"}),
        (f"{BASE}/01/{GTIN}?240=A%2BB%3B", {"01": GTIN, "240": "A+B;"}),
        # GTINs in fewer digits (the standard before 1.2).
        (f"{BASE}/01/9506000134352", {"01": GTIN}),
        (f"{BASE}/01/614141123452", {"01": "00614141123452"}),
        (f"{BASE}/01/96385074", {"01": "00000096385074"}),
    ],
)  # fmt: skip
def test_what_a_link_says(address: str, values: dict[str, str] | None) -> None:
    if values is None:
        with pytest.raises(ElementProblem):
            read_link(address, YEAR)
    else:
        found = read_link(address, YEAR)
        assert found is not None
        assert list(found.items()) == list(values.items())


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        (f"/01/{GTIN[:-1]}3", "check digit 3, expected 2"),
        (f"/01/{GTIN}/21/S/10/L", "21, 10 behind AI 01; it allows, in order: 22, 10, 21 or 235"),
        (f"/01/{GTIN}/10/A/22/B", "10, 22 behind AI 01"),
        (f"/01/{GTIN}/10/A/235/B", "10, 235 behind AI 01"),
        (f"/01/{GTIN}/17/271231", "17 behind AI 01"),
        (f"/01/{GTIN}/10/A/10/A", "10, 10 behind AI 01"),
        (f"/00/{SSCC}/10/A", "10 behind AI 00; it allows, in order: none"),
        (f"/01/{GTIN}?10=ABC", "AI 10 belongs into the path"),
        (f"/01/{GTIN}/21/S?10=ABC", "AI 10 belongs into the path"),
        (f"/01/{GTIN}?8019=1", "AI 8019 must not stand behind the question mark"),
        (f"/01/{GTIN}?17=271231&17=271231", "AI 17 stands in it twice"),
        (f"/01/{GTIN}/10/A?10=A", "AI 10 stands in it twice"),
        (f"/01/{GTIN}?01={GTIN}", "AI 01 stands in it twice"),
        (f"/01/{GTIN}?88=1", "88 is no Application Identifier"),
        (f"/01/{GTIN}?17=", "AI 17: nothing has 0 digits"),
        (f"/01/{GTIN}?17=270231", "AI 17: 270231 is not a date"),
        (f"/01/{GTIN}?240=A+B", '"+" may also mean a space; it has to be written %2B'),
        (f"/01/{GTIN}?240=A;B", '";" may also mean the end of the parameter; it has to be written %3B'),
        (f"/01/{GTIN}?17=271231;10=A", '";" may also mean the end of the parameter'),
        (f"/01/{GTIN}/10/A%2", 'A%2 has a "%" that encodes nothing'),
        (f"/01/{GTIN}/10/A%zz", 'has a "%" that encodes nothing'),
        (f"/01/{GTIN}/10/A%20B", "'A B' is not in character set 82"),
        (f"/01/{GTIN}/10/A%1DB", "is not in character set 82"),
        (f"/01/{GTIN}/10/A%C3%A4", "is not in character set 82"),
        (f"/01/{GTIN}/10/A%00", "is not in character set 82"),
        (f"/01/{GTIN}/10/", "AI 10: nothing has 0 characters"),
        (f"/01/{GTIN}/", "is followed by what the standard does not allow there"),
        (f"/01/{GTIN}/info", "is followed by what the standard does not allow there"),
        (f"/01/{GTIN}/10/A B", "characters in it that a web address cannot have"),
        ("/01/123", "AI 01: 123 has 3 digits, 14 expected"),
        (f"/01/{GTIN}?37=2", "exclude each other"),
        (f"/01/{GTIN}/10/{'A' * 21}", "AI 10"),
    ],
)
def test_what_breaks_the_standard_is_named(tail: str, said: str) -> None:
    with pytest.raises(ElementProblem) as caught:
        read_link(f"{BASE}{tail}", YEAR)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "https://shop.example",
        "https://shop.example/",
        "https://shop.example/news/2026/11",
        "https://a/01/about",
        "https://a/8004/hello",
        "https://shop.example/gtin/09506000134352",
        "https://id.gs1.org/AQnYUc1gmiERBhQ",
        "https://shop.example/?01=09506000134352",
        "ftp://id.gs1.org/01/09506000134352",
        "http:///01/09506000134352",
        "https://[::1]/01/09506000134352",
        "http://",
    ],
)
def test_an_address_without_a_key_is_none_of_ours(address: str) -> None:
    """Not even the names of an early version (gtin) or the compressed form: nothing is guessed."""
    assert read_link(address, YEAR) is None


@pytest.mark.parametrize(
    "address", [f"{BASE}/01/{GTIN}{BASE}/01/{GTIN}", f"{BASE}/01/{GTIN}?17=271231{BASE}/01/{GTIN}?17=271231"]
)
def test_two_scans_in_a_row_are_not_one_address(address: str) -> None:
    with pytest.raises(ElementProblem, match="two scans arrived as one"):
        read_link(address, YEAR)


_SEGMENT = st.sampled_from(["01", GTIN, "10", "21", "22", "ABC", "S%2F1", "17", "p", "00", SSCC, "%zz", ""])
_QUERY = st.sampled_from(["17=271231", "10=A", "3103=000195", "utm=x", "99=A", "88=1", "x", "240=A%2FB", "37=2"])


@settings(max_examples=800, deadline=None)
@given(st.lists(_SEGMENT, max_size=8), st.lists(_QUERY, max_size=3))
def test_what_is_taken_another_reader_reads_the_same(segments: list[str], query: list[str]) -> None:
    address = f"{BASE}/{'/'.join(segments)}" + (f"?{'&'.join(query)}" if query else "")
    try:
        ours = read_link(address, YEAR)
    except ElementProblem:
        return
    try:
        link = GS1DigitalLinkURI.parse(address, config=ParseConfig(gs1_element_strings_verify_date=False))
    except ParseError:
        assert ours is None or len(segments) > 2, "only a stem may confuse the other reader"
        return
    if ours is not None:
        assert ours == {element.ai.ai: element.value for element in link.element_strings}
