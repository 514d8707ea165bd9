"""Running totals: a function of the set of pieces, whatever their order, repeats and undone events."""

import json
import random
import tracemalloc
from decimal import Decimal
from typing import Any

from checks_rig import document, gtin, line
from hypothesis import given, settings
from hypothesis import strategies as st
from outbox_fake import OutboxFake

from gateway.capture.captured import item_text
from gateway.capture.label import LabelItem
from gateway.checks.book import Book, share
from gateway.checks.expectation import read_expectation
from gateway.checks.line import Line
from gateway.checks.piece import Piece, decode_piece, encode_piece, piece_key, unique_of
from gateway.checks.rule import Rule
from gateway.checks.shelf import Header, Shelf, rows_of
from gateway.checks.tally import at_once, tally_steps

LINES = [
    line(1, 5),
    {**line(2, 4, lots=["L1"]), "line": "2a"},
    {**line(2, 3, lots=["L2"]), "line": "2b"},
    {**line(2, 2), "line": "2c"},
    line(3, 6, locations=["A-01-01"]),
    {**line(3, 6, locations=["A-01-02"]), "line": "3b"},
]


def lines_of(shelf: Shelf, header: Header) -> list[Line]:
    return sorted(line for page in shelf.pages(header) for line in page)


def shelf_of(*lines: dict[str, Any], kind: str = "pick_list") -> tuple[Shelf, Header]:
    outbox = OutboxFake()
    rows, header = rows_of(read_expectation(document("D-1", kind, *lines)), 1, "test")
    outbox.put_annex(rows)
    outbox.put_annex(header)
    shelf = Shelf(outbox)
    found = shelf.newest("D-1")
    assert found is not None
    return shelf, found


SHELF, HEADER = shelf_of(*LINES)
LABELS = [
    LabelItem(gtin=gtin(number), lot=lot, serial=serial)
    for number in (1, 2, 3, 4)
    for lot in (None, "L1", "L9")
    for serial in (None, "S1")
]
PLACES = (None, "A-01-01", "A-01-02", "B-01-01")


def piece(event: int, drawn: int) -> Piece:
    """Return one of many pieces: a number is drawn a hundred times as quickly as a piece of parts."""
    drawn, label = divmod(drawn, len(LABELS))
    drawn, place = divmod(drawn, len(PLACES))
    drawn, quantity = divmod(drawn, 5)
    return Piece(f"{event:04d}", LABELS[label], Decimal(quantity), location=PLACES[place], damaged=bool(drawn % 2))


sets = st.lists(st.integers(0, len(LABELS) * len(PLACES) * 10 - 1), max_size=12).map(
    lambda drawn: [piece(event, number) for event, number in enumerate(drawn)]
)
quick = settings(max_examples=60, deadline=None, database=None)


def figures(book: Book) -> object:
    """Everything a book says, in an order of its own."""
    return sorted(
        (key, pool.observed, pool.damaged, pool.events, pool.repeats)
        for key, pool in book.pools.items()
    ), sorted(book.observed().items()), {key: total for key, total in book.totals.items() if total}  # fmt: skip


def book_of(found: list[Piece], *, is_known: bool = True) -> Book:
    book = Book("pick", HEADER if is_known else None, SHELF)
    book.fill(found)
    return book


