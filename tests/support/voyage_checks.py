"""A voyage on which a picker works by lists: expected documents, command labels, and the judge of what came of it.

The picker states the list with every scan, numbers its messages, and says each until it is answered; so what it did is
known exactly, whatever strikes the gateway on the way. It picks wrong things and too many, takes some of it back, picks
one carton twice, leaves something out, and closes. Some lists reach the gateway only after the work on them.

From what the picker heard (never from the gateway's own books) the judge knows each exception there has to be, and
demands it at the centre once, each in the state it ends in, and one tally a list with the right figures.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from voyage import Logbook, Voyage
from voyage_handheld import Heard
from voyage_http import HttpWire
from voyage_judge import Verdict, judge

from gateway.settings.model import LabelsSettings
from simulators.labels import GTINS, carton
from simulators.ledger import DeviceScan
from simulators.rfid_endpoint import Unreached
from simulators.token import Token

DEVICE = "hh-picker"
STRANGE = "09521234543299"
"""An item that is on no list; its check digit is right."""
LISTS = 4
PREFIX = "DL:"


@dataclass
class PickList:
    """One list, as the picker knows it."""

    id: str
    quantities: tuple[int, ...]
    is_late: bool
    """The gateway gets it when the picking is done."""
    picked: list[int] = field(default_factory=list)
    strange: int = 0
    """Cartons of an item that is not on it, picked and not taken back."""
    opened: Counter[str] = field(default_factory=Counter)
    """Exceptions there have to be, by code."""
    resolved: Counter[str] = field(default_factory=Counter)
    """Of these, the ones that are over because an event was undone."""
    is_closed: bool = False

    def document(self) -> dict[str, Any]:
        lines = [
            {"line": str(number), "item": {"gtin": gtin}, "quantity": quantity}
            for number, (gtin, quantity) in enumerate(zip(GTINS, self.quantities, strict=True), start=1)
        ]
        return {"id": self.id, "type": "pick_list", "version": "1", "scope": "gateway", "lines": lines}


class Picker:
    """A handheld over HTTP; has what the judge of every voyage wants of one that posts."""

    def __init__(self, wire: HttpWire, rng: Random, pause_s: float) -> None:
        self.scans: dict[Token, Heard] = {}
        self.lists: list[PickList] = []
        self.problems: list[str] = []
        self.vain = 0
        """Times that there was nothing to undo: a clock that jumped over a restart can empty a session."""
        self.is_done = False
        self._wire = wire
        self._rng = rng
        self._pause_s = pause_s
        self._number = 0

    def device_scans(self) -> list[DeviceScan]:
        return [DeviceScan(token, bool(heard.results), refused=False) for token, heard in self.scans.items()]

    async def work(self) -> None:
        for number in range(1, LISTS + 1):
            quantities = tuple(self._rng.randint(1, 3) for _ in GTINS)
            await self._pick(PickList(f"PK-{number}", quantities, is_late=number % 3 == 0))
        self.is_done = True

    async def _pick(self, one: PickList) -> None:
        rng = self._rng
        self.lists.append(one)
        one.picked = [0] * len(one.quantities)
        if not one.is_late:
            await self._expect(one)
        for line, quantity in enumerate(one.quantities):
            for _ in range(quantity - (rng.random() < 0.4)):
                await self._scan(one, GTINS[line], [])
                one.picked[line] += 1
        await self._pick_wrongly(one)
        if rng.random() < 0.6:
            await self._pick_twice(one)
        if one.is_late:
            await self._expect(one)
        short = any(has < wanted for has, wanted in zip(one.picked, one.quantities, strict=True))
        over = any(has > wanted for has, wanted in zip(one.picked, one.quantities, strict=True))
        missing = sum(max(0, wanted - has) for has, wanted in zip(one.picked, one.quantities, strict=True))
        excess = sum(max(0, has - wanted) for has, wanted in zip(one.picked, one.quantities, strict=True))
        closing = [] if not (short or over) else ["short_pick" if excess <= missing else "duplicate_pick"]
        one.opened.update(closing)
        await self._say(one, f"{PREFIX}close", closing)
        one.is_closed = True

    async def _pick_wrongly(self, one: PickList) -> None:
        """Something that is not on the list, and one too many; each may be taken back at once."""
        rng = self._rng
        if rng.random() < 0.7:
            await self._scan(one, STRANGE, [] if one.is_late else ["wrong_item"])
            is_undone = rng.random() < 0.5 and await self._undo(one)
            one.strange += not is_undone
            self._note(one, "wrong_item", is_undone=is_undone)
        line = rng.randrange(len(one.quantities))
        if rng.random() < 0.7 and one.picked[line] == one.quantities[line]:
            await self._scan(one, GTINS[line], [] if one.is_late else ["duplicate_pick"])
            is_undone = rng.random() < 0.5 and await self._undo(one)
            one.picked[line] += not is_undone
            self._note(one, "duplicate_pick", is_undone=is_undone)

    def _note(self, one: PickList, code: str, *, is_undone: bool) -> None:
        if is_undone and one.is_late:
            return  # nobody could know then, and now it is not so
        one.opened[code] += 1
        one.resolved[code] += is_undone

    async def _pick_twice(self, one: PickList) -> None:
        """The same carton, when its line has room for one: it counts once."""
        line = next((line for line, has in enumerate(one.picked) if has < one.quantities[line]), None)
        if line is None:
            return
        code = f"]C101{GTINS[line]}21SAME-{one.id}"
        await self._say(one, code, [])
        one.picked[line] += 1
        one.opened["duplicate_pick"] += 1
        await self._say(one, code, ["duplicate_pick"], result="duplicate")

    async def _undo(self, one: PickList) -> bool:
        answer = await self._say(one, f"{PREFIX}undo", None)
        codes = [each["code"] for each in answer.get("exceptions", [])]
        self.vain += codes == ["nothing_to_undo"]
        if codes not in ([], ["nothing_to_undo"]):
            self.problems.append(f"an undo in {one.id} heard {codes}")
        return not codes

    async def _scan(self, one: PickList, gtin: str, codes: list[str]) -> None:
        token = Token("p1", len(self.scans) + 1)
        heard = self.scans[token] = Heard()
        answer = await self._say(one, carton(gtin, token), codes)
        heard.results.append(answer["result"])
        heard.events.append(tuple(answer.get("events", ())))

    async def _say(
        self, one: PickList, code: str, codes: list[str] | None, *, result: str | None = None
    ) -> dict[str, Any]:
        """Say a message until it is answered; note when another answer was due. `codes` None: any."""
        self._number += 1
        message = {"id": f"{DEVICE}-{self._number:06d}", "code": code, "device": DEVICE, "activity": "pick"}
        answer = await self._until_answered("/v1/scans", {**message, "document": one.id})
        told = [each["code"] for each in answer.get("exceptions", [])]
        due = result or ("stored_with_exception" if codes else "stored")
        if codes is not None and (told != codes or answer["result"] != due):
            self.problems.append(f"{code} in {one.id} heard {answer['result']} {told}, due was {due} {codes}")
        return answer

    async def _expect(self, one: PickList) -> None:
        await self._until_answered(f"/v1/expectations/{one.id}", one.document(), method="PUT")

    async def _until_answered(self, path: str, body: dict[str, Any], method: str = "POST") -> dict[str, Any]:
        await self._wait(self._pause_s)
        while True:
            try:
                status, answer = await self._wire.post(path, json.dumps(body).encode(), method)
            except Unreached:
                await self._wait(0.5)
                continue
            if status in (200, 201):
                found: dict[str, Any] = answer
                return found
            await self._wait(1.0)  # no room now

    async def _wait(self, seconds: float) -> None:
        await self._wire.pause(self._rng.uniform(0.3, 1.7) * seconds)


class CheckedVoyage(Voyage):
    """A voyage with a picker, and command labels in use."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        settings = self.world._settings
        labels = settings.labels.model_copy(update={"command_prefix": PREFIX})
        assert isinstance(labels, LabelsSettings)
        self.world._settings = replace(settings, labels=labels)
        self.will_roll_back = False  # a disk that was put back has forgotten what it was told
        self.picker = Picker(self.http, self.world.rng("picker"), self.plan.seconds / 60)
        self.posters.append(self.picker)

    async def _work(self) -> None:
        self.world.loop.call_soon(lambda: self.background(self.picker.work()))
        await super()._work()

    async def _settle(self, logbook: Logbook) -> None:
        while not self.picker.is_done and not logbook.problems:
            await self._a_while(logbook)
        await super()._settle(logbook)

    async def _a_while(self, logbook: Logbook) -> None:
        for task in self._background:
            if task.done() and not task.cancelled() and task.exception() is not None:
                logbook.problems.append(f"the picker gave up: {task.exception()!r}")
        await self.http.pause(0.5)


