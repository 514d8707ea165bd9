"""A printable sheet of labels: what each one means in words, its bars, and its text.

Bars are Code 128, which every scanner reads. The narrowest bar is a third of a millimetre where the column is wide
enough for it, and never less than a quarter (any hand scanner at arm's length); a text too long for that in two columns
gets the width of the page. A height of 15 mm lets a sweep of the hand hit it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from gateway.sheet.code128 import QUIET_MODULES, code128
from gateway.sheet.pdf import Page, pdf

PAPERS_MM: Final = {"a4": (210.0, 297.0), "letter": (215.9, 279.4)}
MODULE_MM_MIN, MODULE_MM_MAX = 0.25, 0.33
BAR_HEIGHT_MM: Final = 15.0
_MARGIN_MM: Final = 12.0
_ROW_MM: Final = 32.0
_HEADING_MM: Final = 10.0


class PrintedLabel(NamedTuple):
    """One label of the sheet."""

    group: str
    """The heading it stands under; labels of one group follow each other."""
    caption: str
    """What it does, in words."""
    text: str
    """What a scanner reads."""


class TooLong(ValueError):
    """The bars of a text do not fit on the paper."""


def label_sheet(title: str, labels: Sequence[PrintedLabel], paper: str) -> bytes:
    """Return the sheet as PDF. Raises NotEncodable for a text that Code 128 cannot hold, TooLong for one that does not
    fit. `paper` is a key of PAPERS_MM."""
    sheet = _Sheet(title, *PAPERS_MM[paper])
    for group, members in _groups(labels):
        sheet.heading(group)
        for label in members:
            sheet.label(label)
    return pdf(sheet.pages, title)


def _groups(labels: Sequence[PrintedLabel]) -> Iterator[tuple[str, list[PrintedLabel]]]:
    for group in dict.fromkeys(label.group for label in labels):
        yield group, [label for label in labels if label.group == group]


class _Sheet:
    """Pages that fill from the top, in two columns."""

    def __init__(self, title: str, width_mm: float, height_mm: float) -> None:
        self._title = title
        self._width = width_mm
        self._height = height_mm
        self.pages: list[Page] = []
        self._column = 0
        self._y = 0.0
        self._turn()

    def heading(self, text: str) -> None:
        """Begin a group; a heading is never the last thing on a page."""
        self._end_row()
        if self._y - _HEADING_MM - _ROW_MM < _MARGIN_MM:
            self._turn()
        self._y -= _HEADING_MM
        self.pages[-1].text(_MARGIN_MM, self._y + 3, 12, text, bold=True)

    def label(self, label: PrintedLabel) -> None:
        widths = code128(label.text)
        modules = sum(widths) + 2 * QUIET_MODULES
        room = self._width - 2 * _MARGIN_MM
        spans = modules * MODULE_MM_MIN > room / 2
        if modules * MODULE_MM_MIN > room:
            raise TooLong(f'the bars of "{label.text}" are wider than the paper')
        if spans:
            self._end_row()
        if self._y - _ROW_MM < _MARGIN_MM:
            self._turn()
        module = min(MODULE_MM_MAX, room / (1 if spans else 2) / modules)
        left = _MARGIN_MM + self._column * room / 2
        self._draw(label, widths, left, module)
        if spans or self._column:
            self._column = 1
            self._end_row()
        else:
            self._column = 1

    def _draw(self, label: PrintedLabel, widths: Sequence[int], left: float, module: float) -> None:
        page, top = self.pages[-1], self._y
        x = left + QUIET_MODULES * module
        page.text(x, top - 5, 10, label.caption)
        page.text(x, top - 8 - BAR_HEIGHT_MM - 3.5, 8, label.text)
        for index, width in enumerate(widths):
            if index % 2 == 0:
                page.rectangle(x, top - 8 - BAR_HEIGHT_MM, width * module, BAR_HEIGHT_MM)
            x += width * module

    def _end_row(self) -> None:
        if self._column:
            self._column = 0
            self._y -= _ROW_MM

    def _turn(self) -> None:
        self.pages.append(Page(self._width, self._height))
        self._column = 0
        self._y = self._height - _MARGIN_MM - 8
        self.pages[-1].text(_MARGIN_MM, self._y + 4, 9, f"{self._title}, page {len(self.pages)}")
