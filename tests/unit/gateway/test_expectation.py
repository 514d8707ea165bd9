"""Expected documents: their shape, their mistakes, and how they lie on the shelf."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from checks_rig import document, gtin, line
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from outbox_fake import OutboxFake

from gateway.capture.label import LabelItem
from gateway.checks.expectation import (
    ExpectationInvalid,
    document_schema,
    identities,
    read_expectation,
    read_json,
)
from gateway.checks.line import decode_line, sealed
from gateway.checks.shelf import COPY, HEADER, ITEM, LINE, Shelf, chunked, rows_of
from gateway.events.json_schema import schema_text

PUBLISHED = Path(__file__).parents[3] / "config" / "expectation.schema.json"
DOCS = Path(__file__).parents[3] / "docs" / "expectations.md"
GOOD = document("ASN-1", "asn", line(1, 5))


def test_the_published_schema_is_that_of_the_model() -> None:
    assert PUBLISHED.read_text() == schema_text(document_schema()), (
        "run: dockline schema expectation > config/expectation.schema.json"
    )
    Draft202012Validator.check_schema(document_schema())


def test_what_the_documentation_shows_is_a_document() -> None:
    text = DOCS.read_text().split("```json\n")[1].split("```")[0]
    found = read_expectation(read_json(text.encode()))
    assert [decode_line(sealed(one.placed(0))).quantity for one in found.lines] == [50, 1, Decimal("12.5")]
    Draft202012Validator(document_schema()).validate(json.loads(text))


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (r"a\ud800b", "a\ufffdb"),
        (r"\udc00\ud83d", "\ufffd\ufffd"),
        (r"\ud83d\ude00", "\U0001f600"),
        (r"\uD83D\uDE00\uDE00", "\U0001f600\ufffd"),
        (r"\\ud800", r"\ud800"),
        (r"\\\ud800\n", "\\\ufffd\n"),
    ],
)
def test_half_a_character_of_a_centre_is_read_as_one_that_can_be_stored_and_shown(said: str, read: str) -> None:
    """A centre that cuts texts in the middle of an emoji; its document's id stands in our status when it is refused."""
    found = read_json(f'{{"id": "{said}", "removed": ["{said}"]}}'.encode())
    assert found == {"id": read, "removed": [read]}
    with pytest.raises(ExpectationInvalid) as caught:
        read_expectation(found)
    assert str(caught.value).encode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "invoice"}, "type"),
        ({"lines": []}, "lines"),
        ({"novelty": 1}, "novelty"),
        ({"lines": [line(1, 5), line(1, 6)]}, 'line "1" appears twice'),
        ({"lines": [line(1, -5)]}, "lines.0.quantity"),
        ({"lines": [line(1, "many")]}, "lines.0.quantity"),
        ({"lines": [{**line(1, 5), "item": {}}]}, "needs one of gtin"),
        ({"lines": [{**line(1, 5), "item": {"gtin": "09521234543214"}}]}, "check digit"),
        ({"lines": [{**line(1, 5), "item": {"sscc": "12"}}]}, "sscc"),
        ({"id": "A\x1fB"}, "control character"),
        ({"scope": "world"}, "scope"),
    ],
)
def test_a_mistake_is_named_with_its_place(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ExpectationInvalid, match=said.replace(".", r"\.")):
        read_expectation({**GOOD, **change})


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"a": NaN}', b"[" * 100_000])
def test_what_is_no_json_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(ExpectationInvalid, match="not JSON"):
        read_json(body)


def test_numbers_are_taken_as_they_were_written() -> None:
    body = b'{"id":"A","type":"asn","lines":[{"line":"1","item":{"sku":"S"},"quantity":0.1,"price":1e2}]}'
    found = read_expectation(read_json(body))
    line_ = decode_line(sealed(found.lines[0].placed(0)))
    assert (line_.quantity, line_.price) == (Decimal("0.1"), Decimal(100))


def test_a_lot_that_is_named_twice_is_one_lot() -> None:
    wanted = {**line(1, 5, lots=["L1"]), "item": {"gtin": gtin(1), "lot": "L1"}}
    found = read_expectation({**GOOD, "lines": [wanted]})
    assert list(decode_line(sealed(found.lines[0].placed(0))).lots) == ["L1"]


def test_a_short_gtin_is_the_same_number() -> None:
    found = read_expectation({**GOOD, "lines": [{**line(1, 5), "item": {"gtin": "96385074"}}]})
    assert found.lines[0].identities == ("gtin:00000096385074",)


def test_the_same_content_has_the_same_digest_whatever_its_form() -> None:
    other = {**GOOD, "lines": [{**line(1, "5"), "unit": "EA", "lots": []}]}
    assert read_expectation(other).digest == read_expectation(GOOD).digest
    assert read_expectation({**GOOD, "supplier": "X"}).digest != read_expectation(GOOD).digest


def test_a_plain_label_is_found_by_item_number_and_by_code() -> None:
    assert identities(LabelItem(code="BOLT")) == ["sku:BOLT", "code:BOLT"]
    assert identities(LabelItem(gtin=gtin(1), sscc="1")) == ["sscc:1", f"gtin:{gtin(1)}"]


def shelf_with(*documents: dict[str, Any]) -> Shelf:
    outbox = OutboxFake()
    for copy, value in enumerate(documents, 1):
        lines, header = rows_of(read_expectation(value), copy, "test")
        outbox.put_annex(lines)
        outbox.put_annex(header)
    return Shelf(outbox)


def test_a_half_written_document_is_not_there() -> None:
    """The power fails between the lines and the header."""
    outbox = OutboxFake()
    lines, _ = rows_of(read_expectation(GOOD), 1, "test")
    outbox.put_annex(lines)
    assert Shelf(outbox).newest("ASN-1") is None
    assert Shelf(outbox).is_empty()


def test_an_old_copy_stays_beside_a_newer_one() -> None:
    shelf = shelf_with(GOOD, {**GOOD, "version": "2", "lines": [line(2, 7)]})
    newest = shelf.newest("ASN-1")
    old = shelf.copy("ASN-1", 1)
    assert newest is not None and old is not None
    assert (newest.version, old.version) == ("2", "1")
    assert shelf.lines_of(newest, f"gtin:{gtin(1)}") == ()
    assert [one.quantity for one in shelf.lines_of(old, f"gtin:{gtin(1)}")] == [Decimal(5)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=40, unique=False))
def test_every_line_is_found_by_its_item_in_the_order_of_the_document(items: list[int]) -> None:
    lines = [{**line(item, place), "line": f"L{place}"} for place, item in enumerate(items)]
    shelf = shelf_with(document("ASN-1", "asn", *lines))
    header = shelf.newest("ASN-1")
    assert header is not None
    assert [one.line for one in sorted(one for page in shelf.pages(header) for one in page)] == [
        f"L{place}" for place in range(len(items))
    ]
    for item in set(items):
        found = [one.line for one in shelf.lines_of(header, f"gtin:{gtin(item)}")]
        assert found == [f"L{place}" for place, other in enumerate(items) if other == item]


def test_the_rows_of_a_long_document_are_never_there_all_at_once() -> None:
    lines, header = rows_of(
        read_expectation(document("D-1", "asn", *[line(number, 1) for number in range(50)])), 1, "x"
    )
    assert next(lines).space == LINE, "made when it is asked for"
    parts = list(chunked(lines, 7))
    assert [len(part) for part in parts] == [7] * 14 + [1]
    assert [row.space for part in parts for row in part] == [LINE] * 49 + [ITEM] * 50
    assert [row.space for row in header] == [COPY, HEADER]
