"""Labels drawn by hand, and how much of what they are: judged from the General Specifications first, read afterwards.

None of these was used to write the reader.
"""

from typing import NamedTuple

import pytest

from gateway.capture.label import parse_label
from gateway.events.check_digit import check_digit

GS = "\x1d"


def closed(digits: str) -> str:
    return f"{digits}{check_digit(digits)}"


EACH, CASE, MEAT = closed("0952100000888"), closed("1952100000888"), closed("9952100000888")
PALLET = closed("39521000008881234")
LINK = "https://id.gs1.org"
STORE = closed("200001234567")


class Means(NamedTuple):
    item: dict[str, str]
    quantity: str | None = None
    measures: tuple[tuple[str, str], ...] = ()
    remark: str = ""
    """How it begins."""


MEATY = {"gtin": MEAT}
BOX = {"gtin": CASE}
ONE = {"gtin": EACH}
ON_PALLET = {"sscc": PALLET, "gtin": MEAT}
NO_MEASURE = f"AI 01: {MEAT} is of variable measure"
LABELS = [
    # one trade item, of fixed measure
    (f"]E0{EACH[1:]}", Means(ONE)),
    (f"]C101{EACH}", Means(ONE)),
    (f"]d201{EACH}17271200", Means({"gtin": EACH, "expiry": "2027-12-31"})),
    (f"]I1{CASE}", Means(BOX)),
    (f"]C101{CASE}10L", Means({"gtin": CASE, "lot": "L"})),
    (f"]C101{EACH}10L{GS}3012", Means({"gtin": EACH, "lot": "L"}, "12")),
    (f"]C101{EACH}300012", Means(ONE, "12")),
    (f"]C101{EACH}300", Means(ONE, "0", remark="AI 30: 0 is nothing")),
    (f"]C103{EACH}21S1", Means({"gtin": EACH, "serial": "S1"})),
    (f"]C18006{EACH}0103", Means(ONE)),
    (f"]C18006{EACH}0103{GS}21S1", Means({"gtin": EACH, "serial": "S1"})),
    # one trade item, of variable measure
    (f"]C101{MEAT}3103001250", Means(MEATY, None, (("1.250", "KGM"),))),
    (f"]C101{MEAT}3100000012", Means(MEATY, None, (("12", "KGM"),))),
    (f"]C101{MEAT}3105012345", Means(MEATY, None, (("0.12345", "KGM"),))),
    (f"]C101{MEAT}3103999999", Means(MEATY, None, (("999.999", "KGM"),))),
    (f"]C101{MEAT}3103000000", Means(MEATY, None, (), "AI 3103: 000000 is nothing")),
    (f"]C101{MEAT}3203002756", Means(MEATY, None, (("2.756", "LBR"),))),
    (f"]C101{MEAT}31030012503203002756", Means(MEATY, None, (("1.250", "KGM"), ("2.756", "LBR")))),
    (f"]C101{MEAT}3563000311", Means(MEATY, None, (("0.311", "APZ"),))),
    (f"]C101{MEAT}3570000012", Means(MEATY)),
    (f"]C101{MEAT}35700000123103000340", Means(MEATY, None, (("0.340", "KGM"),))),
    (f"]C101{MEAT}3110000250", Means(MEATY, None, (("250", "MTR"),))),
    (f"]C101{MEAT}31100002503121000015", Means(MEATY, None, (("250", "MTR"),))),
    (f"]C101{MEAT}3121000015", Means(MEATY)),
    (f"]C101{MEAT}3142001050", Means(MEATY, None, (("10.50", "MTK"),))),
    (f"]C101{MEAT}3152001050", Means(MEATY, None, (("10.50", "LTR"),))),
    (f"]C101{MEAT}3160000002", Means(MEATY, None, (("2", "MTQ"),))),
    (f"]C101{MEAT}3230000010", Means(MEATY, None, (("10", "YRD"),))),
    (f"]C101{MEAT}3501000125", Means(MEATY, None, (("12.5", "INK"),))),
    (f"]C101{MEAT}3611000015", Means(MEATY, None, (("1.5", "GLL"),))),
    (f"]C101{MEAT}3640000231", Means(MEATY, None, (("231", "INQ"),))),
    (f"]C101{MEAT}80010150002500760" + "1", Means(MEATY, None, (("250", "MTR"),))),
    (f"]C101{MEAT}3012{GS}3102000600", Means(MEATY, "12", (("6.00", "KGM"),))),
    (f"]C101{MEAT}3012", Means(MEATY, "12")),
    (f"]C101{MEAT}", Means(MEATY, None, (), NO_MEASURE)),
    (f"]C101{MEAT}3303001500", Means(MEATY, None, (), NO_MEASURE)),
    (f"]C101{MEAT}33030015003103001250", Means(MEATY, None, (("1.250", "KGM"),))),
    (f"]C101{MEAT}3372000002", Means(MEATY, None, (), NO_MEASURE)),
    (f"]C101{EACH}3103001000", Means(ONE, None, (("1.000", "KGM"),))),
    (f"]e001{MEAT}31030012503922" + "1099", Means(MEATY, None, (("1.250", "KGM"),))),
    (f"]C101{MEAT}152712003103000500", Means({**MEATY, "best_before": "2027-12-31"}, None, (("0.500", "KGM"),))),
    # logistic units
    (f"]C100{PALLET}", Means({"sscc": PALLET})),
    (f"]C100{PALLET}3303123456", Means({"sscc": PALLET})),
    (f"]C100{PALLET}02{CASE}3740", Means({"sscc": PALLET, "gtin": CASE}, "40")),
    (f"]C100{PALLET}02{CASE}370", Means({"sscc": PALLET, "gtin": CASE}, "0", remark="AI 37: 0 is nothing")),
    (f"]C100{PALLET}02{CASE}3740{GS}10L{GS}17271231",
     Means({"sscc": PALLET, "gtin": CASE, "lot": "L", "expiry": "2027-12-31"}, "40")),
    (f"]C100{PALLET}02{MEAT}31030600003712", Means(ON_PALLET, "12", (("60.000", "KGM"),))),
    (f"]C100{PALLET}02{MEAT}33030650003103060000" + "3712", Means(ON_PALLET, "12", (("60.000", "KGM"),))),
    (f"]C100{PALLET}02{MEAT}3712", Means(ON_PALLET, "12", (), f"AI 02: {MEAT} is of variable measure")),
    (f"]C100{PALLET}01{EACH}", Means({"sscc": PALLET, "gtin": EACH})),
    # web addresses
    (f"{LINK}/01/{MEAT}?3103=001250", Means(MEATY, None, (("1.250", "KGM"),))),
    (f"{LINK}/01/{MEAT}/10/L?3103=001250&17=271231",
     Means({**MEATY, "lot": "L", "expiry": "2027-12-31"}, None, (("1.250", "KGM"),))),
    (f"{LINK}/00/{PALLET}?02={CASE}&37=5", Means({"sscc": PALLET, "gtin": CASE}, "5")),
    (f"{LINK}/01/{EACH}?linkType=gs1:pip", Means(ONE)),
    # of the company
    (f"]E0{STORE}", Means({"code": STORE})),
    (f"]C101{STORE.zfill(14)}3103001250",
     Means({"code": STORE}, None, (("1.250", "KGM"),), f"{STORE} is for use inside one company")),
    ("]C0ABC-1", Means({"code": "ABC-1"})),
]  # fmt: skip


