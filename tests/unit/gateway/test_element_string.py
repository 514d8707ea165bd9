"""Element strings: a good and a bad value of every Application Identifier, and random messages read by two parsers.

The values are made up after the General Specifications, section 3, or taken from its examples; check digits are those
of `closed`, by the weights of section 7.9.
"""

import re

import pytest
from biip import ParseConfig, ParseError
from biip.gs1_messages import GS1Message
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.capture.application_identifiers import IDENTIFIERS
from gateway.capture.element_string import ElementProblem, read_message

GS = "\x1d"
YEAR = 2026


def closed(digits: str) -> str:
    total = sum(int(digit) * (3 if index % 2 == 0 else 1) for index, digit in enumerate(reversed(digits)))
    return digits + str(-total % 10)


def wrong(key: str) -> str:
    """The key with another last digit."""
    return key[:-1] + str((int(key[-1]) + 3) % 10)


GTIN, CASE = closed("0952123454321"), closed("1952123454321")
SSCC = closed("09521234000000001")
GLN = closed("952132100003")
GDTI, GCN = closed("952132100099"), closed("952132100088")
GSRN = closed("95213210000000007")
CONFIG = ParseConfig(gs1_element_strings_verify_date=False)

VALUES: dict[str, tuple[list[str], list[str]]] = {
    "00": ([SSCC, "376104250021234569"], [SSCC[:-1], wrong(SSCC), "A" + SSCC[1:]]),
    "01": ([GTIN, "80614141123458", CASE], [GTIN[:-1], wrong(GTIN), "0" * 14, "A" + GTIN[1:]]),
    "02": ([GTIN], [wrong(GTIN)]),
    "03": ([GTIN], [wrong(GTIN)]),
    "10": (["1", "L" * 20, "a-b/C_d.9", "%&'()*+,:;<=>?!\""], ["", "L" * 21, "L#1", "L 1"]),
    "11": (["261125", "260200", "000229"], ["261131", "261301", "260001", "26112", "26112A", "250229"]),
    "12": (["261125"], ["261132"]),
    "13": (["261125"], ["260230"]),
    "15": (["280229", "270200"], ["270229"]),
    "16": (["261125"], ["269912"]),
    "17": (["271231", "761231", "770101"], ["273112", "001332"]),
    "20": (["00", "99"], ["1", "1A"]),
    "21": (["S", "12345678901234567890"], ["", "S" * 21, "S#"]),
    "22": (["2A"], ["", "2" * 21]),
    "235": (["X" * 28], ["", "X" * 29]),
    "240": (["X" * 30], ["", "X" * 31]),
    "241": (["P-1"], [""]),
    "242": (["1", "123456"], ["", "1234567", "12A"]),
    "243": (["C" * 20], ["C" * 21]),
    "250": (["S2"], [""]),
    "251": (["R1"], [""]),
    "253": ([GDTI, GDTI + "A" * 17], [GDTI[:-1], wrong(GDTI), GDTI + "A" * 18]),
    "254": (["A-01"], ["", "A" * 21]),
    "255": ([GCN, GCN + "123456789012"], [GCN + "1234567890123", GCN + "A", wrong(GCN)]),
    "30": (["1", "123456"], ["", "12A", "123456789"]),
    "3100": (["001250"], ["1250", "00125A"]),
    "3105": (["012505"], ["0125050"[:5]]),
    "3152": (["000250"], ["25"]),
    "3202": (["001250"], ["1250"]),
    "3302": (["001250"], ["1250"]),
    "3370": (["001250"], ["12500"]),
    "3566": ([], []),
    "37": (["1", "500000"], ["", "A"]),
    "3900": (["1", "123456789012345"], ["", "1234567890123456", "1.5"]),
    "3909": (["1"], ["A"]),
    "3912": (["97812345"], ["978", "12312345", "9781A"]),
    "3922": (["1250"], ["", "12,50"]),
    "3932": (["9781250"], ["0001250"]),
    "3942": (["0010"], ["010", "00100"]),
    "3952": (["001250"], ["1250"]),
    "400": (["PO-1"], ["", "P" * 31]),
    "401": (["9521321X"], ["952", "X9521321"]),
    "402": ([closed("9521321000000001")], [wrong(closed("9521321000000001")), "9521321"]),
    "403": (["ROUTE-7"], [""]),
    "410": ([GLN], [wrong(GLN)]),
    "411": ([GLN], [GLN[:-1]]),
    "412": ([GLN], [GLN[:-1] + "X"]),
    "413": ([GLN], [wrong(GLN)]),
    "414": ([GLN, "0614141123452"], [wrong(GLN)]),
    "415": ([GLN], [wrong(GLN)]),
    "416": ([GLN], [wrong(GLN)]),
    "417": ([GLN], [wrong(GLN)]),
    "420": (["12345-678"], [""]),
    "421": (["528" + "1234AB"], ["528", "0001234"]),
    "422": (["528"], ["52", "001", "5288"]),
    "423": (["528", "528056276840372"], ["5280", "528001"]),
    "424": (["528"], ["999"]),
    "425": (["528056"], ["528999"]),
    "426": (["528"], ["000"]),
    "427": (["ZH"], ["ZHAW"]),
    "4300": (["ACME%20Ltd"], ["A%2", "A" * 36]),
    "4301": (["A"], [""]),
    "4302": (["Street+1"], ["%zz"]),
    "4303": (["A"], ["A" * 71]),
    "4304": (["A"], [""]),
    "4305": (["A"], [""]),
    "4306": (["A"], [""]),
    "4307": (["NL"], ["XX", "N", "nl"]),
    "4308": (["+3112345"], [""]),
    "4309": (["01234567890123456789"], ["18000000010123456789", "01234567893600000001", "1"]),
    "4310": (["A"], [""]),
    "4311": (["A"], [""]),
    "4312": (["A"], [""]),
    "4313": (["A"], [""]),
    "4314": (["A"], [""]),
    "4315": (["A"], [""]),
    "4316": (["A"], [""]),
    "4317": (["US"], ["ZZ"]),
    "4318": (["1234"], [""]),
    "4319": (["1"], [""]),
    "4320": (["FRAGILE"], ["A" * 36]),
    "4321": (["0", "1"], ["2", "11"]),
    "4322": (["1"], ["9"]),
    "4323": (["1"], ["A"]),
    "4324": (["2611250800", "2611002359"], ["2611252400", "2611250860", "261125"]),
    "4325": (["2611250800"], ["2613250800"]),
    "4326": (["261125"], ["261100", "261131"]),
    "4330": (["000123", "000123-"], ["00123", "000123+"]),
    "4331": (["000123-"], ["000123--"]),
    "4332": (["000123"], ["-000123"]),
    "4333": (["000123"], ["A00123"]),
    "7001": (["1234567890123"], ["123456789012"]),
    "7002": (["CUT-1"], [""]),
    "7003": (["2712312359"], ["2712310060", "2712002359", "2712312400", "271231"]),
    "7004": (["1", "9999"], ["", "12345"]),
    "7005": (["27.7.B"], ["A" * 13]),
    "7006": (["261125"], ["261100"]),
    "7007": (["261125", "261125261130"], ["2611252", "261125261131", "261100"]),
    "7008": (["COD"], ["CODE"]),
    "7009": (["OTB"], ["A" * 11]),
    "7010": (["01"], ["012"]),
    "7011": (["261125", "2611251200"], ["26112512", "2611252400"]),
    "7020": (["R1"], [""]),
    "7021": (["F1"], [""]),
    "7022": (["V1"], [""]),
    "7023": (["9521321A"], ["ABCD1", "952"]),
    "7030": (["528ABC123", "999ABC"], ["528", "001ABC"]),
    "7039": (["528X"], ["52X"]),
    "7040": (["1ABC", "1AB-"], ["1ABC1", "AABC", "1AB*"]),
    "7041": (["PX", "8", "1A"], ["", "PALET"]),
    "710": (["04150096"], [""]),
    "717": (["A"], ["A" * 21]),
    "7230": (["EM12345"], ["EM"]),
    "7239": (["EM1"], ["E"]),
    "7240": (["P1"], [""]),
    "7241": (["01", "99"], ["00", "11", "79"]),
    "7242": (["V" * 25], ["V" * 26]),
    "7250": (["19800229"], ["19810229", "19801301", "19800200", "800229"]),
    "7251": (["198002291230"], ["198002292430"]),
    "7252": (["0", "9"], ["3"]),
    "7253": (["M%C3%BCller"], ["M%C3%"]),
    "7254": (["A"], ["A" * 41]),
    "7255": (["JR"], ["A" * 11]),
    "7256": (["A"], ["A" * 91]),
    "7257": (["A"], ["%"]),
    "7258": (["1/2", "2/2"], ["3/2", "0/2", "1-2", "1/"]),
    "7259": (["A"], [""]),
    "8001": (["12345678901201"], ["12345678901231", "00005678901201", "1234567890120"]),
    "8002": (["0041123456789"], [""]),
    "8003": (["0" + GDTI, "0" + GDTI + "X" * 16], ["1" + GDTI, "0" + wrong(GDTI), "0" + GDTI + "X" * 17]),
    "8004": (["9521321ABC"], ["ABC9521321", "952"]),
    "8005": (["000125"], ["125"]),
    "8006": ([GTIN + "0102", GTIN + "0202"], [GTIN + "0302", GTIN + "0002", wrong(GTIN) + "0102", GTIN + "01"]),
    "8007": (["DE89370400440532013000"], ["DE89370400440532013001", "XX89370400440532013000"]),
    "8008": (["26112508", "2611250830", "261125083059"], ["261125", "2611252400", "2611250860", "261125083060"]),
    "8009": (["SENSOR"], ["A" * 51]),
    "8010": (["9521321A-1/#"], ["9521321a", "952"]),
    "8011": (["1", "123456789012"], ["0", "01", "1234567890123"]),
    "8012": (["V1.2"], [""]),
    "8013": (["1987654Ad4X4bL5ttr2310c2K"], ["1987654Ad4X4bL5ttr2310c2L", "A987654Ad4X4bL5ttr2310c2K", "2K"]),
    "8014": (["1987654Ad4X4bL5ttr2310c2K"], ["1987654Ad4X4bL5ttr2310cZZ"]),
    "8017": ([GSRN], [wrong(GSRN)]),
    "8018": ([GSRN], [wrong(GSRN)]),
    "8019": (["1"], ["12345678901", "A"]),
    "8020": (["REF-1"], ["A" * 26]),
    "8026": ([GTIN + "0102"], [GTIN + "0201"]),
    "8030": (["abc-_XYZ="], ["abc+", "a" * 91]),
    "8040": (["490154203237518"], ["49015420323751"]),
    "8041": (["490154203237518"], ["A90154203237518"]),
    "8042": (["89049032" * 4], ["8904"]),
    "8043": (["894900000000000000", "89490000000000000012"], ["89490000000000000A", "894900000000000000123"]),
    "8110": (["106141416543213150110120"], [""]),
    "8111": (["0100"], ["100"]),
    "8112": (["0106141416543210123456"], ["A" * 71]),
    "8200": (["HTTP://EXAMPLE.COM/A?B=C&D=%20"], ["", "A" * 71, "http://a b"]),
    "90": (["A" * 30], ["A" * 31]),
    "91": (["A" * 90], ["A" * 91, ""]),
    "99": (["A"], [""]),
}


