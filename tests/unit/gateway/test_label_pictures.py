"""From the printed symbol to its meaning: pictures drawn and read by another program, then read by ours.

What is checked is the seam between the two: which AIM identifier and which characters a reader gives for which data
carrier.
"""

from typing import Any

import pytest
import zxingcpp
from zxingcpp import BarcodeFormat

from gateway.capture.label import Label, LabelItem, parse_label

GTIN, EACH = "19521234543210", "09521234543213"
LINK = f"https://id.gs1.org/01/{EACH}/10/LOT-1?17=271231"
WITH_LOT = LabelItem(gtin=EACH, lot="LOT-1", serial="S/1", expiry="2027-12-31")


def scanned(content: str, carrier: BarcodeFormat, **options: Any) -> Label:
    """Draw a symbol, read the picture, and hand on what a scanner with AIM identifiers would send."""
    drawn = zxingcpp.create_barcode(content, carrier, **options)
    image = zxingcpp.write_barcode_to_image(drawn, scale=4, add_quiet_zones=True)
    (read,) = zxingcpp.read_barcodes(image, text_mode=zxingcpp.TextMode.Plain)
    return parse_label(read.bytes.decode(), read.symbology_identifier, year=2026)


@pytest.mark.parametrize(
    "carrier",
    [
        BarcodeFormat.Code128,
        BarcodeFormat.DataMatrix,
        BarcodeFormat.QRCode,
        BarcodeFormat.DataBarExp,
        BarcodeFormat.DataBarExpStk,
    ],
    ids=str,
)
def test_element_strings_of_every_carrier(carrier: BarcodeFormat) -> None:
    label = scanned(f"(01){EACH}(10)LOT-1(17)271231(21)S/1", carrier, gs1=True)
    assert (label.kind, label.item) == ("item", WITH_LOT)
    logistic = scanned(f"(00)395212345678901236(02){GTIN}(37)24", carrier, gs1=True)
    assert logistic.item == LabelItem(sscc="395212345678901236", gtin=GTIN)
    assert logistic.quantity == "24"


@pytest.mark.parametrize(
    "carrier", [BarcodeFormat.DataBarOmni, BarcodeFormat.DataBarLtd, BarcodeFormat.DataBarStk], ids=str
)
def test_a_data_bar_is_a_gtin(carrier: BarcodeFormat) -> None:
    assert scanned(EACH[:-1], carrier).item == LabelItem(gtin=EACH)


@pytest.mark.parametrize(
    ("content", "carrier", "gtin"),
    [
        (EACH[1:], BarcodeFormat.EAN13, EACH),
        ("96385074", BarcodeFormat.EAN8, "00000096385074"),
        ("042100005264", BarcodeFormat.UPCA, "00042100005264"),
        ("04252614", BarcodeFormat.UPCE, "00042100005264"),
        (GTIN, BarcodeFormat.ITF14, GTIN),
    ],
    ids=str,
)
def test_retail_and_case_symbols_are_gtins(content: str, carrier: BarcodeFormat, gtin: str) -> None:
    assert scanned(content, carrier).item == LabelItem(gtin=gtin)


@pytest.mark.parametrize("carrier", [BarcodeFormat.QRCode, BarcodeFormat.DataMatrix, BarcodeFormat.Code128], ids=str)
def test_digital_links_and_plain_text(carrier: BarcodeFormat) -> None:
    assert scanned(LINK, carrier).item == LabelItem(gtin=EACH, lot="LOT-1", expiry="2027-12-31")
    assert scanned("SKU 0815", carrier).item == LabelItem(code="SKU 0815")
    assert scanned(EACH[1:], carrier).item == LabelItem(code=EACH[1:]), "no GTIN: the carrier is not one of GS1's"