@pytest.mark.parametrize(("text", "means"), LABELS, ids=[text.replace(GS, "~") for text, _ in LABELS])
def test_a_label_means_what_the_standards_say(text: str, means: Means) -> None:
    label = parse_label(text, year=2026)
    assert label.item is not None, label.text
    assert {name: value for name, value in label.item._asdict().items() if value} == means.item
    assert (label.quantity, label.measures) == (means.quantity, means.measures)
    assert (label.remark or "").startswith(means.remark)
    assert bool(label.remark) == bool(means.remark), label.remark


@pytest.mark.parametrize(
    "text",
    [
        f"]C101{MEAT}31030012503103001251",
        f"]C101{MEAT}31030012503102000125",
        f"]C101{CASE}3740",
        f"]C100{PALLET}3740",
        f"]C100{PALLET}02{CASE}",
        f"]C101{MEAT}3106000500",
        f"]C101{MEAT}310300125",
        f"]C101{MEAT}310300125A",
        f"]C101{MEAT}80010150000000760" + "1",
        f"]C101{EACH[:-1]}{(int(EACH[-1]) + 1) % 10}",
        f"]C118006{EACH}0401",
    ],
)
def test_a_label_that_contradicts_itself_is_no_item(text: str) -> None:
    assert parse_label(text, year=2026).kind == "problem"
