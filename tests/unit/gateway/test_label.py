"""What a data carrier says: every trap of GS1 transmission, and labels the site made up.

GTINs and SSCCs are of the GS1 example prefix 952; their check digits are computed here by the weights 3 and 1 of the
General Specifications (section 7.9), independently of the library under test.
"""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.capture.label import Label, LabelItem, parse_label, split_symbology
from gateway.capture.label_measure import LabelAmount
from gateway.capture.label_pattern import LabelPattern
from gateway.capture.label_reader import LABELS_CACHED_MAX, LabelReader

GS = "\x1d"


def closed(digits: str) -> str:
    """Append the check digit."""
    total = sum(int(digit) * (3 if index % 2 == 0 else 1) for index, digit in enumerate(reversed(digits)))
    return digits + str(-total % 10)


GTIN13 = closed("952123454321")
GTIN14 = closed("1952123454321")
CASE = closed("2952123454321")
GTIN12 = closed("61414100003")
GTIN8 = closed("9638507")
SSCC = closed("09521234000000001")
GLN = closed("952132100003")
PADDED = GTIN13.zfill(14)


def wrong(key: str) -> str:
    return key[:-1] + str((int(key[-1]) + 1) % 10)


def item(label: Label) -> LabelItem:
    assert label.kind == "item", label
    assert label.item is not None
    return label.item


def problem(label: Label) -> tuple[str | None, str]:
    assert label.kind == "problem", label
    assert label.item is None, "nothing is taken from a label with a problem"
    return label.problem, label.text


@pytest.mark.parametrize("symbology", ["]C1", "]e0", "]e1", "]d2", "]d8", "]Q3", "]J1"])
def test_element_strings_are_read_behind_every_gs1_symbology(symbology: str) -> None:
    label = parse_label(f"01{PADDED}10LOT-1{GS}17271231{GS}21S/9{GS}310300125015280600", symbology, year=2026)
    assert item(label) == LabelItem(
        gtin=PADDED, lot="LOT-1", serial="S/9", expiry="2027-12-31", best_before="2028-06-30"
    )
    assert label.net_weight_kg == "1.250"
    assert label.quantity is None


@pytest.mark.parametrize(
    ("code", "symbology", "gtin"),
    [
        (GTIN13, "]E0", PADDED),
        (GTIN12, "]E0", GTIN12.zfill(14)),
        ("0" + GTIN12, "]E0", GTIN12.zfill(14)),
        (GTIN8, "]E4", GTIN8.zfill(14)),
        (GTIN13 + "12", "]E3", PADDED),
        (GTIN13 + "12345", "]E3", PADDED),
        (GTIN14, "]I1", GTIN14),
        (GTIN14, "]I0", GTIN14),
        (GTIN13, None, PADDED),
        (GTIN14, None, GTIN14),
        (GTIN12, None, GTIN12.zfill(14)),
        (GTIN8, None, GTIN8.zfill(14)),
        (f"01{PADDED}", None, PADDED),
        (f"]C101{PADDED}", None, PADDED),
        (f"]C101{PADDED}", "]C1", PADDED),
    ],
)
def test_a_gtin_is_fourteen_digits_whatever_carried_it(code: str, symbology: str | None, gtin: str) -> None:
    assert item(parse_label(code, symbology)).gtin == gtin


def test_a_upc_e_is_its_upc_a() -> None:
    # 04252614 expands to 042100005264 (the example of UPC-E compression in the General Specifications).
    assert item(parse_label("04252614", "]E0")).gtin == "00042100005264"


@pytest.mark.parametrize(
    ("code", "symbology"),
    [
        (wrong(GTIN13), "]E0"),
        (wrong(GTIN8), "]E4"),
        (wrong(GTIN14), "]I1"),
        (wrong(GTIN14), "]I0"),
        (wrong(GTIN13), None),
        (wrong(GTIN8), None),
        (wrong(SSCC), None),
        (f"01{wrong(PADDED)}", "]C1"),
        (f"01{wrong(PADDED)}", None),
        (f"00{wrong(SSCC)}", "]C1"),
        (f"414{wrong(GLN)}", "]C1"),
        (f"02{wrong(PADDED)}3712", "]d2"),
        (f"80030{wrong(GTIN13)}X1", "]C1"),
        (f"https://id.gs1.org/01/{wrong(PADDED)}", "]Q1"),
        (GTIN13 + "12", None) if len(GTIN13) == 12 else (wrong(GTIN12), None),
    ],
)
def test_a_wrong_check_digit_is_never_silent(code: str, symbology: str | None) -> None:
    kind, message = problem(parse_label(code, symbology))
    assert kind == "barcode_mismatch"
    assert "expected" in message, "it says which digit was read and which was expected"


