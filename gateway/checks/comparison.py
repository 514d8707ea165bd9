"""A piece against its document: what is wrong about this scan, at once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, NamedTuple

from drivers.reading import Remark
from gateway.checks.book import Added
from gateway.checks.docket import GATEWAY_ACTOR, Docket, Trouble, over_line
from gateway.checks.documents import OpenDocument
from gateway.checks.exception import Case
from gateway.checks.expectation import COMPARED, identities
from gateway.checks.found import Found
from gateway.checks.inspection import inspect_piece
from gateway.checks.line import Line
from gateway.checks.picks import Picks
from gateway.checks.piece import NOT_COUNTED, Piece
from gateway.checks.policy import Policy
from gateway.checks.rule import Deviation, Rule, Subject
from gateway.checks.scene import Scene
from gateway.checks.tally import expected_item
from gateway.checks.wording import document_of, item_of, plain, reference_of, shown, shown_object, variance_of
from gateway.events.finding import ExceptionCode

OUTBOUND: Final = frozenset({"pick", "shipment"})


class _Over(NamedTuple):
    """A line that has more than a rule allows."""

    trouble: Trouble
    rule: Rule
    deviation: Deviation


class Comparer:
    """Raises what one piece shows."""

    def __init__(self, policy: Policy, docket: Docket, picks: Picks) -> None:
        self._policy = policy
        self._docket = docket
        self._picks = picks

    def check(self, piece: Piece, activity: str, one: OpenDocument | None, added: Added | None, found: Found) -> None:
        """Check a piece. `added` is what became of it in the book of its document, None when there is none."""
        scene = Scene(piece, activity, one)
        if piece.damaged or piece.item.expiry is not None or activity == "putaway":
            for trouble, rule in inspect_piece(scene, self._policy, found.at.ms):
                self._raise(trouble, rule, scene, found)
        if piece.round != NOT_COUNTED:
            twin = added.twin if added is not None else None
            unique = piece.unique(activity)
            if unique is not None:
                twin = twin or self._other_pick(unique, activity)
                self._picks.note(unique, activity, scene.document, piece.event, found)
            if twin is not None:
                self._duplicate(scene, twin, found)
            if added is not None and added.match is not None:
                self.compare(scene, added, found, is_twin=twin is not None)
        if self._docket.has_holds:
            self._hold(scene, found)

    def compare(self, scene: Scene, added: Added, found: Found, *, is_twin: bool) -> list[Case]:
        """Check a piece against the lines of its document, which is known; return the exceptions that say so."""
        header, piece = scene.header, scene.piece
        assert header is not None
        assert added.match is not None
        is_compared = not is_twin and scene.activity in COMPARED[header.type]
        counts = is_compared and scene.activity != "count"
        is_told = not added.match.lines or added.match.amount is not None
        if added.match.lines and is_told and not added.match.problems:  # nearly every scan
            case = self._too_much(scene, added, found) if counts else None
            return [] if case is None else [case]
        raised: list[Case | None] = []
        if is_compared and not is_told:
            raised.append(self._checked(_untold(scene, added.match.lines[0]), scene, found))
        for code in added.match.problems:
            about = _about(scene)
            lines = added.match.lines or added.match.nearest
            places = sorted({place for line in lines for place in line.locations})
            fields: dict[str, Any] = {}
            if code in ("wrong_location", "putaway_failure"):
                fields = {"location": piece.location, "expected_locations": tuple(places) or None}
            said = _mismatch(code, piece, lines, places)
            raised.append(self._checked(Trouble(code, about, said, fields, line=_only(lines)), scene, found))
        if not added.match.lines and not added.match.problems:
            code = "wrong_item" if scene.activity in OUTBOUND else "unexpected_item"
            unit = f" in {piece.unit}" if piece.unit else ""
            said = f"{shown(piece)}{unit} is not on {header.id}"
            raised.append(self._checked(Trouble(code, _about(scene), said), scene, found))
        elif counts:
            raised.append(self._too_much(scene, added, found))
        return [case for case in raised if case is not None]

    def undone(self, one: OpenDocument, piece: Piece, found: Found) -> None:
        """A piece was taken out: what was too much may be right again, what was picked is not."""
        unique = piece.unique(one.activity)
        if unique is not None:
            self._picks.undone(unique, piece.event, found)
        if one.since is not None:
            return  # it is counted anew, maybe by another version: that will find out
        scene = Scene(piece, one.activity, one)
        for line in {line.line for identity in identities(piece.item) for line in one.book.lines_of(identity)}:
            case = self._docket.by_key(too_much(one.activity), f"{one.id}|{one.activity}|{over_line(line)}")
            if case is None:
                continue
            found_over = self._over(scene, _excess(one, line))
            if found_over is None:
                self._docket.resolve(case, GATEWAY_ACTOR, "an event was undone: no more than expected", found)
            else:
                trouble = found_over.trouble
                self._docket.revise(case, trouble.message, trouble.fields["variance"], found)

    def raise_(self, trouble: Trouble, found: Found) -> None:
        """Raise what no piece is concerned with; nothing is said to an operator."""
        rule = self._policy.rules.rule(trouble.code, Subject())
        if rule is not None:
            self._docket.raise_(trouble, rule, self._policy.router.assign(trouble.code), found)

    # -- within

    def _other_pick(self, unique: str, activity: str) -> str | None:
        """Return the event by which the object was picked for whatever document; None when it was not."""
        taken = self._picks.taken(unique) if activity == "pick" else None
        return None if taken is None else taken.event

    def _duplicate(self, scene: Scene, twin: str, found: Found) -> None:
        if found.is_tag:
            return  # a tag is seen whenever it passes; nobody meant anything by it
        is_pick = scene.activity == "pick"
        code: ExceptionCode = "duplicate_pick" if is_pick else "duplicate_scan"
        unique = scene.piece.unique(scene.activity) or ""
        said = f"{shown_object(scene.piece)} was {'picked' if is_pick else 'scanned'} before"
        before = len(found.remarks)
        self._checked(Trouble(code, unique, said, events=(twin, scene.piece.event)), scene, found)
        found.is_duplicate = len(found.remarks) > before

    def _too_much(self, scene: Scene, added: Added, found: Found) -> Case | None:
        assert scene.one is not None
        over = self._over(scene, scene.one.book.excess(added.key))
        if over is None:
            return None
        return self._raise(over.trouble, over.rule, scene, found, deviation=over.deviation)

    def _over(self, scene: Scene, excess: tuple[Line, Decimal] | None) -> _Over | None:
        """Return what is wrong about a line that has more than is expected; None when a rule allows it."""
        if excess is None:
            return None
        line, has = excess
        deviation = Deviation(line.quantity, has, line.price)
        rule = self._policy.rules.rule(too_much(scene.activity), scene.subject)
        if rule is None or rule.tolerance.allows(deviation):
            return None
        item = expected_item(line)  # what was scanned last may be another lot than the rest of it, or be undone
        name = item.sku or item.gtin or item.sscc or item.code or item.epc
        said = f"line {line.line}: {plain(has)} {line.unit} of {name}, {plain(line.quantity)} expected"
        fields = {"variance": variance_of(deviation, line.unit, scene.header), "item": item}
        trouble = Trouble(too_much(scene.activity), over_line(line.line), said, fields, line=line.line)
        return _Over(trouble, rule, deviation)

    def _checked(self, trouble: Trouble, scene: Scene, found: Found) -> Case | None:
        rule = self._policy.rules.rule(trouble.code, scene.subject)
        return None if rule is None else self._raise(trouble, rule, scene, found)

    def _raise(
        self, trouble: Trouble, rule: Rule, scene: Scene, found: Found, *, deviation: Deviation | None = None
    ) -> Case:
        """Open the exception with what is known of the piece, and tell the operator."""
        header, piece = scene.header, scene.piece
        fields = {
            "item": item_of(piece.item),
            **trouble.fields,
            "activity": scene.activity,
            "operator": piece.operator,
            "document": None if scene.one is None else document_of(scene.one, trouble.line),
            "expectation": reference_of(header),
            "supplier": None if header is None else header.supplier,
        }
        held = ""
        if rule.hold != "none":
            held = f"{scene.document}|{scene.identity if rule.hold == 'item' else ''}"
        whole = trouble._replace(
            about=f"{scene.document}|{scene.activity}|{trouble.about}",
            fields=fields,
            events=trouble.events or (piece.event,),
            hold_key=held,
        )
        assignment = self._policy.router.assign(
            trouble.code,
            document_type=None if header is None else header.type,
            supplier=None if header is None else header.supplier,
            deviation=deviation,
        )
        found.remarks.append(Remark(trouble.code, trouble.message))
        return self._docket.raise_(whole, rule, assignment, found)

    def _hold(self, scene: Scene, found: Found) -> None:
        keys = (f"{scene.document}|", f"{scene.document}|{scene.identity}")
        case = self._docket.held(keys, event=scene.piece.event)
        if case is not None:
            said = f"on hold until {case.data.owner} has decided: {case.data.message}"
            found.remarks.append(Remark("hold", said))


class _Right(NamedTuple):
    """What would have been right, for a person."""

    names: list[str]

    def __str__(self) -> str:
        return ", ".join(self.names[:3]) + (", ..." if len(self.names) > 3 else "")


def _about(scene: Scene) -> str:
    item = scene.piece.item
    return "|".join([part for part in (scene.identity, item.lot, item.serial, scene.piece.location) if part])


def _untold(scene: Scene, line: Line) -> Trouble:
    """The line measures, the label does not, and nobody stated a number."""
    said = (
        f"line {line.line} is in {line.unit}, which the label of {shown(scene.piece)} does not say: not counted; "
        "undo it, state the quantity and scan it again"
    )
    return Trouble("barcode_mismatch", f"{_about(scene)}|untold", said, line=line.line)


def _only(lines: tuple[Line, ...]) -> str | None:
    """Return the name of a line that stands alone; None of several."""
    return lines[0].line if len(lines) == 1 else None


def too_much(activity: str) -> ExceptionCode:
    """Return what it is called when a line has more than it should."""
    return "duplicate_pick" if activity in OUTBOUND else "receiving_variance"


def _excess(one: OpenDocument, line: str) -> tuple[Line, Decimal] | None:
    """Return a line and how much it has, when that is more than it should."""
    found = (one.book.excess(key) for key in one.book.pools if line in key[1])
    return next((excess for excess in found if excess is not None and excess[0].line == line), None)


def _mismatch(code: ExceptionCode, piece: Piece, lines: tuple[Line, ...], places: list[str]) -> str:
    name = shown(piece)
    match code:
        case "lot_mismatch":
            return f"{name}: expected lot {_Right(sorted({lot for line in lines for lot in line.lots}))}"
        case "serial_mismatch":
            return f"{name}: serial {piece.item.serial} is not one of those expected"
        case "putaway_failure":
            return f"{name} must not be put at {piece.location}; right is {_Right(places)}"
        case _:
            right = f"; right is {_Right(places)}" if places else ": it belongs elsewhere"
            return f"{name} at {piece.location}{right}"
