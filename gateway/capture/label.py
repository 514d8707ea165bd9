"""What a data carrier says: one function from text to meaning.

Theory of operation. The AIM symbology identifier (ISO/IEC 15424) decides how the text is read, because the text alone
does not say: `7032069804988` is a GTIN-13 and also a valid element string (AI 7032).

    ]C1 ]e0 ]d2 ]Q3 ]J1 ...     element strings (`drivers.symbology` has the whole list), or a Digital Link
    ]E0 ]E3 ]E4                 GTIN, ]E3 with an add-on behind it
    ]I0 ]I1 ]I3                 GTIN when it has 14 digits (ITF-14; behind ]I3 13), else plain text
    any other                   Digital Link when it is one, else plain text
    none, or ]Z0 (typed)        GTIN or an error at 8, 12, 13 and 14 digits, SSCC or an error at 18; element strings
                                when it begins with a whole AI 00, 01 or 02 or holds a separator; a Digital Link; else
                                plain text

A composite symbol arrives as one message of element strings, or as an EAN/UPC message with a second one behind it in
the same scan (]E09521234543213|]e010LOT1): one item. Sent as two scans, its second half belongs to nothing and says so.

The site's own labels come first: its item patterns everywhere (they settle what only the site can know), the others
and command labels wherever the symbology is not GS1's own. Plain text is `item.code` (or `item.sku` by pattern), and so
is a number in EAN/UPC that is no GTIN (`gateway.events.restricted_number`).

A label is never guessed at: a wrong check digit, a field without its separator, an impossible date, one scan delivered
twice in a row make a `Label` with a problem, which is stored as an unrecognised event with its evidence. It never
raises.

The same label is scanned again and again, so labels are remembered by their raw text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from drivers.symbology import ELEMENT_STRING_IDENTIFIERS
from gateway.capture import label_measure
from gateway.capture.decimal_text import decimal_text
from gateway.capture.digital_link import read_link
from gateway.capture.element_company import company
from gateway.capture.element_date import gs1_date
from gateway.capture.element_string import SEPARATOR, ElementProblem, gtin_problem, read_message
from gateway.capture.label_measure import LabelAmount
from gateway.capture.label_pattern import ITEM_GROUPS, LabelPattern
from gateway.capture.run_together import WHOLE_KEY, check_not_doubled, check_not_joined
from gateway.events.check_digit import check_digit, check_digit_problem, is_closed, upc_a
from gateway.events.restricted_number import restricted_number

CHARACTERS_MAX: Final = 8_192
"""More than the largest QR code holds (7,089 digits)."""

LabelKind = Literal["item", "document", "location", "operator", "quantity", "command", "problem"]
ProblemCode = Literal["unreadable", "barcode_mismatch"]

KEYED: Final = "]Z0"
"""Symbology identifier of what a person typed (ISO/IEC 15424: Z is data of no bar code, 0 the keyboard)."""
_SYMBOLOGY: Final = re.compile(r"\][A-Za-z][0-9A-Za-z]")
_EAN: Final = frozenset({"]E0", "]E1", "]E2", "]E3", "]E4"})
_ISO_15434: Final = "[)>\x1e"
"""How a message of several formats begins, in which GS separates fields that are not GS1's: plain text here."""
_GS1: Final = ELEMENT_STRING_IDENTIFIERS | _EAN
_GTIN_LENGTHS: Final = (8, 12, 13, 14)
_BRACKETS: Final = re.compile(r"\((?:00\)[0-9]{18}|0[12]\)[0-9]{14})")
_HTTP: Final = re.compile(r"https?://", re.IGNORECASE)
_COMPOSITE: Final = re.compile(r"(?P<linear>[0-9]{8,13})\|?\]e0(?P<second>.*)", re.DOTALL)
_ITEM_KEYS: Final = frozenset({"00", "01", "02", "03", "8006", "8026"})
_OWN_KEYS: Final = frozenset(
    {"253", "255", "401", "402", "417", "8003", "8004", "8010", "8013", "8017", "8018", "8020", "8110", "8112"}
)
"""Identify something else: an asset, a document, a component, a consignment, a party, a coupon."""
_CONTROL: Final = re.compile("[\\x00-\\x1f\\x7f-\\x9f]")