def problem(ai: str, value: str) -> str | None:
    try:
        read_message(f"{ai}{value}", YEAR)
    except ElementProblem as found:
        return str(found)
    return None


ALONE = {"02", "37", "8026"}
"""These need company in the same symbol; their values are tried with it."""
GOOD = [(ai, value) for ai, (good, _) in VALUES.items() for value in good]
BAD = [(ai, value) for ai, (_, bad) in VALUES.items() for value in bad]


@pytest.mark.parametrize(("ai", "value"), GOOD)
def test_a_good_value_is_taken(ai: str, value: str) -> None:
    found = problem(ai, value)
    assert found is None or (ai in ALONE and ("without" in found))


@pytest.mark.parametrize(("ai", "value"), BAD)
def test_a_bad_value_is_named_with_its_identifier(ai: str, value: str) -> None:
    found = problem(ai, value)
    assert found is not None
    assert "without" not in found
    assert (
        f"AI {ai}" in found
        or value in found
        or "cannot stand" in found
        or "zeros identify" in found
        or value[1:14] in found
    )


def test_every_identifier_has_a_value_here() -> None:
    families = {ai[:3] if ai[0] == "3" and len(ai) == 4 else ai for ai in IDENTIFIERS}
    tried = {ai[:3] if ai[0] == "3" and len(ai) == 4 else ai for ai in VALUES}
    alike = {f"{a}{b}" for a in ("31", "32", "33", "34", "35", "36") for b in range(10)}
    alike |= {f"703{n}" for n in range(10)} | {f"71{n}" for n in range(8)} | {f"723{n}" for n in range(10)}
    alike |= {str(n) for n in range(91, 100)}
    assert families - tried - alike == set()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (f"01{GTIN}17271", "AI 17: 271 has 3 digits, 6 expected"),
        (f"01{GTIN}1727A231", "AI 17: 27A231 is not a number"),
        (f"01{GTIN}17270231", "AI 17: 270231 is not a date"),
        (f"01{GTIN}10", "AI 10: nothing has 0 characters, 1 to 20 expected"),
        (f"01{GTIN}10A#B", "AI 10: A#B holds '#', which is not in character set 82"),
        (f"01{GTIN}422001", "AI 422: 001 is not a country (ISO 3166)"),
        (f"01{GTIN}17271231{GS}88", "no Application Identifier begins '88'"),
        (f"01{GTIN}11{GS}261125", "AI 11: nothing has 0 digits, 6 expected"),
        (f"01{GTIN}4225281", "AI 422: no separator between 528 and 1"),
        (f"01{GTIN}10{'L' * 20}17271231", f"AI 10: no separator between {'L' * 20} and 17271231"),
        (
            f"01{GTIN}8200http://a b",
            "' ' cannot stand in an element string; does the scanner replace the separator by it?",
        ),
        (f"01{GTIN}01{CASE}", f"AI 01 says {GTIN} and {CASE}"),
        ("80131987654Ad4X4bL5ttr2310c2L", "AI 8013: 1987654Ad4X4bL5ttr2310c2L: check characters 2L, expected 2K"),
        (f"00{wrong(SSCC)}", f"SSCC {wrong(SSCC)}: check digit {wrong(SSCC)[-1]}, expected {SSCC[-1]}"),
        (f"80030{wrong(GDTI)}X1", "GRAI"),
        (f"414{wrong(GLN)}", "GLN"),
    ],
)
def test_what_is_wrong_is_said_precisely(data: str, said: str) -> None:
    with pytest.raises(ElementProblem) as caught:
        read_message(data, YEAR)
    assert said in str(caught.value)


