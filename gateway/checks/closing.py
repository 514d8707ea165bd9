"""A document is closed: the tally, and what is missing or too much.

What is missing is called short only when all the work on the document is done at this gateway (`scope = "gateway"`).
Lines of a count sheet beyond tolerance are counted again, by somebody else and without being told the figures, before
anything is final: the first closing says which, the second one decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from drivers.reading import Remark
from gateway.checks.comparison import OUTBOUND
from gateway.checks.docket import GATEWAY_ACTOR, Docket, Trouble
from gateway.checks.documents import Documents, OpenDocument, Progress
from gateway.checks.exception import EVIDENCE_MAX, Case
from gateway.checks.expectation import COMPARED
from gateway.checks.found import Found
from gateway.checks.line import Line
from gateway.checks.policy import Policy
from gateway.checks.rule import Deviation, Rule, Subject
from gateway.checks.shelf import Shelf
from gateway.checks.tally import Differing, TallySheet, differing_lines, take_tally
from gateway.checks.wording import document_of, plain, reference_of, variance_of
from gateway.events.finding import ExceptionCode

BIZ_STEPS: Final = {
    "receipt": "receiving",
    "putaway": "storing",
    "pick": "picking",
    "count": "cycle_counting",
    "shipment": "shipping",
    "return": "receiving",
    "transfer": "storing",
}

NEEDS_BADGE: Final = Remark("recount_needs_badge", "a recount is by a second person: scan your badge first")
SAME_PERSON: Final = Remark("recount_same_person", "a recount is by somebody who has not counted this")


class Closer:
    """Closes documents."""

    def __init__(self, policy: Policy, docket: Docket, documents: Documents, shelf: Shelf) -> None:
        self._policy = policy
        self._docket = docket
        self._documents = documents
        self._shelf = shelf

    def close(self, document: str, activity: str | None, operator: str | None, found: Found) -> None:
        """Make the tally of a document, raise what it shows, and say it to the operator."""
        if activity is None:
            return
        one = self._documents.open(document, activity)
        if not one.progress.touched_ms or (one.header is None and self._shelf.newest(document) is not None):
            self._documents.begin(one, None, found)
        if activity == "count" and one.progress.round == 2:
            if not self._may_finish(one, operator, found):
                return
            self._finish(one, operator, found)
            return
        sheet = self._sheet(one, one.progress.recount)
        wants_recount = activity == "count" and bool(sheet.differing) and self._is_compared(one)
        if wants_recount:
            self._ask_recount(one, sheet, operator, found)
        else:
            self._conclude(one, sheet, operator, found, progress=replace(one.progress, recount=()))

    # -- within

    def _sheet(self, one: OpenDocument, recounted: Sequence[tuple[str, ...]] = ()) -> TallySheet:
        lines = self._shelf.lines(one.header) if one.header is not None and self._is_compared(one) else []
        return take_tally(
            one.book, lines, lambda line, deviation: self._rule(one, line, deviation), recounted=recounted
        )

    def _is_compared(self, one: OpenDocument) -> bool:
        return one.header is not None and one.activity in COMPARED[one.header.type]

    def _rule(self, one: OpenDocument, line: Line, deviation: Deviation) -> Rule | None:
        header = one.header
        assert header is not None
        is_short = deviation.difference < 0
        if is_short and header.scope != "gateway":
            return None
        names = tuple(value for name, value in line.item.items() if name in ("gtin", "sku", "code", "sscc"))
        subject = Subject(one.activity, header.type, header.supplier, names)
        return self._policy.rules.rule(_code(one.activity, is_short=is_short), subject)

    def _ask_recount(self, one: OpenDocument, sheet: TallySheet, operator: str | None, found: Found) -> None:
        """The lines that differ are to be counted again before they are final."""
        differing = {line.line.line for line in sheet.differing}
        pools = {
            key[1] for key, pool in one.book.pools.items() if key[0] == 1 and differing & set(key[1]) and pool.lines
        }
        pools |= {(line,) for line in differing if not any(line in pool for pool in pools)}
        first = sorted(one.book.operators | ({operator} if operator else set()))
        progress = replace(one.progress, round=2, recount=tuple(sorted(pools)), first=tuple(first))
        case = self._variance(one, sheet, operator, found, final=False)
        sheet.sums = [
            one._replace(result="recount") if one.line is not None and one.line.line in differing else one
            for one in sheet.sums
        ]
        self._tell(one, sheet, operator, found, progress, cases=[case], final=False)
        places = sorted({line.line.locations[0] for line in sheet.differing if line.line.locations})
        where = f" at {', '.join(places[:5])}" if places else ""
        said = f"{len(differing)} lines of {one.id}{where} have to be counted again, by somebody else"
        found.remarks.append(Remark("count_variance", said))

    def _may_finish(self, one: OpenDocument, operator: str | None, found: Found) -> bool:
        if operator is None:
            found.remarks.append(NEEDS_BADGE)
            return False
        if operator in one.progress.first:
            found.remarks.append(Remark("recount_same_person", "a recount is by somebody who has not counted this"))
            return False
        return True

    def _finish(self, one: OpenDocument, operator: str | None, found: Found) -> None:
        """The recount decides."""
        sheet = self._sheet(one, one.progress.recount)
        self._conclude(one, sheet, operator, found, progress=replace(one.progress, round=1))

    def _conclude(
        self, one: OpenDocument, sheet: TallySheet, operator: str | None, found: Found, *, progress: Progress
    ) -> None:
        cases = []
        if sheet.differing:
            case = self._variance(one, sheet, operator, found, final=True)
            cases.append(case)
            found.remarks.append(Remark(case.data.code, case.data.message))
        else:
            self._settle_variance(one, found)
        self._tell(one, sheet, operator, found, replace(progress, is_closed=True), cases=cases, final=True)

    def _settle_variance(self, one: OpenDocument, found: Found) -> None:
        """The document came out right this time: what an earlier closing said is over."""
        for is_short in (True, False):
            case = self._docket.by_key(_code(one.activity, is_short=is_short), _about(one))
            if case is not None:
                said = "the recount agrees" if one.activity == "count" else "closed again, without a variance"
                self._docket.resolve(case, GATEWAY_ACTOR, said, found)

    def _variance(
        self, one: OpenDocument, sheet: TallySheet, operator: str | None, found: Found, *, final: bool
    ) -> Case:
        """Raise one exception for all lines that differ, or bring the open one up to date."""
        header = one.header
        assert header is not None
        net = sum((each.deviation.difference for each in sheet.differing), Decimal(0))
        code = _code(one.activity, is_short=net <= 0)
        whole = Deviation(sheet.expected, sheet.on_lines)
        value = _value(sheet.differing)
        measured = whole._replace(worth=value)
        events = [piece.event for piece in self._documents.all_pieces(one)]
        variance = variance_of(measured, sheet.differing[0].line.unit, header) if whole.difference else None
        fields: dict[str, Any] = {
            "activity": one.activity,
            "document": document_of(one),
            "operator": operator,
            "expectation": reference_of(header),
            "supplier": header.supplier,
            "variance": variance,
            "lines": differing_lines(sheet.differing, header, one.book),
            "final": final if code == "count_variance" else None,
        }
        said = _said(one, sheet, final=final)
        rule = max(sheet.differing, key=lambda each: abs(each.deviation.difference)).rule
        before = self._docket.by_key(code, _about(one))
        if before is not None:
            fields |= {"message": said, "events": tuple(events[:EVIDENCE_MAX]), "events_total": len(events)}
            data = before.data.model_copy(update={name: value for name, value in fields.items() if value is not None})
            return self._docket.change(replace(before, data=data), found)
        assignment = self._policy.router.assign(
            code, document_type=header.type, supplier=header.supplier, deviation=measured
        )
        held = "" if rule.hold == "none" else f"{one.id}|"
        trouble = Trouble(code, _about(one), said, fields, tuple(events[:EVIDENCE_MAX]), len(events), held)
        return self._docket.raise_(trouble, rule, assignment, found)

    def _tell(
        self,
        one: OpenDocument,
        sheet: TallySheet,
        operator: str | None,
        found: Found,
        progress: Progress,
        *,
        cases: Sequence[Case],
        final: bool,
    ) -> None:
        """Store the tally and how far the document is now."""
        header = one.header
        is_complete = header is not None and header.scope == "gateway"
        data = {
            "activity": one.activity,
            "document": document_of(one),
            "operator": operator,
            "number": one.progress.number + 1,
            "checked": header is not None and self._is_compared(one),
            "coverage": "complete" if is_complete else "partial",
            "final": final,
            "supplier": None if header is None else header.supplier,
            "expectation": reference_of(header),
            "expected_total": plain(sheet.expected) if header is not None and self._is_compared(one) else None,
            "observed_total": plain(sheet.observed),
            "lines": sheet.listed(),
            "lines_total": len(sheet.sums),
            "exceptions": tuple(case.id for case in cases),
            "biz_step": BIZ_STEPS.get(one.activity),
        }
        self._docket.tally(data, found)
        self._documents.put(one, replace(progress, number=one.progress.number + 1), found)


def _code(activity: str, *, is_short: bool) -> ExceptionCode:
    if activity == "count":
        return "count_variance"
    if activity in OUTBOUND:
        return "short_pick" if is_short else "duplicate_pick"
    return "receiving_variance"


def _about(one: OpenDocument) -> str:
    return f"{one.id}|{one.activity}|close"


def _value(differing: Sequence[Differing]) -> Decimal | None:
    """Return what the differing lines are worth, in all; None when a price is missing."""
    values = [each.deviation.value for each in differing]
    known = [value for value in values if value is not None]
    return sum(known, Decimal(0)) if known and len(known) == len(values) else None


def _said(one: OpenDocument, sheet: TallySheet, *, final: bool) -> str:
    short = [each for each in sheet.differing if each.deviation.difference < 0]
    over = [each for each in sheet.differing if each.deviation.difference > 0]
    parts = []
    if short:
        missing = -sum((each.deviation.difference for each in short), Decimal(0))
        parts.append(f"{plain(missing)} missing on {len(short)} of {len(sheet.sums)} lines")
    if over:
        much = sum((each.deviation.difference for each in over), Decimal(0))
        parts.append(f"{plain(much)} too many on {len(over)} of {len(sheet.sums)} lines")
    whole = f"{one.id}: {plain(sheet.on_lines)} of {plain(sheet.expected)}, " + ", ".join(parts)
    return whole if final else f"{whole}; to be counted again by somebody else"