class LabelItem(NamedTuple):
    """What the label says the item is; the fields of the event's `item`."""

    gtin: str | None = None
    sku: str | None = None
    sscc: str | None = None
    epc: str | None = None
    lot: str | None = None
    serial: str | None = None
    expiry: str | None = None
    best_before: str | None = None
    code: str | None = None


class Label(NamedTuple):
    """One data carrier, understood or not."""

    kind: LabelKind
    text: str
    """For a document, location or operator its id; for a quantity the decimal string; for a command its words; for a
    problem why it is one, in words for a person."""
    item: LabelItem | None = None
    quantity: str | None = None
    """Decimal string: AI 30 of the item itself, AI 37 contained in AI 02, or a group of the site's pattern."""
    net_weight_kg: str | None = None
    document_type: str | None = None
    document_line: str | None = None
    remark: str | None = None
    """What is wrong with the label beside what it says of the item, in words for a person."""
    problem: ProblemCode | None = None
    """unreadable: not understood. barcode_mismatch: read well, and it contradicts itself."""
    amount: LabelAmount | None = None
    counts: bool = False
    """`quantity` is a count of trade items by GS1 (AI 30, 37); else it is in whatever unit the site's pattern means."""
    measures: tuple[tuple[str, str], ...] = ()
    """Trade measures with their units, of all that the label is about."""


def split_symbology(code: str, symbology: str | None) -> tuple[str, str | None]:
    """Return the text without its symbology identifier, and that, when the driver left it in the text."""
    if symbology is None and code.startswith("]") and _SYMBOLOGY.match(code):
        return code[3:], code[:3]
    if symbology is not None and code.startswith(symbology):
        return code[3:], symbology
    return code, symbology


def parse_label(
    code: str,
    symbology: str | None = None,
    patterns: Sequence[LabelPattern] = (),
    *,
    command_prefix: str | None = None,
    year: int = 2026,
) -> Label:
    """Return what the text of a data carrier means. Never raises.

    `symbology` is the AIM identifier ("]C1") or None when the device sends none. `year` is the current year: two-digit
    years are relative to it (GS1 General Specifications, section 7.12).
    """
    text, symbology = split_symbology(code, symbology)
    if symbology == KEYED:
        symbology = None
    try:
        return _read(text, symbology, patterns, command_prefix, year)
    except ElementProblem as problem:
        return _problem(str(problem), "barcode_mismatch" if problem.is_mismatch else "unreadable")


def _read(text: str, symbology: str | None, patterns: Sequence[LabelPattern], prefix: str | None, year: int) -> Label:
    plain = text.strip(" \t\r\n")
    if not plain:
        return _problem("the label is empty")
    if len(text) > CHARACTERS_MAX:
        return _problem(f"{len(text)} characters are more than any data carrier holds")
    if not text.isascii() and text.encode("utf-8", "replace").decode() != text:
        return _problem("the text is not valid Unicode")
    is_gs1 = symbology in _GS1
    if prefix is not None and not is_gs1 and plain.startswith(prefix):
        return Label("command", plain[len(prefix) :].strip())
    for pattern in patterns:
        if pattern.kind == "item" or not is_gs1:
            found = pattern.regex.fullmatch(plain)
            if found:
                return _read_pattern(pattern, found)
    if symbology is None:
        return _read_bare(plain, year)
    if _HTTP.match(plain):
        return _read_link(plain, year)
    if is_gs1 or symbology.startswith("]I"):
        return _read_gs1(text, plain, symbology, year)
    return _read_plain(plain)


def _read_gs1(text: str, plain: str, symbology: str, year: int) -> Label:
    composite = _COMPOSITE.fullmatch(plain) if symbology in ("]E0", "]E4") else None
    if composite is None and _SYMBOLOGY.search(text):
        return _problem("two scans arrived as one: a symbology identifier stands in the data", "barcode_mismatch")
    if symbology in ELEMENT_STRING_IDENTIFIERS:
        check_not_doubled(plain)
        return _from_elements(read_message(plain, year), year)
    if symbology == "]I3" and len(plain) == 13 and plain.isascii() and plain.isdigit():
        return _gtin(f"{plain}{check_digit(plain)}")  # the scanner checked the last digit and kept it to itself
    if symbology[1] == "I" and len(plain) != 14:
        check_not_doubled(plain)
        return _read_plain(plain)
    if composite is not None:
        linear = _read_ean(composite["linear"], symbology)
        if linear.item is None or linear.item.gtin is None:
            return linear
        return _from_elements(read_message(composite["second"], year, gtin=linear.item.gtin), year)
    return _read_ean(plain, symbology)