def test_the_library_alone_would_have_read_a_mistyped_ean_as_an_element_string() -> None:
    """7032069804987 parses as AI 7032; without a symbology thirteen digits are a GTIN or an error."""
    assert problem(parse_label("7032069804987"))[1] == "GTIN 7032069804987: check digit 7, expected 8"


def test_zeros_are_no_gtin() -> None:
    assert problem(parse_label("0" * 13, "]E0"))[0] == "barcode_mismatch"


def test_an_sscc_and_its_content() -> None:
    label = parse_label(f"00{SSCC}02{PADDED}3724", "]C1")
    assert item(label) == LabelItem(sscc=SSCC, gtin=PADDED)
    assert label.quantity == "24"
    assert item(parse_label(SSCC)).sscc == SSCC
    assert item(parse_label(f"00{SSCC}")).sscc == SSCC


def test_a_variable_count_belongs_to_the_item_itself() -> None:
    assert parse_label(f"01{PADDED}300012", "]C1").quantity == "12"


@pytest.mark.parametrize(
    "data",
    [
        f"02{PADDED}",
        f"01{PADDED}3712",
        f"01{PADDED}02{PADDED}3712",
        "3712",
        "10ABC",
        "21S1",
        f"01{PADDED}01{GTIN14}",
        f"01{PADDED}10A{GS}10B",
    ],
)
def test_fields_that_contradict_or_need_one_another_are_a_problem(data: str) -> None:
    problem(parse_label(data, "]C1"))


def test_the_same_field_twice_with_one_value_is_harmless() -> None:
    assert item(parse_label(f"01{PADDED}10A{GS}10A", "]C1")).lot == "A"


@pytest.mark.parametrize(
    "data",
    [
        f"01{PADDED}10ABC17271231",
        f"01{PADDED}10ABC1727123121S1",
        f"01{PADDED}10ABC01{GTIN14}".replace(f"01{PADDED}", f"00{SSCC}"),
        f"01{PADDED}10ABC3103001250",
        f"01{PADDED}10LOT12321SERIAL7",
        f"01{PADDED}21SER17271231",
        f"01{PADDED}10" + "A" * 21,
        f"01{PADDED}10{'A' * 20}21S1",
        f"01{PADDED}7003271231120010LOT",
        f"01{PADDED}3012345678",
        f"02{PADDED}37517271231",
        f"254A1414{GLN}"[:22],
    ],
)
def test_a_missing_separator_is_never_guessed(data: str) -> None:
    """A scanner that drops FNC1 makes one long lot of lot, expiry and serial number."""
    problem(parse_label(data, "]C1", year=2026))


@pytest.mark.parametrize(
    "lot",
    ["1", "ABC", "21", "A21B", "L210317", "17271231", "A17271345", "A17991231", "2026-11-21", "12345678901", "X" * 20],
)
def test_an_ordinary_lot_is_left_alone(lot: str) -> None:
    assert item(parse_label(f"01{PADDED}10{lot}", "]C1", year=2026)).lot == lot


def test_a_lot_that_looks_like_two_fields_is_believed_when_the_device_sends_separators() -> None:
    data = f"01{PADDED}10ABC17271231{GS}21S1"
    assert item(parse_label(data, "]C1", year=2026)).lot == "ABC17271231"


def test_a_lot_that_looks_like_an_expiry_is_believed_when_the_expiry_is_there() -> None:
    assert item(parse_label(f"01{PADDED}1727123110ABC17271231", "]C1", year=2026)).lot == "ABC17271231"


