"""Exceptions by supplier: how many were opened, for how many documents, and how long they took to be resolved.

A supplier is what the expected document says (`supplier`: a GLN or a name; the customer, for returns). Their number is
in nobody's hands, so beyond `SUPPLIERS_MAX` the rest is one: metrics must not grow with what documents say.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime
from typing import Any, Final

from buffer.entry import Draft
from gateway.measures.durations import Durations

SUPPLIERS_MAX: Final = 100
OTHERS: Final = "(others)"
RESOLUTION_BOUNDS_S: Final = (900.0, 3600.0, 14_400.0, 28_800.0, 86_400.0, 259_200.0, 604_800.0)
_SUPPLIER: Final = re.compile(rb'"supplier":("(?:[^"\\]|\\.)*")')
_RAISED_AT: Final = re.compile(rb'"raised_at":"([^"]+)"')


class Suppliers:
    """Counts, until asked."""

    def __init__(self) -> None:
        self.opened: Counter[tuple[str, str]] = Counter()
        """By code and supplier."""
        self.closed: Counter[str] = Counter()
        """Documents, by supplier: final closings."""
        self.resolution: dict[str, Durations] = {}
        """From raised to resolved, by code."""
        self._known: set[str] = set()

    def opened_one(self, code: str, payload: bytes) -> None:
        """Count an exception that was opened."""
        supplier = self._supplier(payload)
        if supplier is not None:
            self.opened[code, supplier] += 1

    def resolved_one(self, code: str, draft: Draft) -> None:
        """Count an exception that was resolved. Its age is by the wall clock: a clock that was set back counts none."""
        found = _RAISED_AT.search(draft.payload)
        if found is None:
            return
        took_s = draft.captured_at / 1000 - datetime.fromisoformat(found[1].decode()).timestamp()
        if took_s >= 0:
            self._durations(code).add(took_s)

    def closed_one(self, payload: bytes) -> None:
        """Count a document that was closed, unless it is to be counted again."""
        supplier = self._supplier(payload)
        if supplier is not None and b'"final":false' not in payload:
            self.closed[supplier] += 1

    def dump(self) -> dict[str, Any]:
        """Return what `load` needs, as JSON can hold it."""
        return {
            "opened": [[*key, count] for key, count in self.opened.items()],
            "closed": dict(self.closed),
            "resolution": {code: one.dump() for code, one in self.resolution.items()},
        }

    def load(self, kept: dict[str, Any]) -> None:
        """Go on from what was dumped. Raises KeyError, ValueError, TypeError when it cannot be understood."""
        self.opened = Counter({(str(code), str(supplier)): int(count) for code, supplier, count in kept["opened"]})
        self.closed = Counter({str(supplier): int(count) for supplier, count in kept["closed"].items()})
        for code, one in kept["resolution"].items():
            self._durations(str(code)).load(one)
        self._known = {supplier for _, supplier in self.opened} | set(self.closed)

    def _durations(self, code: str) -> Durations:
        return self.resolution.setdefault(code, Durations(RESOLUTION_BOUNDS_S))

    def _supplier(self, payload: bytes) -> str | None:
        found = _SUPPLIER.search(payload)
        if found is None:
            return None
        supplier = str(json.loads(found[1]))
        if supplier in self._known:
            return supplier
        if len(self._known) >= SUPPLIERS_MAX:
            return OTHERS
        self._known.add(supplier)
        return supplier
