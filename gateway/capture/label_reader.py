"""Reads the labels of one site, and remembers them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from gateway.capture.label import Label, LabelItem, parse_label
from gateway.capture.label_pattern import LabelPattern

LABELS_CACHED_MAX: Final = 4_096
CACHED_CHARACTERS_MAX: Final = 256
"""Longer texts are read each time: 4,096 labels of any length would be no bound on memory."""
_ARTICLE: Final = re.compile(r"[A-GI-Za-gi-z][0-9A-Za-z_.-]{0,47}")
"""A code that can be nothing but a number of the site's own, and most of those: no digit in front, where GS1 begins,
and no H of a web address."""


class LabelReader:
    """`parse_label` with the patterns of one site, and a memory of labels."""

    def __init__(
        self, patterns: Sequence[LabelPattern] = (), command_prefix: str | None = None, *, year: Callable[[], int]
    ) -> None:
        self._patterns = tuple(patterns)
        self._prefix = command_prefix
        self._year = year
        self._cached = lru_cache(maxsize=LABELS_CACHED_MAX)(self._read)
        self._has_own_labels = bool(self._patterns) or command_prefix is not None

    def read(self, code: str, symbology: str | None) -> Label:
        """As `parse_label`."""
        if symbology is None and not self._has_own_labels and _ARTICLE.fullmatch(code):
            return Label("item", code, LabelItem(code=code))
        if len(code) > CACHED_CHARACTERS_MAX:
            return self._read(code, symbology)
        return self._cached(code, symbology)

    def _read(self, code: str, symbology: str | None) -> Label:
        return parse_label(code, symbology, self._patterns, command_prefix=self._prefix, year=self._year())