def test_the_site_can_say_that_its_lots_look_so() -> None:
    pattern = LabelPattern("item", r"01(?P<gtin>\d{14})10(?P<lot>[A-Z]{3}\d{8})")
    assert item(parse_label(f"01{PADDED}10ABC17271231", "]C1", [pattern])).lot == "ABC17271231"


@pytest.mark.parametrize("edge", [GS, GS + GS])
def test_separators_at_the_ends_and_doubled_are_harmless(edge: str) -> None:
    label = parse_label(f"{GS}01{PADDED}10A{edge}17271231{edge}", "]C1", year=2026)
    assert item(label) == LabelItem(gtin=PADDED, lot="A", expiry="2027-12-31")


@pytest.mark.parametrize(
    "text", ["<GS>", "<gs>", "(GS)", "<FNC1>", "{GS}", "^]", "\\x1d", "~1", " ", "\x1e", "↔", "%1D", "_x001D_", "<29>"]
)
def test_a_separator_that_became_something_else_is_named(text: str) -> None:
    message = problem(parse_label(f"01{PADDED}10A{text}21S", "]C1"))[1]
    assert "separator" in message


def test_printed_brackets_in_the_data_are_named() -> None:
    assert "brackets" in problem(parse_label(f"(01){PADDED}(10)A", "]C0"))[1]
    assert "brackets" in problem(parse_label(f"(01){PADDED}(10)A"))[1]
    problem(parse_label(f"(01){PADDED}(10)A", "]C1"))


@pytest.mark.parametrize("date", ["270231", "271345", "270732", "270001"])
def test_a_date_that_does_not_exist_is_named(date: str) -> None:
    assert problem(parse_label(f"01{PADDED}17{date}", "]C1"))[1] == f"AI 17: {date} is not a date"


@pytest.mark.parametrize(
    ("two", "year", "full"),
    [
        ("27", 2026, "2027"),
        ("76", 2026, "2076"),
        ("77", 2026, "1977"),
        ("99", 2026, "1999"),
        ("10", 2071, "2110"),
        ("21", 2071, "2121"),
        ("22", 2071, "2022"),
    ],
)
def test_a_two_digit_year_lies_within_49_back_and_50_ahead(two: str, year: int, full: str) -> None:
    """General Specifications, section 7.12; and independent of the clock of a gateway that woke up in 1970."""
    assert item(parse_label(f"01{PADDED}17{two}0131", "]C1", year=year)).expiry == f"{full}-01-31"


def test_day_zero_is_the_last_of_the_month() -> None:
    assert item(parse_label(f"01{PADDED}15280200", "]C1", year=2026)).best_before == "2028-02-29"


@pytest.mark.parametrize("symbology", ["]Q1", "]d1", "]J0", "]Q3", "]d2", None])
@pytest.mark.parametrize("scheme", ["https", "http", "HTTPS", "Http"])
def test_a_digital_link_is_its_element_strings(symbology: str | None, scheme: str) -> None:
    label = parse_label(f"{scheme}://shop.example/p/01/{GTIN13}/10/A%2FB/21/S1?17=271231&utm=x", symbology, year=2026)
    assert item(label) == LabelItem(gtin=PADDED, lot="A/B", serial="S1", expiry="2027-12-31")


@pytest.mark.parametrize("address", ["https://shop.example/news", "https://[::1/01/1", "https://a/01/about", "http://"])
def test_another_web_address_is_plain_text(address: str) -> None:
    assert item(parse_label(address, "]Q1")).code == address


@pytest.mark.parametrize(
    "tail",
    ["/01/123", f"/01/{PADDED}/10", f"/01/{PADDED}?17=270231", f"/01/{PADDED}/21/S/10/L", f"/01/{PADDED}?3100=x"],
)
def test_a_digital_link_that_cannot_be_read_is_a_problem(tail: str) -> None:
    problem(parse_label(f"https://id.gs1.org{tail}", "]Q1", year=2026))