def test_decimals_stand_in_the_identifier_not_in_the_value() -> None:
    assert read_message(f"01{GTIN}310300125039221999", YEAR)["3922"] == "1999"


@pytest.mark.parametrize(
    "data",
    [
        f"01{GTIN}10LOT{GS}21S1",
        f"{GS}01{GTIN}10LOT{GS}21S1{GS}",
        f"01{GTIN}{GS}10LOT{GS}{GS}21S1{GS}{GS}",
        f"10LOT{GS}21S1{GS}01{GTIN}",
    ],
)
def test_separators_that_are_not_needed_change_nothing(data: str) -> None:
    assert read_message(data, YEAR) == {"01": GTIN, "10": "LOT", "21": "S1"}


def test_the_linear_half_of_a_composite_is_part_of_the_company() -> None:
    assert read_message("10LOT", YEAR, gtin=GTIN) == {"01": GTIN, "10": "LOT"}
    with pytest.raises(ElementProblem, match="exclude"):
        read_message(f"37{7}", YEAR, gtin=GTIN)
    with pytest.raises(ElementProblem, match="AI 01 says"):
        read_message(f"01{CASE}", YEAR, gtin=GTIN)


def test_only_a_contradiction_is_called_one() -> None:
    """A wrong check digit was read well; a date that does not exist may be a misread."""
    for data, is_mismatch in ((f"01{wrong(GTIN)}", True), ("17270231", False), (f"02{GTIN}", True), ("10A#", False)):
        with pytest.raises(ElementProblem) as caught:
            read_message(data, YEAR)
        assert caught.value.is_mismatch is is_mismatch