@quick
@given(sets, st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_scans_does_not_matter(found: list[Piece], rng: random.Random, is_known: bool) -> None:
    shuffled = found.copy()
    rng.shuffle(shuffled)
    assert figures(book_of(shuffled, is_known=is_known)) == figures(book_of(found, is_known=is_known))


@quick
@given(sets, st.sets(st.integers(0, 11)), st.randoms(use_true_random=False))
def test_what_was_undone_leaves_nothing_behind(found: list[Piece], undone: set[int], rng: random.Random) -> None:
    book = book_of(found)
    gone = [piece for place, piece in enumerate(found) if place in undone]
    rng.shuffle(gone)
    for piece in gone:
        book.remove(piece)
    left = [piece for place, piece in enumerate(found) if place not in undone]
    assert figures(book) == figures(book_of(left))
    for piece in gone:
        book.add(piece)
    assert figures(book) == figures(book_of(found)), "an undo that was taken back leaves nothing behind either"


@quick
@given(sets)
def test_a_book_is_made_again_from_its_rows(found: list[Piece]) -> None:
    rows = {piece_key("D-1", "pick", piece.event): encode_piece(piece, item_text(piece.item)) for piece in found}
    prefix = piece_key("D-1", "pick")
    read = [decode_piece(key.removeprefix(prefix), value) for key, value in rows.items()]
    assert figures(book_of(read)) == figures(book_of(found))


@quick
@given(sets)
def test_what_is_shared_out_is_what_was_observed(found: list[Piece]) -> None:
    """Nothing appears or vanishes between pools and lines."""
    book = book_of(found)
    on_lines = sum((pool.observed for pool in book.pools.values() if pool.lines), Decimal(0))
    assert sum(book.observed().values(), Decimal(0)) == on_lines
    sheet = at_once(
        tally_steps(book, lines_of(SHELF, HEADER), lambda _line, _deviation: Rule("r", 1, "a", "short_pick"))
    )
    told = sum((Decimal(line.observed) for line in sheet.listed()), Decimal(0))
    assert told == sheet.observed == sum((pool.observed for pool in book.pools.values()), Decimal(0))


@quick
@given(sets)
def test_a_line_is_called_over_exactly_when_its_share_is(found: list[Piece]) -> None:
    book = book_of(found)
    shares = share(pool for pool in book.pools.values() if pool.lines)
    expected = {line.line: line.quantity for line in lines_of(SHELF, HEADER)}
    over = {name for name, has in shares.items() if has > expected[name]}
    for key, pool in book.pools.items():
        excess = book.excess(key)
        first = next((line.line for line in pool.lines if line.line in over), None)
        assert (None if excess is None else excess[0].line) == first, "whichever pieces it is asked for"


def test_a_lot_goes_to_its_line_and_a_label_without_one_fills_what_is_left() -> None:
    found = [
        Piece("1", LabelItem(gtin=gtin(2), lot="L1"), Decimal(4)),
        Piece("2", LabelItem(gtin=gtin(2)), Decimal(3)),
    ]
    assert book_of(found).observed() == {"2a": Decimal(4), "2b": Decimal(3), "2c": Decimal(0)}


def test_a_line_is_over_for_whoever_fills_it_also_when_others_brought_too_much() -> None:
    """Nine of any lot are right; with one more, of a lot that only the last line takes, that line has too much."""
    any_lot = Piece("1", LabelItem(gtin=gtin(2)), Decimal(9))
    other_lot = Piece("2", LabelItem(gtin=gtin(2), lot="L9"), Decimal(1))
    book = book_of([any_lot])
    assert book.excess((1, ("2a", "2b", "2c"))) is None
    book.add(other_lot)
    for key in ((1, ("2c",)), (1, ("2a", "2b", "2c"))):
        excess = book.excess(key)
        assert excess is not None and (excess[0].line, excess[1]) == ("2c", Decimal(3))
    book.remove(any_lot)
    assert book.excess((1, ("2c",))) is None


def test_of_one_object_the_earliest_counts_and_its_twin_steps_in() -> None:
    first = Piece("1", LabelItem(gtin=gtin(1), serial="S"), Decimal(1))
    second = first._replace(event="2", quantity=Decimal(3))
    book = book_of([second, first])
    assert book.observed() == {"1": Decimal(1)}
    book.remove(first)
    assert book.observed() == {"1": Decimal(3)}


def test_what_names_one_object_and_what_only_its_kind() -> None:
    assert unique_of(LabelItem(sscc="095212340000000018"), "receipt") == "sscc:095212340000000018"
    assert unique_of(LabelItem(gtin=gtin(1), lot="L"), "receipt") is None
    assert unique_of(LabelItem(serial="S"), "receipt") is None
    assert unique_of(LabelItem(epc="urn:epc:raw:96.x30"), "receipt") is None


@quick
@given(sets, st.booleans())
def test_the_running_sums_are_those_of_the_pools(found: list[Piece], is_known: bool) -> None:
    """The screen over the dock shows the sum; the tally at the close adds up the pools."""
    book = book_of(found, is_known=is_known)
    summed: dict[tuple[int, str], Decimal] = {}
    for (round_, _), pool in book.pools.items():
        summed[round_, pool.unit] = summed.get((round_, pool.unit), Decimal(0)) + pool.observed
    assert {key: total for key, total in book.totals.items() if total} == {
        key: total for key, total in summed.items() if total
    }


def test_a_header_has_the_sum_of_its_lines_unless_their_units_differ() -> None:
    assert (HEADER.quantity, HEADER.unit) == ("26", "EA")
    assert Header.decode(HEADER.encode()) == HEADER
    mixed = shelf_of(line(1, 5), {**line(2, 1), "unit": "KGM"})[1]
    assert (mixed.quantity, mixed.unit) == (None, None)
    older = json.loads(HEADER.encode())
    del older["quantity"], older["unit"]
    assert Header.decode(json.dumps(older).encode()).quantity is None, "a row that an older program wrote"


def test_another_unit_is_not_added_up() -> None:
    shelf, header = shelf_of(line(1, 5, unit="CS"))
    book = Book("pick", header, shelf)
    assert book.add(Piece("1", LabelItem(gtin=gtin(1)), Decimal(1))).match is not None
    assert book.add(Piece("2", LabelItem(gtin=gtin(1)), Decimal(1), "KGM")).pool.lines == ()
    assert book.observed() == {"1": Decimal(1)}


def test_a_piece_of_an_older_outbox_is_read_like_one_of_today() -> None:
    """Rows once named every member, with null for what nobody said."""
    whole = b'[{"gtin":"09521230000017","lot":"L1"},"2",null,null,"A-01-01","OP-1",true,false,1,null]'
    of_today = Piece("e1", LabelItem(gtin=gtin(1), lot="L1"), Decimal(2), None, None, "A-01-01", "OP-1", damaged=True)
    assert decode_piece("e1", whole) == of_today
    row = encode_piece(of_today, item_text(of_today.item))
    assert decode_piece("e1", row) == of_today
    assert len(row) < len(whole)
    bare = Piece("e1", LabelItem(code='"\u00e9\\'), Decimal("0.5"))
    assert encode_piece(bare, item_text(bare.item)).count(b",") == 1, "what nobody said takes no room"
    assert decode_piece("e1", encode_piece(bare, item_text(bare.item))) == bare


def test_an_object_takes_half_a_kilobyte_of_memory() -> None:
    """A delivery of a hundred thousand tags is remembered object by object as long as it is open; with its whole pieces
    it took 120 MB."""
    objects = 5_000
    book = Book("receipt", None, SHELF)
    tracemalloc.start()
    try:
        for number in range(objects):
            item = LabelItem(gtin=gtin(number % 7), serial=f"S{number:010d}")
            event = f"019ad000-0000-7000-8000-{number:012d}"
            book.add(Piece(event, item, Decimal(1), location=f"A-{number % 50}", operator=f"op{number % 5}"))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / objects < 700