@pytest.mark.parametrize("bar", ["|", ""])
@pytest.mark.parametrize(("linear", "symbology"), [(GTIN13, "]E0"), (GTIN12, "]E0"), (GTIN8, "]E4")])
def test_a_composite_in_one_scan_is_one_item(linear: str, symbology: str, bar: str) -> None:
    """EAN-13, UPC-A and EAN-8 with a composite component: the GTIN in the bars, lot and expiry in the squares."""
    label = parse_label(f"{linear}{bar}]e010LOT1{GS}17271231", symbology, year=2026)
    assert item(label) == LabelItem(gtin=linear.zfill(14), lot="LOT1", expiry="2027-12-31")
    assert label.remark is None
    problem(parse_label(f"{wrong(linear)}{bar}]e010LOT1", symbology))
    problem(parse_label(f"{linear}{bar}]e0", symbology))
    problem(parse_label(f"{linear}{bar}]e037{7}", symbology))


def test_the_second_half_of_a_composite_alone_belongs_to_nothing() -> None:
    assert "another symbol" in problem(parse_label(f"10LOT1{GS}17271231", "]e0", year=2026))[1]


def test_a_field_that_belongs_to_another_symbol_is_remarked_beside_the_item() -> None:
    label = parse_label(f"00{SSCC}10LOT1", "]C1")
    assert item(label) == LabelItem(sscc=SSCC, lot="LOT1")
    assert label.remark == "AI 10 belongs to AI 01 or 02 or 03 or 8006 or 8026, which is not in this symbol"


@pytest.mark.parametrize(
    ("digits", "said"),
    [
        ("04252614", "04252614 may be a UPC-E for 042100005264; set the scanner to send the symbology identifier"),
        ("01234565", "01234565 may be a UPC-E for 012345000065 and an EAN-8; set the scanner"),
    ],
)
def test_eight_digits_without_a_symbology_may_be_a_upc_e(digits: str, said: str) -> None:
    assert problem(parse_label(digits))[1].startswith(said)
    assert item(parse_label(digits, "]E0")).gtin is not None


def test_eight_digits_that_can_only_be_an_ean_8() -> None:
    assert item(parse_label(GTIN8)).gtin == GTIN8.zfill(14)
    assert item(parse_label("12345670")).gtin == "00000012345670", "GTIN-8 are given out from 1 on"


@pytest.mark.parametrize("key", ["03", "8006", "8026"])
def test_pieces_and_things_made_to_order_have_a_gtin_too(key: str) -> None:
    piece = "" if key == "03" else "0102"
    count = f"{GS}3712" if key == "8026" else ""
    assert item(parse_label(f"{key}{PADDED}{piece}{count}", "]C1")).gtin == PADDED


def test_a_location_label_names_its_gln() -> None:
    assert parse_label(f"414{GLN}254A-01", "]C1") == Label("location", f"https://id.gs1.org/414/{GLN}/254/A-01")
    assert parse_label(f"414{GLN}", "]C1").text == f"https://id.gs1.org/414/{GLN}"


def test_a_purchase_order_label_is_a_document_because_its_ai_says_so() -> None:
    assert parse_label("400PO-1", "]C1") == Label("document", "PO-1", document_type="po")


@pytest.mark.parametrize("data", ["8004952123ABC", f"80030{GTIN13}X1", "91INTERNAL"])
def test_other_keys_keep_their_element_strings_as_code(data: str) -> None:
    assert (item(parse_label(data, "]C1")).code or "").startswith(f"({data[:2]}")


@pytest.mark.parametrize("symbology", ["]C0", "]A0", "]d1", "]Q1", "]L0", "]I0", None])
@pytest.mark.parametrize("code", ["SKU-1", " SKU-1 ", "12345", "Ä-7", "[)>\x1e07ABC\x1e\x04", "x" * 300])
def test_plain_text_is_a_code(symbology: str | None, code: str) -> None:
    assert item(parse_label(code, symbology)) == LabelItem(code=code.strip())


@pytest.mark.parametrize("code", ["a\x00b", "\x02\x81f\x98", "~\x7f\x06", "\x9bSKU", "SKU\x1bc", "\x05\x06\x1f"])
def test_control_characters_are_noise_unless_a_symbology_vouches_for_them(code: str) -> None:
    """A port without start marker at a wrong baud rate: every burst ended in a carriage return and became goods."""
    label = parse_label(code)
    assert (label.kind, label.problem) == ("problem", "unreadable")
    assert "baud rate" in label.text
    assert item(parse_label(code, "]C0")).code == code