def _read_ean(plain: str, symbology: str) -> Label:
    if not (plain.isascii() and plain.isdigit()):
        return _problem(f"{symbology} carries digits only")
    check_not_doubled(plain)
    match symbology:
        case "]E1" | "]E2":
            return _problem("an add-on symbol arrived without the symbol it belongs to")
        case "]E3":
            if len(plain) not in (15, 18):
                return _problem(f"]E3: 13 digits and an add-on of 2 or 5 expected, got {len(plain)}")
            return _gtin(plain[:13])
        case "]E0" if len(plain) == 8:
            upc = upc_a(plain)
            return _gtin(upc) if upc else _problem(f"{plain} is not a UPC-E: it begins with neither 0 nor 1")
    lengths = {"]E0": (12, 13), "]E4": (8,)}.get(symbology, (14,))
    if len(plain) not in lengths:
        return _problem(f"{symbology}: {' or '.join(map(str, lengths))} digits expected, got {len(plain)}")
    return _gtin(plain)


def _read_bare(text: str, year: int) -> Label:
    """Read text of a device that sends no symbology identifier."""
    if text.isascii() and text.isdigit():
        check_not_doubled(text)
        if len(text) == 8:
            return _read_eight(text)
        if len(text) in _GTIN_LENGTHS:
            return _gtin(text)
        if len(text) == 18:
            return _sscc(text)
        check_not_joined(text)
    if (text[0] == "0" and WHOLE_KEY.match(text)) or (SEPARATOR in text and not text.startswith(_ISO_15434)):
        check_not_doubled(text)
        return _from_elements(read_message(text, year), year)
    if text[0] in "hH" and _HTTP.match(text):
        return _read_link(text, year)
    if _CONTROL.search(text) and not text.startswith(_ISO_15434):
        # A device that sends no identifier vouches for nothing: line noise, a wrong baud rate and half a frame of some
        # other protocol look like this; a label that really holds control characters comes with its symbology.
        return _problem("control characters: line noise, a wrong baud rate or another device?")
    return _read_plain(text)


def _read_eight(digits: str) -> Label:
    """Read eight digits that may be an EAN-8 or a UPC-E, which only the symbology identifier tells apart.

    A GTIN-8 never begins with 0 (General Specifications, section 1.4), so there both may be meant.
    """
    upc = upc_a(digits)
    if upc is None or not is_closed(upc) or (is_closed(digits) and digits[0] != "0"):
        return _gtin(digits)
    what = f"a UPC-E for {upc}" + (" and an EAN-8" if is_closed(digits) else "")
    return _problem(f"{digits} may be {what}; set the scanner to send the symbology identifier")


def _read_plain(text: str) -> Label:
    if text[0] == "(" and _BRACKETS.match(text):
        return _problem("the printed brackets are part of the data: the label is no GS1 element string")
    return Label("item", text, LabelItem(code=text))


def _gtin(digits: str) -> Label:
    problem = gtin_problem(digits)
    if problem:
        return _problem(problem, "barcode_mismatch")
    restricted = restricted_number(digits)
    if restricted is not None:
        return Label("item", digits, LabelItem(code=restricted))
    return Label("item", digits, LabelItem(gtin=digits.zfill(14)))


def _sscc(digits: str) -> Label:
    problem = check_digit_problem("SSCC", digits)
    if problem:
        return _problem(problem, "barcode_mismatch")
    return Label("item", digits, LabelItem(sscc=digits))


def _read_link(text: str, year: int) -> Label:
    """Read a web address: a GS1 Digital Link when it names a GS1 key, else plain text."""
    values = read_link(text, year)
    return _read_plain(text) if values is None else _from_elements(values, year)


