"""Expected documents: what should arrive, be picked, be there, be moved or come back.

One shape for six kinds of documents. The sender numbers its versions; a document without one is told apart by its
digest. JSON numbers are taken for quantities and prices as they were written, never as floats.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from gateway.capture.decimal_text import decimal_text
from gateway.checks.line import EncodedLine, encode_fields
from gateway.events.check_digit import is_closed
from gateway.events.finding import ReturnDisposition
from gateway.events.model import UNIT_EACH, DateText, DecimalText, Sscc
from gateway.events.restricted_number import restricted_names

LINES_MAX: Final = 200_000
DOCUMENTS_MAX: Final = 10_000
"""In one file or one answer."""
SCHEMA_URN: Final = "urn:dockline:schema:expectation:v1"
_FORBIDDEN: Final = frozenset("\x1f\x00")

DocumentType = Literal["asn", "purchase_order", "pick_list", "count_sheet", "transfer", "rma"]


def _plain(value: str) -> str:
    if _FORBIDDEN & set(value):
        raise ValueError("holds a control character")
    return value.strip()


def _decimal(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        return decimal_text(value) or value
    return value


def _gtin(value: object) -> object:
    """GTIN-8, -12 and -13 are the same number with leading zeros."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) in (8, 12, 13, 14):
        if not is_closed(value):
            raise ValueError(f"the check digit of {value} is wrong")
        return value.zfill(14)
    return value


Name = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_plain)]
_AMOUNT: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "string", "pattern": r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?$"},
        {"type": "number", "minimum": 0},
    ]
}
_ANY_GTIN: Final = r"^([0-9]{8}|[0-9]{12}|[0-9]{13}|[0-9]{14})$"
Amount = Annotated[DecimalText, BeforeValidator(_decimal), WithJsonSchema(_AMOUNT)]
Gtin14 = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{14}$"),
    BeforeValidator(_gtin),
    WithJsonSchema({"type": "string", "pattern": _ANY_GTIN}),
]
Unit = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{2,3}$")]


class Part(BaseModel):
    """A part of an expected document: frozen, and nothing but what is stated."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ExpectedItem(Part):
    """What is expected, in as many identifications as the sender has; one of them is enough."""

    gtin: Gtin14 | None = None
    """GTIN in 8, 12, 13 or 14 digits."""
    sku: Name | None = None
    """The site's own item number; a label with that text alone is this item too."""
    sscc: Sscc | None = None
    """Serial shipping container code, for logistic units."""
    epc: Name | None = None
    """EPC pure identity URI."""
    code: Name | None = None
    """Text of a label that is no GS1 key."""
    lot: Name | None = None
    """The one lot that is right; `lots` of the line names several."""
    serial: Name | None = None
    """The one serial number that is right; `serials` of the line names several."""
    expiry: DateText | None = None
    """For information."""

    @model_validator(mode="after")
    def _is_something(self) -> ExpectedItem:
        if not identities(self):
            raise ValueError("needs one of gtin, sku, sscc, epc, code")
        return self


class ExpectedLine(Part):
    """One line of an expected document."""

    line: Name
    """Number or name of the line, once in a document."""
    item: ExpectedItem
    quantity: Amount
    """How many; 0 is a statement too (a count sheet for an empty place)."""
    unit: Unit = UNIT_EACH
    """UN/ECE Recommendation 20 code."""
    lots: tuple[Name, ...] = ()
    """Lots that are right; none: any."""
    serials: tuple[Name, ...] = ()
    """Serial numbers that are right; none: any."""
    locations: tuple[Name, ...] = ()
    """Where it is to be taken, put or counted: names, or patterns with "*"; none: anywhere."""
    price: Amount | None = None
    """For one unit, in the currency of the document."""
    return_disposition: ReturnDisposition | None = None
    """For returns: what should become of it when it is not damaged."""


class ExpectationHead(Part):
    """One expected document without its lines."""

    id: Name
    """Number of the document, as its label and the handhelds say it."""
    type: DocumentType
    version: Name | None = None
    """Version as the sender numbers it; absent: the beginning of the digest."""
    scope: Literal["gateway", "site"] = "site"
    """gateway: all the work on it is done at this gateway, so what is missing at close is short. site: others may work
    on it too, so a tally is partial and nothing is called short."""
    supplier: Name | None = None
    """GLN or name of the supplier (of the customer, for returns); rules and figures go by it."""
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None
    """ISO 4217, of the prices."""
    locations: tuple[Name, ...] = ()
    """Where its goods may be put; none: anywhere."""
    forbidden_locations: tuple[Name, ...] = ()
    """Where its goods must not be put, by name or pattern."""


class ExpectedDocument(ExpectationHead):
    """One expected document."""

    lines: Annotated[tuple[ExpectedLine, ...], Field(min_length=1, max_length=LINES_MAX)]


@dataclass(frozen=True, slots=True)
class Expectation:
    """An expected document, understood; its lines are bytes already."""

    head: ExpectationHead
    lines: tuple[EncodedLine, ...]
    digest: str
    """BLAKE2b-128 over the document in its canonical form, in hexadecimal."""

    @property
    def id(self) -> str:
        """Number of the document."""
        return self.head.id

    @property
    def version(self) -> str:
        """Version as the sender numbers it, else the beginning of the digest."""
        return self.head.version or self.digest[:12]