def judge_checked(logbook: Logbook) -> Verdict:
    """Judge a voyage with a picker: as every voyage, and by what the picker heard."""
    verdict = judge(logbook)
    voyage = logbook.voyage
    assert isinstance(voyage, CheckedVoyage)
    return replace(verdict, violations=(*verdict.violations, *_judge_picker(voyage, logbook)))


def _judge_picker(voyage: CheckedVoyage, logbook: Logbook) -> list[str]:
    picker = voyage.picker
    if "salvaged" in " ".join(logbook.incidents):
        return []  # what a damaged file lost of pieces and exceptions, no check can know
    found = list(picker.problems)
    if picker.vain and not any(fault.name.startswith("clock") for fault in logbook.faults):
        found.append(f"nothing to undo, {picker.vain} times, and no clock jumped")
    bodies: dict[str, dict[str, Any]] = {}
    for event in voyage.centre.ledger.events:
        if event.is_finding:
            bodies[event.id] = json.loads(event.body)
    for one in picker.lists:
        theirs = [body["data"] for body in bodies.values() if body["data"].get("document", {}).get("id") == one.id]
        found += _judge_exceptions(one, [data for data in theirs if "code" in data])
        found += _judge_tally(one, [data for data in theirs if "code" not in data])
    return found


def _judge_exceptions(one: PickList, told: list[dict[str, Any]]) -> list[str]:
    opened = Counter(data["code"] for data in told if data["state"] == "open")
    resolved = Counter(data["code"] for data in told if data["state"] == "resolved")
    ids = Counter(data["exception"] for data in told if data["state"] == "open")
    found = []
    if opened != one.opened:
        found.append(f"exceptions of {one.id}: {dict(opened)} opened, {dict(one.opened)} there were")
    if resolved != +one.resolved:
        found.append(f"exceptions of {one.id}: {dict(resolved)} resolved, {dict(+one.resolved)} there were")
    return found + [f"exception {name} was opened {count} times" for name, count in ids.items() if count > 1]


def _judge_tally(one: PickList, tallies: list[dict[str, Any]]) -> list[str]:
    if len(tallies) != 1:
        return [f"{one.id} has {len(tallies)} tallies"]
    lines = {line.get("line", "none"): int(line["observed"]) for line in tallies[0]["lines"]}
    due = {str(number): has for number, has in enumerate(one.picked, start=1)}
    if one.strange:
        due["none"] = one.strange
    return [] if lines == due else [f"tally of {one.id}: {lines}, picked were {due}"]
