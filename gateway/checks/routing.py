"""Routing: who owns an exception, how grave it is, and by when somebody should have acted.

By code, variance and value; of the routes of the configuration the first that fits, else what is built in for the code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from gateway.checks.rule import Deviation
from gateway.events.finding import ExceptionCode, Severity

HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True)
class Assignment:
    """What becomes of an exception."""

    owner: str
    severity: Severity
    due_s: int | None
    """Seconds of operating time until it is overdue; None: never."""
    invoice_relevant: bool = False
    escalate_to: str = "supervisor"
    """Who owns it when it is overdue."""


_BUILT_IN: Final[dict[ExceptionCode, Assignment]] = {
    "receiving_variance": Assignment("procurement", "major", 24 * HOUR_S, True),
    "unexpected_item": Assignment("procurement", "minor", 24 * HOUR_S, True),
    "duplicate_scan": Assignment("supervisor", "minor", 8 * HOUR_S, escalate_to="operations"),
    "duplicate_pick": Assignment("supervisor", "major", 4 * HOUR_S, escalate_to="operations"),
    "short_pick": Assignment("supervisor", "major", 2 * HOUR_S, escalate_to="operations"),
    "wrong_item": Assignment("supervisor", "major", 2 * HOUR_S, escalate_to="operations"),
    "wrong_location": Assignment("supervisor", "minor", 8 * HOUR_S, escalate_to="operations"),
    "lot_mismatch": Assignment("quality", "major", 8 * HOUR_S),
    "serial_mismatch": Assignment("quality", "major", 8 * HOUR_S),
    "expired": Assignment("quality", "critical", 4 * HOUR_S),
    "damaged": Assignment("quality", "major", 24 * HOUR_S, True),
    "count_variance": Assignment("supervisor", "major", 24 * HOUR_S, escalate_to="finance"),
    "putaway_failure": Assignment("supervisor", "major", 4 * HOUR_S, escalate_to="operations"),
    "unreadable": Assignment("technician", "minor", 24 * HOUR_S),
    "barcode_mismatch": Assignment("quality", "minor", 24 * HOUR_S),
    "device_outage": Assignment("technician", "major", 4 * HOUR_S),
    "sync_failure": Assignment("technician", "major", 4 * HOUR_S),
    "clock_unsynchronised": Assignment("technician", "minor", 24 * HOUR_S),
}

DISPOSITIONS: Final[dict[ExceptionCode, str]] = {
    "receiving_variance": "mismatch_quantity",
    "short_pick": "mismatch_quantity",
    "count_variance": "mismatch_quantity",
    "unexpected_item": "mismatch_class",
    "wrong_item": "mismatch_class",
    "lot_mismatch": "mismatch_class",
    "serial_mismatch": "mismatch_instance",
    "expired": "expired",
    "damaged": "damaged",
}
"""CBV 2.0 dispositions, where there is one for what went wrong."""


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """One route. Empty conditions do not matter; what it does not state is as built in."""

    codes: tuple[str, ...] = ()
    document_types: tuple[str, ...] = ()
    suppliers: tuple[str, ...] = ()
    direction: Literal["short", "over"] | None = None
    variance_absolute_min: Decimal | None = None
    variance_percent_min: Decimal | None = None
    value_min: Decimal | None = None
    owner: str | None = None
    severity: Severity | None = None
    due_s: int | None = None
    invoice_relevant: bool | None = None
    escalate_to: str | None = None

    def fits(self, code: str, document_type: str | None, supplier: str | None, deviation: Deviation | None) -> bool:
        """Return True when every condition holds."""
        if self.codes and code not in self.codes:
            return False
        if self.document_types and document_type not in self.document_types:
            return False
        if self.suppliers and supplier not in self.suppliers:
            return False
        return self._measures(deviation)

    def _measures(self, deviation: Deviation | None) -> bool:
        limits = (self.variance_absolute_min, self.variance_percent_min, self.value_min)
        if deviation is None:
            return self.direction is None and limits == (None, None, None)
        if self.direction is not None and (deviation.difference > 0) != (self.direction == "over"):
            return False
        measures = (deviation.difference, deviation.percent, deviation.value)
        return all(
            limit is None or (measure is not None and abs(measure) >= limit)
            for limit, measure in zip(limits, measures, strict=True)
        )


class Router:
    """The routes in force."""

    def __init__(self, rules: Sequence[RoutingRule] = ()) -> None:
        self._rules = tuple(rules)

    def assign(
        self,
        code: ExceptionCode,
        *,
        document_type: str | None = None,
        supplier: str | None = None,
        deviation: Deviation | None = None,
    ) -> Assignment:
        """Return what becomes of an exception."""
        built_in = _BUILT_IN[code]
        for rule in self._rules:
            if rule.fits(code, document_type, supplier, deviation):
                return Assignment(
                    rule.owner or built_in.owner,
                    rule.severity or built_in.severity,
                    built_in.due_s if rule.due_s is None else rule.due_s,
                    built_in.invoice_relevant if rule.invoice_relevant is None else rule.invoice_relevant,
                    rule.escalate_to or built_in.escalate_to,
                )
        return built_in
