"""Labels that a site made up itself: its documents, places, badges, quantities and items.

A pattern is a regular expression that must match the whole text. Named groups pick parts: `id` (a document, location or
operator; the whole text without it), `type` and `line` of a document, `value` of a quantity (the first group without
it), and for an item `sku`, `gtin`, `sscc`, `lot`, `serial`, `quantity` and `grams` (its net weight).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

PatternKind = Literal["document", "location", "operator", "quantity", "item"]

ITEM_GROUPS: Final = ("sku", "gtin", "sscc", "lot", "serial")


@dataclass(frozen=True, slots=True)
class LabelPattern:
    """One kind of label of the site. Raises `re.error` when the expression is none."""

    kind: PatternKind
    expression: str
    document_type: str | None = None
    """What documents of this pattern are, such as "asn"; without it and without a group `type` nothing is claimed."""
    regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "regex", re.compile(self.expression))
