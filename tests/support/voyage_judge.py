"""Judges a voyage: two histories that the gateway did not write, and its own books.

`reconcile` names the fate of every scan. Beside it: what a device heard must agree with itself and with the centre (the
ids in its acknowledgement are the events of its scan, the same ones every time), parts counted are parts delivered, the
outbox's books balance, and the journal proves.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from voyage import COUNTER, Logbook, Voyage
from voyage_clone import is_of_a_clone, judge_sources_begun

from simulators.ledger import Ledger, reconcile
from simulators.parts import count_parts
from simulators.rfid import PortalPlan, passed_tags
from simulators.site import scanner_scans
from simulators.token import find_tokens


@dataclass(frozen=True)
class Verdict:
    """What a voyage showed."""

    seed: int
    trace: str
    faults: tuple[str, ...]
    kills: int
    ledger: Ledger
    violations: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.violations


def judge(logbook: Logbook) -> Verdict:
    """Return what the voyage showed."""
    voyage = logbook.voyage
    ledger = _reconcile(voyage)
    found = list(logbook.problems)
    for kind, cases in ledger.violations().items():
        found += [f"{kind}: {case}" for case in cases if not _is_excused(kind, case, logbook)]
    found += [f"conflicting: {case}" for case in voyage.centre.ledger.conflicts if not is_of_a_clone(case, logbook)]
    if not logbook.problems:
        found += _judge_heard(voyage)
        found += _judge_documents(voyage)
        found += _judge_sources(logbook)
        found += _judge_parts(voyage)
        found += judge_sources_begun(logbook)
        found += _judge_books(logbook, ledger)
    names = tuple(f"{fault.at_s:.1f} {fault.name}" for fault in logbook.faults)
    return Verdict(logbook.seed, logbook.trace, names, voyage.world.kills, ledger, tuple(found))


def _reconcile(voyage: Voyage) -> Ledger:
    scans = [scan for handheld in voyage.handhelds for scan in handheld.device_scans()]
    scans += [scan for scanner in voyage.scanners for scan in scanner_scans(scanner.journal)]
    scans += [scan for poster in voyage.posters for scan in poster.device_scans()]
    scans += passed_tags(voyage.portal_journal.lines)
    return reconcile(scans, voyage.centre.ledger.events)


def _is_excused(kind: str, case: str, logbook: Logbook) -> bool:
    """What the rules of the site allow."""
    if kind == "duplicated" and case.startswith(f"{PortalPlan().tag}."):
        # How long a process was away only the wall clock can tell: a false one ends a pass that goes on, and it is
        # reported twice. The other way, a pass that nobody reports, would be worse.
        return any(fault.name.startswith("clock") for fault in logbook.faults)
    if kind == "reordered":
        # Several scans in the air at once: one that was refused for want of room may be stored after the next.
        windowed = {one.habits.tag for one in logbook.voyage.handhelds if one.habits.window > 1}
        return case.partition(".")[0] in windowed
    if kind == "out_of_sequence" and is_of_a_clone(case, logbook):
        return True
    if kind == "out_of_sequence" and " after " in case:
        # What the centre said no to comes late, if ever, under its own sequence. With several requests in the air, as
        # configured for a centre that sorts by sequence, arrival has no order.
        voyage = logbook.voyage
        source, sequence = case.split()[:2]
        record = voyage.centre.ledger.sources[source]
        if voyage.world._settings.upstreams[0].orders_by == "sequence":
            return True
        identity = record.ids.get(int(sequence), "")
        body = next((event.body for event in voyage.centre.ledger.events if event.id == identity), "")
        # It may have refused it in an answer that never left.
        return identity in voyage.uplink.refused or any(poison in body for poison in voyage.poison)
    return False


def _judge_heard(voyage: Voyage) -> list[str]:
    """The ids in an acknowledgement are those of the scan's events at the centre, every time."""
    at_centre: dict[str, set[str]] = {}
    for event in voyage.centre.ledger.events:
        if not event.is_gap and not event.is_finding:
            for token in find_tokens(event.body).whole:
                at_centre.setdefault(str(token), set()).add(event.id)
    found = []
    for device in (*voyage.handhelds, *voyage.posters):
        for token, heard in device.scans.items():
            if len(set(heard.results)) > 1:
                found.append(f"two answers: {token} heard {heard.results}")
            for result, ids in zip(heard.results, heard.events, strict=True):
                if result != "refused" and set(ids) != at_centre.get(str(token), set()):
                    found.append(f"other ids: {token} heard {ids}, the centre has {at_centre.get(str(token))}")
    return found


def _judge_documents(voyage: Voyage) -> list[str]:
    """A scan at a dock belongs to the document whose label was acknowledged last before it."""
    found = []
    for event in voyage.centre.ledger.events:
        for token in find_tokens(event.body).whole if '"dockline.receipt.v1"' in event.body else ():
            said = json.loads(event.body)["data"].get("document", {}).get("id")
            if said != voyage.documents.get(token):
                found.append(f"other document: {token} under {said}, scanned under {voyage.documents.get(token)}")
    return found


def _judge_sources(logbook: Logbook) -> list[str]:
    """An event names the source under which its sequence was given out; of a disk that was put back only the newest."""
    put_back = logbook.voyage.put_back
    events = logbook.voyage.centre.ledger.events[put_back.events if put_back else 0 :]
    return [
        f"other source: {event.sequence} came as {event.source}, it is of {logbook.source_of(event.sequence)}"
        for event in events
        if event.source != logbook.source_of(event.sequence)
    ]


def _judge_parts(voyage: Voyage) -> list[str]:
    # A disk that was put back has forgotten what it counted, and counts it again: that is the disk's doing.
    events = voyage.centre.ledger.events[: voyage.put_back.events if voyage.put_back else None]
    parts = count_parts(voyage.plc.journal.lines, events, COUNTER)
    return [f"parts: {parts.counted} counted, {parts.delivered} delivered"] if parts.missing else []


def _judge_books(logbook: Logbook, ledger: Ledger) -> list[str]:
    census, found = logbook.census, [f"journal: {problem}" for problem in logbook.journal_problems]
    assert census is not None
    if census.imbalance:
        found.append(f"imbalance: {census}")
    if census.pending or census.quarantined or census.discarded or census.skipped:
        found.append(f"left over: {census}")
    held = logbook.voyage.centre.ledger.by_id
    at_centre = sum(not identity.startswith("gap-") for identity in held)
    if census.delivered > at_centre:
        found.append(f"books: {census.delivered} delivered, the centre has {at_centre}")
    return found