@pytest.mark.parametrize("symbology", ["]d1", None])
def test_a_message_of_another_standard_is_plain_text(symbology: str | None) -> None:
    """ISO/IEC 15434: data identifiers between separators, on labels of the electronics and motor industries."""
    text = "[)>\x1e06\x1dP1234\x1dQ5\x1dS99\x1e\x04"
    assert item(parse_label(text, symbology)).code == text


def test_thirteen_digits_under_a_symbology_of_their_own_are_plain_text() -> None:
    assert item(parse_label(wrong(GTIN13), "]C0")).code == wrong(GTIN13)


@pytest.mark.parametrize(
    ("code", "symbology"),
    [
        (GTIN13 * 2, "]E0"),
        (GTIN13 * 2, None),
        (GTIN8 * 2, None),
        (GTIN12 * 2, None),
        (SSCC * 2, None),
        (GTIN14 * 2, "]I1"),
        (f"01{PADDED}" * 2, "]C1"),
        (f"01{PADDED}10A" * 2, "]C1"),
        (f"01{PADDED}]C101{PADDED}", "]C1"),
        (f"01{PADDED}]E0{GTIN13}", "]C1"),
        (f"{GTIN13}]E0{GTIN13}", "]E0"),
        (f"{GTIN13}]C101{PADDED}", "]E0"),
        (f"{GTIN14}]I1{GTIN14}", "]I1"),
        (f"00{SSCC}" * 2, None),
        (GTIN13 * 3, None),
        (GTIN8 * 4, None),
        (f"01{PADDED}10A{GS}01{PADDED}10A", "]C1"),
        (f"01{PADDED}10A{GS}01{PADDED}10A{GS}01{PADDED}10A", "]d2"),
        (f"https://id.gs1.org/01/{PADDED}" * 2, "]Q1"),
    ],
)
def test_one_scan_delivered_twice_in_a_row_is_found(code: str, symbology: str | None) -> None:
    """DataWedge sends a scan by intent and by keystroke, and the two run together."""
    assert problem(parse_label(code, symbology))[0] == "barcode_mismatch"


@pytest.mark.parametrize(
    ("first", "second"), [(GTIN13, "7032069804988"), (SSCC, closed("37610425002123457")), (GTIN14, CASE)]
)
def test_two_different_keys_that_ran_together_are_found(first: str, second: str) -> None:
    """A frame lost its end; each of the two is closed by its own check digit."""
    kind, message = problem(parse_label(first + second))
    assert (kind, message) == ("barcode_mismatch", f"two scans arrived as one: {first} and {second}")
    assert item(parse_label(first + second, "]C0")).code == first + second, "one symbol, says the identifier"
    assert item(parse_label(first + wrong(second))).code == first + wrong(second)


@pytest.mark.parametrize("suffix", ["\r", "\r\n", "\t", " "])
def test_what_a_device_puts_behind_every_scan_is_not_part_of_it(suffix: str) -> None:
    assert item(parse_label(f"01{PADDED}10A{suffix}", "]C1")).lot == "A"


@pytest.mark.parametrize(
    ("code", "symbology"),
    [
        ("", None),
        (" \r\n", "]C0"),
        ("", "]C1"),
        (GS, "]C1"),
        ("12345", "]E0"),
        ("ABC", "]E0"),
        ("٣" * 13, "]E0"),
        ("12", "]E1"),
        ("12345", "]E2"),
        ("9", "]C1"),
        ("01123", "]C1"),
        ("x" * 8193, None),
        ("\ud800", None),
    ],
)
def test_what_cannot_be_read_is_a_problem_with_words(code: str, symbology: str | None) -> None:
    kind, message = problem(parse_label(code, symbology))
    assert kind in ("unreadable", "barcode_mismatch")
    assert message
    assert "^" not in message or code == "^", "no regular expression is shown to an operator"