_ELEMENT = st.sampled_from(GOOD)


@settings(max_examples=400, deadline=None)
@given(st.lists(_ELEMENT, min_size=1, max_size=6, unique_by=lambda one: one[0]))
def test_both_parsers_split_a_good_message_alike(elements: list[tuple[str, str]]) -> None:
    """What is put together by the rules comes apart again, whatever stands beside what."""
    data = ""
    for ai, value in elements:
        data += f"{ai}{value}" + ("" if IDENTIFIERS[ai].is_fixed else GS)
    try:
        ours = read_message(data, YEAR)
    except ElementProblem as found:
        assert re.search(r"exclude each other|without|\\? The separator|may hold|arrives as the text", str(found)), (
            found
        )
        return
    assert list(ours.items()) == elements
    theirs = their_reading(data)
    assume(theirs is not None)
    assert theirs == elements


_PIECES = st.one_of(
    st.sampled_from(sorted(IDENTIFIERS)),
    st.sampled_from([value for _, value in GOOD]),
    st.text("0123456789", max_size=8),
    st.text("ABC#%/-(", max_size=3),
    st.just(GS),
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(_PIECES, min_size=1, max_size=7).map("".join))
def test_what_is_taken_the_other_parser_reads_the_same(data: str) -> None:
    """The other parser takes more; it never reads something else."""
    try:
        ours = read_message(data, YEAR)
    except ElementProblem:
        return
    theirs = their_reading(data.strip(GS))
    if theirs is not None and len(dict(theirs)) == len(theirs):
        assert dict(theirs) == ours


def their_reading(data: str) -> list[tuple[str, str]] | None:
    try:
        message = GS1Message.parse(data, config=CONFIG)
    except ParseError:
        return None
    return [(element.ai.ai, element.value) for element in message.element_strings]
