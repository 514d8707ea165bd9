"""Documents in progress: which copy of the expected document each works by, and its book.

A document is in progress from its first event here until it is closed, and keeps the copy it began with; a newer one
waits for the next beginning, or for a person to switch. One that nobody expected yet is unchecked and takes the first
copy that comes. The book is made from committed rows when it is first needed and stays while events are in flight.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, NamedTuple

from gateway.checks.book import Book
from gateway.checks.docket import StatePort, state_pages
from gateway.checks.found import Found
from gateway.checks.piece import US, Piece, decode_piece, encode_piece, piece_key
from gateway.checks.shelf import Header, Shelf

PREFIX: Final = "document/"
BOOKS_MAX: Final = 64
"""Books in memory; the one that was not used for longest is made again when it is needed."""
OBJECTS_MAX: Final = 200_000
"""Serial numbers, SSCCs and tags in all of them, half a kilobyte each: the service may have 384 MB."""
PIECES_A_PAGE: Final = 200

_RARE: Final = ("is_closing", "closing_by", "closing_at", "is_switching", "again")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a document is here; a row of state."""

    copy: int | None = None
    """Number of the copy it works by; None: unchecked."""
    version: str | None = None
    type: str | None = None
    """Kind of document, by the expected document or its label."""
    number: int = 0
    """How often it was closed."""
    is_closed: bool = False
    round: int = 1
    """Of counting; from 2 on a recount is asked for."""
    recount: tuple[tuple[str, ...], ...] = ()
    """The pools to be counted again: their lines, or ("", identity, lot, location, unit)."""
    first: tuple[str, ...] = ()
    """Who counted first; none of them may recount."""
    touched_ms: int = 0
    """Operating clock, when it began or was closed."""
    is_closing: bool = False
    """Somebody closed it, and its tally follows: it is long, or is to be counted first."""
    closing_by: str | None = None
    """Who that was."""
    closing_at: tuple[Any, ...] = ()
    """Where: station, device, and what else a `Place` has."""
    is_switching: bool = False
    """Somebody switched it to the newest copy, and it is counted by that by steps."""
    again: int = 0
    """Round in which what was recounted and closed is counted once more; 0 while nothing is."""

    def encode(self) -> bytes:
        """Return it as the value of its row; what is hardly ever so is left out, as a version before this one did."""
        fields = {name: value for name, value in asdict(self).items() if value or not name.startswith(_RARE)}
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, value: bytes) -> Progress:
        """Return the progress of a row."""
        fields: dict[str, Any] = json.loads(value)
        fields["recount"] = tuple(tuple(one) for one in fields["recount"])
        fields["first"] = tuple(fields["first"])
        fields["closing_at"] = tuple(fields.get("closing_at", ()))
        return cls(**fields)


@dataclass(slots=True)
class OpenDocument:
    """A document in progress, in memory."""

    id: str
    activity: str
    progress: Progress
    book: Book
    flying: int = 0
    """Steps in flight that touched it."""
    pieces: dict[str, Piece] = field(default_factory=dict)
    """Pieces that are not on disk yet, by event."""
    gone: set[str] = field(default_factory=set)
    """Events of pieces whose removal is not on disk yet."""
    since: list[tuple[Piece, bool]] | None = None
    """What was added (True) or taken out since it began to be counted anew by steps; None while it is not."""

    def tell(self, piece: Piece, *, is_added: bool) -> None:
        """Note a change for whoever counts the document anew."""
        if self.since is not None:
            self.since.append((piece, is_added))

    @property
    def header(self) -> Header | None:
        """The copy it works by."""
        return self.book.header

    @property
    def key(self) -> str:
        """Name of its row of state."""
        return document_key(self.id, self.activity)


class _Flying(NamedTuple):
    """A piece that was added to the book and is on its way to disk: the change that nearly every scan makes."""

    one: OpenDocument
    piece: Piece

    def undo(self) -> None:
        self.landed()
        self.one.tell(self.piece, is_added=False)
        self.one.book.remove(self.piece)

    def landed(self) -> None:
        self.one.flying -= 1
        self.one.pieces.pop(self.piece.event, None)


def document_key(document: str, activity: str = "") -> str:
    """Return the name of the row of a document; without an activity the beginning its rows share."""
    return f"{PREFIX}{document}{US}{activity}"