SITE = [
    LabelPattern("document", r"(?P<id>PL-\d+)(?:/(?P<line>\d+))?"),
    LabelPattern("document", r"(?P<type>asn|po):(?P<id>\w+)"),
    LabelPattern("document", r"RMA\d+", document_type="rma"),
    LabelPattern("location", r"LOC-(?P<id>[A-Z0-9-]+)"),
    LabelPattern("operator", r"BADGE(\d+)"),
    LabelPattern("quantity", r"QTY(\d+(?:\.\d+)?)"),
    LabelPattern("item", r"I-(?P<sku>\d+)(?:x(?P<quantity>\d+))?"),
    LabelPattern("item", r"J-.*"),
]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("PL-1001", Label("document", "PL-1001")),
        ("PL-1001/3", Label("document", "PL-1001", document_line="3")),
        ("asn:77", Label("document", "77", document_type="asn")),
        ("RMA5", Label("document", "RMA5", document_type="rma")),
        ("LOC-A-01", Label("location", "A-01")),
        ("BADGE7", Label("operator", "BADGE7")),
        ("QTY012", Label("quantity", "12")),
        ("QTY1.5", Label("quantity", "1.5")),
        ("I-55x4", Label("item", "I-55x4", LabelItem(sku="55"), "4")),
        ("J-9", Label("item", "J-9", LabelItem(sku="J-9"))),
    ],
)
def test_the_labels_of_a_site(code: str, expected: Label) -> None:
    assert parse_label(code, None, SITE) == expected
    assert parse_label(code, "]C0", SITE) == expected


def test_a_loose_pattern_of_the_site_does_not_take_gs1_labels() -> None:
    loose = [LabelPattern("document", r"\d+")]
    assert item(parse_label(GTIN13, "]E0", loose)).gtin == PADDED
    assert item(parse_label(f"01{PADDED}", "]C1", loose)).gtin == PADDED
    assert parse_label(GTIN13, None, loose).kind == "document"


def test_commands_are_off_until_the_site_has_a_prefix() -> None:
    assert item(parse_label("DL:quantity 12")).code == "DL:quantity 12"
    assert parse_label("DL:quantity 12", "]C0", command_prefix="DL:") == Label("command", "quantity 12")


def test_an_item_pattern_with_a_wrong_key_is_a_problem() -> None:
    pattern = [LabelPattern("item", r"G(?P<gtin>\d+)"), LabelPattern("item", r"S(?P<sscc>\w+)")]
    assert item(parse_label(f"G{GTIN13}", None, pattern)).gtin == PADDED
    problem(parse_label(f"G{wrong(GTIN13)}", None, pattern))
    problem(parse_label("S12", None, pattern))


def test_a_symbology_left_in_the_text_is_split_off() -> None:
    assert split_symbology("]C1abc", None) == ("abc", "]C1")
    assert split_symbology("]C1abc", "]C1") == ("abc", "]C1")
    assert split_symbology("abc", "]C1") == ("abc", "]C1")
    assert split_symbology("]", None) == ("]", None)


def test_labels_are_remembered_and_forgotten_within_bounds() -> None:
    reader = LabelReader(SITE, "DL:", year=lambda: 2026)
    first = reader.read(f"01{PADDED}", "]C1")
    assert reader.read(f"01{PADDED}", "]C1") is first
    assert reader.read("y" * 257, None) is not reader.read("y" * 257, None)
    assert reader._cached.cache_info().maxsize == LABELS_CACHED_MAX
    assert reader._cached.cache_info().currsize == 1


_SYMBOLOGIES = st.sampled_from(
    [None, "]C1", "]C0", "]E0", "]E3", "]E4", "]I1", "]e0", "]d2", "]d1", "]Q3", "]Q1", "]J1", "]A0", "]", "]zz", "x"]
)
_PIECES = st.one_of(
    st.text(max_size=12),
    st.text("0123456789", max_size=20),
    st.sampled_from([GS, "01", "00", "02", "10", "17", "21", "30", "37", "310", "414", "8003", "7003", "3922", "4309"]),
    st.sampled_from([PADDED, SSCC, GLN, "271231", "https://", "/01/", "?17=", "%D9%A3", "]C1", "(01)", "http://["]),
)