def _from_elements(values: dict[str, str], year: int) -> Label:
    readable = "".join([f"({ai}){value}" for ai, value in values.items()])
    has_item = not _ITEM_KEYS.isdisjoint(values)
    if "414" in values and not has_item:
        return Label("location", _location(values))
    if len(values) == 1 and "400" in values:
        return Label("document", values["400"], document_type="po")  # AI 400: customer's purchase order number
    if not has_item and _OWN_KEYS.isdisjoint(values) and not any(ai[0] == "9" for ai in values):
        return _problem(f"{readable}: belongs to an item that another symbol of the label names")
    get = values.get
    gtin = get("01") or get("02") or get("03") or (get("8006") or get("8026") or "")[:14] or None
    sscc = get("00")
    restricted = None if gtin is None else restricted_number(gtin)
    item = LabelItem(
        gtin=gtin if restricted is None else None,
        sscc=sscc,
        lot=get("10"),
        serial=get("21"),
        expiry=_date(values, "17", year) or _date(values, "7003", year),
        best_before=_date(values, "15", year),
        code=readable if gtin is None and sscc is None else restricted,
    )
    count = get("37") or get("30")
    return Label(
        "item",
        readable,
        item,
        decimal_text(count) if count else None,
        label_measure.net_weight_kg(values),
        remark=company(frozenset(values)).remark or label_measure.unmeasured(values) or _not_for_trade(restricted),
        amount=label_measure.amount(values),
        counts=count is not None,
        measures=label_measure.trade_measures(values),
    )


def _not_for_trade(restricted: str | None) -> str | None:
    """Such a number is for EAN/UPC symbols alone (General Specifications, section 2.1.13)."""
    return None if restricted is None else f"{restricted} is for use inside one company or region and is no GTIN"


def _location(values: dict[str, str]) -> str:
    """Return the location as EPCIS 2.0 writes it; the URN form would need the length of the company prefix."""
    extension = f"/254/{values['254']}" if "254" in values else ""
    return f"https://id.gs1.org/414/{values['414']}{extension}"


def _date(values: dict[str, str], ai: str, year: int) -> str | None:
    value = values.get(ai)
    return gs1_date(value[:6], year) if value else None


def _read_pattern(pattern: LabelPattern, found: re.Match[str]) -> Label:
    groups = {name: value for name, value in found.groupdict().items() if value}
    text = found[0]
    match pattern.kind:
        case "document":
            kind = groups.get("type") or pattern.document_type
            return Label("document", groups.get("id", text), document_type=kind, document_line=groups.get("line"))
        case "location" | "operator":
            return Label(pattern.kind, groups.get("id", text))
        case "quantity":
            stated = groups.get("value") or (found[1] if pattern.regex.groups and found[1] else text)
            value = decimal_text(stated)
            return Label("quantity", value) if value else _problem(f"{stated} is not a quantity")
        case "item":
            return _read_item_pattern(groups, text)


def _read_item_pattern(groups: dict[str, str], text: str) -> Label:
    fields: dict[str, str] = {name: groups[name] for name in ITEM_GROUPS if name in groups}
    if "gtin" in fields:
        fields["gtin"] = fields["gtin"].zfill(14)
        problem = gtin_problem(fields["gtin"]) if re.fullmatch(r"[0-9]{14}", fields["gtin"]) else "no GTIN"
        if problem:
            return _problem(problem, "barcode_mismatch")
        restricted = restricted_number(fields["gtin"])
        if restricted is not None:
            del fields["gtin"]
            fields["code"] = restricted
    if "sscc" in fields:
        problem = (
            check_digit_problem("SSCC", fields["sscc"]) if re.fullmatch(r"[0-9]{18}", fields["sscc"]) else "no SSCC"
        )
        if problem:
            return _problem(problem, "barcode_mismatch")
    if not fields.keys() & {"sku", "gtin", "sscc", "code"}:
        fields["sku"] = text
    quantity = groups.get("quantity")
    value = decimal_text(quantity) if quantity else None
    if quantity and value is None:
        return _problem(f"{quantity} is not a quantity")
    grams = decimal_text(groups["grams"]) if "grams" in groups else None
    if "grams" in groups and grams is None:
        return _problem(f"{groups['grams']} is not a weight")
    weight = None if grams is None else label_measure.kilograms(grams)
    return Label("item", text, LabelItem(**fields), value, weight, measures=((weight, "KGM"),) if weight else ())


def _problem(reason: str, code: ProblemCode = "unreadable") -> Label:
    return Label("problem", reason, problem=code)
