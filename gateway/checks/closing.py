"""A document is closed: the tally, and what is missing or too much.

What is missing is called short only when all the work on the document is done at this gateway (`scope = "gateway"`).
Lines of a count sheet beyond tolerance are counted again, by somebody else and without being told the figures, before
anything is final: the first closing says which, the second one decides. What was decided stays so until somebody counts
it once more, which is another recount.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final, NamedTuple

from drivers.reading import Remark
from gateway.checks.book import Book
from gateway.checks.comparison import OUTBOUND, too_much
from gateway.checks.docket import GATEWAY_ACTOR, Docket, Trouble, over_line
from gateway.checks.documents import Documents, OpenDocument, Progress
from gateway.checks.exception import EVIDENCE_MAX, Case
from gateway.checks.expectation import COMPARED
from gateway.checks.found import Found
from gateway.checks.line import Line
from gateway.checks.policy import Policy
from gateway.checks.rule import Deviation, Rule, Subject
from gateway.checks.shelf import Shelf
from gateway.checks.tally import Steps, TallySheet, at_once, differing_lines, tally_steps, told
from gateway.checks.wording import document_of, plain, reference_of, variance_of
from gateway.events.finding import ExceptionCode, LineVariance, TallyLine

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


LINES_AT_ONCE_MAX: Final = 1_000
"""Lines, or kinds of items, that are closed while the operator waits: some milliseconds."""
_ORDER: Final = itemgetter(0)


class Prepared(NamedTuple):
    """What a document comes to, ready to be said."""

    book: Book
    revision: int
    """Of the book: it counts while that is the same."""
    sheet: TallySheet
    tallied: tuple[TallyLine, ...]
    variances: tuple[LineVariance, ...]
    wants_recount: bool


class Closer:
    """Closes documents."""

    def __init__(
        self, policy: Policy, docket: Docket, documents: Documents, shelf: Shelf, *, on_long: Callable[[], object]
    ) -> None:
        """`on_long` is called when a long document waits to be closed by steps."""
        self.on_long = on_long
        self._policy = policy
        self._docket = docket
        self._documents = documents
        self._shelf = shelf

    def close(self, document: str, activity: str | None, operator: str | None, found: Found) -> None:
        """Make the tally of a document, raise what it shows, and say it to the operator. Of a long one all of that
        follows (`steps`, `finish`): scans must not wait for it."""
        if activity is None:
            return
        one = self._documents.open(document, activity)
        if not one.progress.touched_ms or (one.header is None and self._shelf.newest(document) is not None):
            self._documents.begin(one, None, found)
        if activity == "count" and one.progress.round > 1 and not self._may_finish(one, operator, found):
            return
        is_to_be_counted = document in self._documents.recalled or self._documents.waits(one) is not None
        if is_to_be_counted or self._is_long(one):
            self._documents.put(
                one, replace(one.progress, is_closing=True, closing_by=operator, closing_at=found.place), found
            )
            found.on_disk(self.on_long)
            why = "is counted by its document first" if is_to_be_counted else "is long"
            found.remarks.append(Remark("closing", f"{one.id} {why}: what it comes to follows, as its exceptions"))
            return
        self._end(one, at_once(self.steps(one)), operator, found)

    def steps(self, one: OpenDocument) -> Steps[Prepared]:
        """Return what a document comes to. Of no use when the book changed between two steps."""
        book, header, is_compared = one.book, one.header, self._is_compared(one)
        revision, lines = book.revision, []
        if header is not None and is_compared:
            for page in self._shelf.pages(header):
                lines += page
                yield
            lines.sort(key=_ORDER)
        sheet = yield from tally_steps(
            book, lines, lambda line, deviation: self._rule(one, line, deviation), recounted=one.progress.recount
        )
        differing = _undecided(one, sheet)
        wants_recount = one.activity == "count" and one.progress.round == 1 and bool(differing)
        if wants_recount:
            sheet.sums = [
                each._replace(result="recount") if each.line is not None and each.line.line in differing else each
                for each in sheet.sums
            ]
        tallied = []
        for each in sheet.chosen():
            tallied.append(told(each))
            yield
        variances: tuple[LineVariance, ...] = ()
        if header is not None:
            variances = yield from differing_lines(sheet.differing, header, book)
        return Prepared(book, revision, sheet, tuple(tallied), variances, wants_recount)

    def finish(self, one: OpenDocument, prepared: Prepared, found: Found) -> bool:
        """Close a long document by what its steps returned; False when it changed since."""
        if one.book is not prepared.book or one.book.revision != prepared.revision:
            return False
        progress = one.progress
        self._documents.put(one, replace(progress, is_closing=False, closing_by=None, closing_at=()), found)
        self._end(one, prepared, progress.closing_by, found)
        return True

    # -- within

    def _is_long(self, one: OpenDocument) -> bool:
        lines = one.header.lines if one.header is not None and self._is_compared(one) else 0
        return max(lines, len(one.book.pools)) > LINES_AT_ONCE_MAX

    def _end(self, one: OpenDocument, prepared: Prepared, operator: str | None, found: Found) -> None:
        if prepared.wants_recount:
            self._ask_recount(one, prepared, operator, found)
            return
        progress = replace(one.progress, round=1)
        if one.progress.round > 1 and operator is not None:
            progress = replace(progress, first=tuple(sorted({*progress.first, operator})))
        self._conclude(one, prepared, operator, found, progress=progress)

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

    def _ask_recount(self, one: OpenDocument, prepared: Prepared, operator: str | None, found: Found) -> None:
        """The lines that differ are to be counted again before they are final."""
        sheet = prepared.sheet
        differing = _undecided(one, sheet)
        pools = {
            key[1] for key, pool in one.book.pools.items() if key[0] == 1 and differing & set(key[1]) and pool.lines
        }
        counted = {line for pool in pools for line in pool}
        pools |= {(line,) for line in differing - counted}
        first = sorted({*one.book.operators, *one.progress.first, *([operator] if operator else ())})
        pools |= set(one.progress.recount)
        progress = replace(one.progress, round=one.book.next_round, recount=tuple(sorted(pools)), first=tuple(first))
        case = self._variance(one, prepared, operator, found, final=False)
        self._tell(one, prepared, operator, found, progress, cases=[case], final=False)
        asked = [each.line for each in sheet.differing if each.line.line in differing]
        places = sorted({line.locations[0] for line in asked if line.locations})
        where = f" at {', '.join(places[:5])}" if places else ""
        lines = "1 line" if len(differing) == 1 else f"{len(differing)} lines"
        said = f"{lines} of {one.id}{where} to be counted again, by somebody else"
        found.remarks.append(Remark("count_variance", said))

    def _may_finish(self, one: OpenDocument, operator: str | None, found: Found) -> bool:
        if operator is None:
            found.remarks.append(NEEDS_BADGE)
            return False
        if operator in one.progress.first:
            found.remarks.append(Remark("recount_same_person", "a recount is by somebody who has not counted this"))
            return False
        return True

    def _conclude(
        self, one: OpenDocument, prepared: Prepared, operator: str | None, found: Found, *, progress: Progress
    ) -> None:
        cases = []
        for each in prepared.sheet.differing:
            over = self._docket.by_key(too_much(one.activity), f"{one.id}|{one.activity}|{over_line(each.line.line)}")
            if over is not None and Decimal(over.told) != over.difference:
                self._docket.change(over, found)
        if prepared.sheet.differing:
            case = self._variance(one, prepared, operator, found, final=True)
            cases.append(case)
            found.remarks.append(Remark(case.data.code, case.data.message))
        elif self._is_compared(one):
            self._settle_variance(one, found)
        self._tell(one, prepared, operator, found, replace(progress, is_closed=True), cases=cases, final=True)

    def _settle_variance(self, one: OpenDocument, found: Found) -> None:
        """The document came out right this time: what an earlier closing said is over."""
        for is_short in (True, False):
            case = self._docket.by_key(_code(one.activity, is_short=is_short), _about(one))
            if case is not None:
                said = "the recount agrees" if one.activity == "count" else "closed again, without a variance"
                self._docket.resolve(case, GATEWAY_ACTOR, said, found)

    def _variance(
        self, one: OpenDocument, prepared: Prepared, operator: str | None, found: Found, *, final: bool
    ) -> Case:
        """Raise one exception for all lines that differ, or bring the open one up to date."""
        header, sheet = one.header, prepared.sheet
        assert header is not None
        assert sheet.largest is not None
        code = _code(one.activity, is_short=sheet.excess <= sheet.missing)
        other = self._docket.by_key(_code(one.activity, is_short=sheet.excess > sheet.missing), _about(one))
        if other is not None and other.data.code != code:
            self._docket.resolve(other, GATEWAY_ACTOR, "closed again, with another variance", found)
        whole = Deviation(sheet.expected, sheet.on_lines)
        measured = whole._replace(worth=sheet.value)
        events, events_total = self._documents.evidence(one, EVIDENCE_MAX), one.book.events
        variance = variance_of(measured, sheet.unit, header) if whole.difference and sheet.unit is not None else None
        if sheet.unit is None:
            measured = sheet.largest.deviation._replace(worth=sheet.value)  # kilograms and pieces have no sum
        fields: dict[str, Any] = {
            "activity": one.activity,
            "document": document_of(one),
            "operator": operator,
            "expectation": reference_of(header),
            "supplier": header.supplier,
            "variance": variance,
            "lines": prepared.variances,
            "final": final if code == "count_variance" else None,
        }
        said = _said(one, sheet, final=final)
        rule = sheet.largest.rule
        before = self._docket.by_key(code, _about(one))
        if before is not None:
            fields |= {"message": said, "events": events, "events_total": events_total}
            return self._docket.change(replace(before, data=before.data.model_copy(update=fields)), found)
        assignment = self._policy.router.assign(
            code, document_type=header.type, supplier=header.supplier, deviation=measured
        )
        held = "" if rule.hold == "none" else f"{one.id}|"
        trouble = Trouble(code, _about(one), said, fields, events, events_total, held)
        return self._docket.raise_(trouble, rule, assignment, found)

    def _tell(
        self,
        one: OpenDocument,
        prepared: Prepared,
        operator: str | None,
        found: Found,
        progress: Progress,
        *,
        cases: Sequence[Case],
        final: bool,
    ) -> None:
        """Store the tally and how far the document is now."""
        header, sheet = one.header, prepared.sheet
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
            "expected_total": plain(sheet.expected) if self._is_compared(one) and sheet.unit is not None else None,
            "observed_total": plain(sheet.observed),
            "total_unit": sheet.total_unit,
            "lines": prepared.tallied,
            "lines_total": len(sheet.sums),
            "exceptions": tuple(case.id for case in cases),
            "biz_step": BIZ_STEPS.get(one.activity),
        }
        self._docket.tally(data, found)
        self._documents.put(one, replace(progress, number=one.progress.number + 1), found)


def _code(activity: str, *, is_short: bool) -> ExceptionCode:
    if activity == "count":
        return "count_variance"
    if is_short and activity in OUTBOUND:
        return "short_pick"
    return too_much(activity)


def _undecided(one: OpenDocument, sheet: TallySheet) -> set[str]:
    """Return the lines that differ and were not counted again yet: what a recount said is final."""
    decided = {line for names in one.progress.recount for line in names}
    return {each.line.line for each in sheet.differing} - decided


def _about(one: OpenDocument) -> str:
    return f"{one.id}|{one.activity}|close"


def _said(one: OpenDocument, sheet: TallySheet, *, final: bool) -> str:
    has_sum, lines = sheet.unit is not None, sum(each.line is not None for each in sheet.sums)
    parts = []
    if sheet.short:
        parts.append(f"{plain(sheet.missing) if has_sum else 'some'} missing on {sheet.short} of {lines} lines")
    if sheet.over:
        parts.append(f"{plain(sheet.excess) if has_sum else 'some'} too many on {sheet.over} of {lines} lines")
    sums = f"{plain(sheet.on_lines)} of {plain(sheet.expected)}, " if has_sum else ""
    whole = f"{one.id}: {sums}{', '.join(parts)}"
    return whole if final else f"{whole}; to be counted again by somebody else"
