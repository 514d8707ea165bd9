"""What is being looked at: a piece, what is done with it, and the document it is done for."""

from __future__ import annotations

from typing import NamedTuple

from gateway.capture.label import LabelItem
from gateway.checks.documents import OpenDocument
from gateway.checks.expectation import identities
from gateway.checks.piece import Piece
from gateway.checks.rule import Subject, names_of
from gateway.checks.shelf import Header


class Scene(NamedTuple):
    """One piece and all that belongs to it."""

    piece: Piece
    activity: str
    one: OpenDocument | None
    """None: the work is for no document."""

    @property
    def subject(self) -> Subject:
        """What rules are asked about."""
        return subject_of(self.activity, self.one, self.piece.item)

    @property
    def header(self) -> Header | None:
        """The expected document, when it is known."""
        return None if self.one is None else self.one.book.header

    @property
    def document(self) -> str:
        """Id of the document; empty when there is none."""
        return "" if self.one is None else self.one.id

    @property
    def identity(self) -> str:
        """What the item is found by first."""
        return next(iter(identities(self.piece.item)), "")


def subject_of(activity: str, one: OpenDocument | None, item: LabelItem) -> Subject:
    """Return what rules are asked about a piece."""
    if one is None:
        return Subject(activity, None, None, names_of(item))
    header = one.book.header
    if header is None:
        return Subject(activity, one.progress.type, None, names_of(item))
    return Subject(activity, header.type, header.supplier, names_of(item))