class Documents:
    """Every document in progress."""

    def __init__(self, outbox: StatePort, shelf: Shelf) -> None:
        self._outbox = outbox
        self._shelf = shelf
        self._open: OrderedDict[tuple[str, str], OpenDocument] = OrderedDict()
        self.recalled: set[str] = set()
        """Documents whose earlier work is being read from the journal: they are neither counted nor closed yet."""

    def open(self, document: str, activity: str) -> OpenDocument:
        """Return the document as it is here now, effects in flight included. Raises OutboxError."""
        key = (document, activity)
        found = self._open.get(key)
        if found is None:
            self._make_room()
            found = self._open[key] = self._read(document, activity)
        elif len(self._open) > 1:
            self._open.move_to_end(key)
        return found

    def peek(self, document: str, activity: str) -> OpenDocument | None:
        """Return a document that is in memory; None when it is not: whoever only looks reads nothing for it."""
        return self._open.get((document, activity))

    def known(self, document: str) -> list[OpenDocument]:
        """Return the document in every activity it is known in here."""
        prefix = document_key(document)
        activities = {row.key.removeprefix(prefix) for row in self._outbox.states(prefix)}
        activities |= {activity for name, activity in self._open if name == document}
        found = [self.open(document, activity) for activity in sorted(activities)]
        return [one for one in found if one.progress.touched_ms or one.book.pools]

    def begin(self, one: OpenDocument, kind: str | None, found: Found) -> None:
        """Note that work on a document begins, or goes on after it was closed: by the newest copy."""
        before = one.progress
        header = one.header
        if (before.is_closed or header is None) and self.waits(one) is None:
            header = self._shelf.newest(one.id)
            if header != one.header:
                self.rebuild(one, header, found)
        progress = replace(
            before,
            copy=None if header is None else header.copy,
            version=None if header is None else header.version,
            type=header.type if header is not None else kind,
            is_closed=False,
            is_switching=before.is_switching and not before.is_closed,
            again=one.book.next_round if before.is_closed and before.recount else before.again,
            touched_ms=self._outbox.operating_ms + 1,
        )
        self.put(one, progress, found)

    def put(self, one: OpenDocument, progress: Progress, found: Found) -> None:
        """Change how far a document is."""
        before = one.progress
        one.progress = progress
        found.state[one.key] = progress.encode()
        found.changed(lambda: setattr(one, "progress", before))
        self._touch(one, found)

    def add(self, one: OpenDocument, piece: Piece, item: str, found: Found) -> None:
        """Note a piece that was added to the book; `item` is its item as JSON."""
        one.pieces[piece.event] = piece
        one.tell(piece, is_added=True)
        one.flying += 1
        found.state[piece_key(one.id, one.activity, piece.event)] = encode_piece(piece, item)
        found.changes.append(_Flying(one, piece))

    def remove(self, one: OpenDocument, event: str, found: Found) -> Piece | None:
        """Take a piece out of the book; return it, or None when there is none of that event."""
        piece = self.piece(one, event)
        if piece is None:
            return None
        one.book.remove(piece)
        one.tell(piece, is_added=False)
        one.gone.add(event)
        found.state[piece_key(one.id, one.activity, event)] = None
        found.changed(lambda: one.gone.discard(event), lambda: one.gone.discard(event))
        found.changed(lambda: one.book.add(piece))
        found.changed(lambda: one.tell(piece, is_added=True))
        self._touch(one, found)
        return piece

    def piece(self, one: OpenDocument, event: str) -> Piece | None:
        """Return the piece of an event; None when there is none."""
        if event in one.gone:
            return None
        piece = one.pieces.get(event)
        if piece is None:
            value = self._outbox.state(piece_key(one.id, one.activity, event))
            piece = None if value is None else decode_piece(event, value)
        return piece

    def evidence(self, one: OpenDocument, count_max: int) -> tuple[str, ...]:
        """Return the first events of a document, those in flight too; of a long one nobody needs them all."""
        prefix = piece_key(one.id, one.activity)
        rows = self._outbox.states(prefix, count_max=count_max + len(one.gone))
        events = {row.key.removeprefix(prefix) for row in rows} | one.pieces.keys()
        return tuple(sorted(events - one.gone)[:count_max])

    def all_pieces(self, one: OpenDocument) -> list[Piece]:
        """Return every piece of a document, by event, those in flight too."""
        pieces = {piece.event: piece for piece in self._committed(one.id, one.activity)}
        pieces |= one.pieces
        return [piece for event, piece in sorted(pieces.items()) if event not in one.gone]

    def pages(self, one: OpenDocument) -> Iterator[list[Piece]]:
        """Yield the pieces of a document that are on disk, part by part; it may change between two of them."""
        prefix = piece_key(one.id, one.activity)
        for rows in state_pages(self._outbox, prefix, PIECES_A_PAGE):
            yield [decode_piece(row.key.removeprefix(prefix), row.value) for row in rows if row.value is not None]

    def rebuild(self, one: OpenDocument, header: Header | None, found: Found) -> None:
        """Make the book anew, by another copy of the expected document."""
        before = one.book
        book = Book(one.activity, header, self._shelf)
        book.fill(self.all_pieces(one))
        one.book = book
        found.changed(lambda: setattr(one, "book", before))

    def each(self) -> Iterator[tuple[str, str, Progress]]:
        """Yield (document, activity, progress) of every document that is known here, committed ones, page by page."""
        for rows in state_pages(self._outbox, PREFIX, PIECES_A_PAGE):
            for row in rows:
                document, _, activity = row.key.removeprefix(PREFIX).rpartition(US)
                if row.value is not None:
                    yield document, activity, Progress.decode(row.value)

    def committed(self, document: str, activity: str) -> Progress | None:
        """Return how far a document is on disk; None when there is no row of it."""
        value = self._outbox.state(document_key(document, activity))
        return None if value is None else Progress.decode(value)

    def rows(self) -> list[tuple[str, str, Progress]]:
        """Return the same as `each` at once."""
        return list(self.each())

    def closing(self) -> list[OpenDocument]:
        """Return the documents that wait for their tally, committed ones."""
        return [
            self.open(document, activity)
            for document, activity, one in self.rows()
            if one.is_closing and document not in self.recalled
        ]

    def waits(self, one: OpenDocument) -> Header | None:
        """Return the copy by which a document is to be counted anew: it was unchecked when that came, or is switched.
        None when it is not."""
        progress = one.progress
        if progress.is_switching or (progress.copy is None and one.book.events):
            return self._shelf.newest(one.id)
        return None

    def has_unchecked(self, document: str) -> bool:
        """Return True when work on a document is unchecked, as far as it is committed; reads no pieces for it."""
        rows = self._outbox.states(document_key(document))
        return any(row.value is not None and Progress.decode(row.value).copy is None for row in rows)

    def late(self) -> list[OpenDocument]:
        """Return the documents that are to be counted anew by steps, committed ones."""
        return [
            one
            for document, activity, progress in self.rows()
            if (progress.copy is None or progress.is_switching)
            and document not in self.recalled
            and self._shelf.newest(document) is not None
            for one in [self.open(document, activity)]
            if self.waits(one) is not None
        ]

    def let_go(self, document: str, activity: str) -> bool:
        """Drop a document from memory; return False when that cannot be, because a step in flight works on it."""
        one = self._open.get((document, activity))
        if one is not None and one.flying:
            return False
        self._open.pop((document, activity), None)
        return True

    def forget(self) -> None:
        """Read everything again, when it is needed."""
        self._open.clear()

    def _touch(self, one: OpenDocument, found: Found) -> None:
        one.flying += 1

        def landed() -> None:
            one.flying -= 1

        found.changed(landed, landed)

    def _read(self, document: str, activity: str) -> OpenDocument:
        progress = self.committed(document, activity) or Progress()
        header = None if progress.copy is None else self._shelf.copy(document, progress.copy)
        book = Book(activity, header, self._shelf)
        book.fill(self._committed(document, activity))
        return OpenDocument(document, activity, progress, book)

    def _committed(self, document: str, activity: str) -> list[Piece]:
        prefix = piece_key(document, activity)
        return [
            decode_piece(row.key.removeprefix(prefix), row.value)
            for row in self._outbox.states(prefix)
            if row.value is not None
        ]

    def _make_room(self) -> None:
        objects = sum([one.book.objects for one in self._open.values()])
        for key, one in list(self._open.items()):
            if len(self._open) < BOOKS_MAX and objects <= OBJECTS_MAX:
                return
            if not one.flying:
                objects -= one.book.objects
                del self._open[key]