@settings(max_examples=1000, deadline=None)
@given(
    st.one_of(
        st.from_regex(r"[A-Za-z0-9][0-9A-Za-z_.-]{0,50}", fullmatch=True), st.lists(_PIECES, max_size=4).map("".join)
    )
)
@example("http-1")
@example("A" * 48)
@example("A" * 49)
def test_a_reader_says_what_parsing_says(code: str) -> None:
    """It knows a plain code at a glance; a site's own patterns and commands come first all the same."""
    assert LabelReader(year=lambda: 2026).read(code, None) == parse_label(code)
    for patterns, prefix in ((SITE, "DL:"), (SITE, None), ((), "A")):
        reader = LabelReader(patterns, prefix, year=lambda: 2026)
        assert reader.read(code, None) == parse_label(code, None, patterns, command_prefix=prefix)


@settings(max_examples=1500, deadline=None)
@given(
    st.one_of(st.lists(_PIECES, max_size=8).map("".join), st.text(st.characters(exclude_categories=[]))), _SYMBOLOGIES
)
def test_no_text_whatever_raises(code: str, symbology: str | None) -> None:
    label = parse_label(code, symbology, SITE, command_prefix="DL:")
    assert (label.problem is not None) == (label.kind == "problem")
    assert (label.item is not None) == (label.kind == "item")
    assert label.kind == "command" or label.text
    if label.item is not None:
        assert any(label.item), "an item label identifies something"


@settings(max_examples=300, deadline=None)
@given(
    st.text("ABCXYZ", min_size=1, max_size=6),
    st.text("ABCXYZ", min_size=1, max_size=6),
    st.dates(),
    st.integers(1, 999_999),
    st.permutations(range(4)),
)
def test_a_well_formed_message_is_read_in_any_order(
    lot: str, serial: str, date: object, count: int, order: list[int]
) -> None:
    fields = [f"10{lot}{GS}", f"21{serial}{GS}", f"17{date:%y%m%d}", f"30{count}{GS}"]
    label = parse_label(f"01{PADDED}" + "".join(fields[index] for index in order), "]C1", year=2026)
    assert (item(label).lot, item(label).serial, label.quantity) == (lot, serial, str(count))
    assert (item(label).expiry or "")[4:] == f"{date:-%m-%d}"


@pytest.mark.parametrize(
    ("elements", "value", "kind", "currency"),
    [
        ("019501234567890331030001223922000599", "5.99", "price", None),
        ("01950123456789033103000122393297800599", "5.99", "price", "EUR"),
        ("0195012345678903310300012239205", "5", "price", None),
        ("0195012345678903310300012239249", "0.0009", "price", None),
        ("415950110153000339021250\x1d8020REF1", "12.50", "payable", None),
        ("4159501101530003391284012\x1d8020REF1", "0.12", "payable", "USD"),
        ("41595011015300033901123456789012345\x1d8020REF1", "12345678901234.5", "payable", None),
        ("41595011015300033909123456789012345\x1d8020REF1", "123456.789012345", "payable", None),
    ],
)
def test_amounts_have_the_decimals_their_identifier_states(
    elements: str, value: str, kind: str, currency: str | None
) -> None:
    """General Specifications, sections 3.7.1 to 3.7.4: the last digit of 390n to 393n counts the decimals."""
    label = parse_label(f"]C1{elements}")
    assert label.amount == LabelAmount(value, kind, currency)


def test_a_label_without_money_has_no_amount() -> None:
    assert parse_label("]C101095212345432133103001250").amount is None
    assert parse_label("]C1255952123000001112345\x1d39400010").amount is None, "a discount in per cent is no amount"
    assert parse_label("]C101950123456789033103000122393200100599").problem == "unreadable", "001 is no currency"


@pytest.mark.parametrize(
    "second", [f"21S01{CASE}21T", f"21S01{CASE}", f"10A01{PADDED}10B", f"10A01{CASE}", f"10AB01{CASE}"]
)
def test_a_second_scan_behind_a_short_text_field_is_no_part_of_it(second: str) -> None:
    """Two cartons one after the other, and the terminator between them was lost: 20 characters are room enough."""
    label = parse_label(f"]C101{PADDED}{second}")
    assert label.kind == "problem", label


def test_a_serial_number_that_only_resembles_a_second_scan_is_one() -> None:
    assert item(parse_label(f"]C101{PADDED}21S01{wrong(CASE)}")).serial == f"S01{wrong(CASE)}"