class ExpectationInvalid(Exception):
    """A document is not of the shape; the message says where and why, for whoever sent it."""


def read_expectation(value: object) -> Expectation:
    """Return the document; raise ExpectationInvalid. Lines are objects, or what `read_json` made of them."""
    if not isinstance(value, dict):
        raise ExpectationInvalid("a document is an object")
    given = value.get("lines")
    if not isinstance(given, list | tuple) or not 0 < len(given) <= LINES_MAX:
        raise ExpectationInvalid(f"{_named(value)}lines: must be a list of 1 to {LINES_MAX}")
    try:
        head = ExpectationHead.model_validate({key: one for key, one in value.items() if key != "lines"})
    except ValidationError as error:
        raise ExpectationInvalid(_named(value) + _explained(error)) from None
    lines: list[EncodedLine] = []
    seen: set[str] = set()
    digest = blake2b(head.model_dump_json(exclude_defaults=True).encode(), digest_size=16)
    for place, one in enumerate(given):
        line = _encoded(one) if not isinstance(one, EncodedLine | Mistaken) else one
        if isinstance(line, Mistaken):
            raise ExpectationInvalid(f"{_named(value)}lines.{place}.{line.why}")
        if line.line in seen:
            raise ExpectationInvalid(f'{_named(value)}lines.{place}: line "{line.line}" appears twice')
        seen.add(line.line)
        digest.update(line.fields)
        lines.append(line)
    return Expectation(head, tuple(lines), digest.hexdigest())


_HALVES: Final = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPES: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""Every escape of a JSON text, whole pairs of surrogates first; `half` is one that stands alone."""


def read_json(body: bytes) -> Any:
    """Return what a body says, numbers as they were written; raise ExpectationInvalid.

    A line becomes bytes as soon as it is read: a hundred thousand objects would need a quarter of a gigabyte. Half a
    character, which JSON may escape and whoever cuts texts leaves behind, is U+FFFD from here on: nothing behind this
    can hold it, not even a message about it.
    """
    try:
        text = body.decode()
        if _HALVES.search(text) is not None:
            text = _ESCAPES.sub(lambda found: "\\ufffd" if found["half"] else found[0], text)
        return json.loads(text, parse_float=str, parse_constant=_refuse, object_hook=_compact)
    except (ValueError, RecursionError) as error:
        raise ExpectationInvalid(f"not JSON: {error}") from None


class Mistaken(NamedTuple):
    """A line that is not of the shape."""

    why: str


def _compact(found: dict[str, Any]) -> Any:
    return _encoded(found) if "line" in found and "item" in found else found


def _encoded(value: object) -> EncodedLine | Mistaken:
    try:
        line = ExpectedLine.model_validate(value)
    except ValidationError as error:
        return Mistaken(_explained(error))
    item = {name: one for name, one in line.item.__dict__.items() if one is not None}
    lots, serials = list(line.lots), list(line.serials)
    if line.item.lot:
        lots.append(line.item.lot)
    if line.item.serial:
        serials.append(line.item.serial)
    fields = [
        line.line, item, line.quantity, line.unit, lots, serials, line.locations, line.price, line.return_disposition,
    ]  # fmt: skip
    found_by = tuple(dict.fromkeys(identities(line.item)))
    return EncodedLine(line.line, found_by, encode_fields(fields), Decimal(line.quantity), line.unit)


def identities(item: Any) -> list[str]:
    """Return what an item can be found by, the most particular first: the keys of the index and of a scan."""
    found = []
    if item.sscc:
        found.append(f"sscc:{item.sscc}")
    if item.epc:
        found.append(f"epc:{item.epc}")
    if item.gtin:
        found.append(f"gtin:{item.gtin}")
    if item.sku:
        found.append(f"sku:{item.sku}")
    if item.code:
        # The text of a plain label may be the item number, or what its sender calls a code.
        found += [f"sku:{item.code}", f"code:{item.code}"]
        for name in restricted_names(item.code):
            # An in-store number is no GTIN, and documents of the site call it one.
            found += [f"sku:{name}", f"code:{name}", f"gtin:{name.zfill(14)}"]
    return list(dict.fromkeys(found)) if len(found) > 1 else found


def document_schema() -> dict[str, Any]:
    """Return the JSON Schema of one expected document."""
    schema = ExpectedDocument.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_URN, **schema}


COMPARED: Final[dict[str, frozenset[str]]] = {
    "asn": frozenset({"receipt"}),
    "purchase_order": frozenset({"receipt"}),
    "pick_list": frozenset({"pick", "shipment"}),
    "count_sheet": frozenset({"count"}),
    "transfer": frozenset({"shipment", "transfer", "receipt"}),
    "rma": frozenset({"return", "receipt"}),
}
"""By kind of document: the activities whose quantities are compared with it. Any other activity on the document (the
putaway of an ASN) is checked for items, lots and places alone."""


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _named(value: dict[str, Any]) -> str:
    return f'document "{value["id"]}": ' if isinstance(value.get("id"), str) else ""


def _explained(error: ValidationError) -> str:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    told = []
    for detail in details[:3]:
        place = ".".join(str(part) for part in detail["loc"])
        told.append(f"{place}: {detail['msg']}" if place else detail["msg"])
    more = f" (and {len(details) - 3} more)" if len(details) > 3 else ""
    return f"{'; '.join(told)}{more}"
