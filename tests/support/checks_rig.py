"""A site whose scans are checked: intake, checks and an outbox in memory, with clocks that are set by hand."""

from __future__ import annotations

import random
from typing import Any

from desk_rig import Keeper, desk_of, settled
from event_check import checked
from outbox_fake import OutboxFake

from drivers.reading import Reading, ScanContext, TagRead, Verdict
from gateway.capture.intake import Intake
from gateway.capture.label_pattern import LabelPattern
from gateway.capture.site_map import DeviceEntry, SiteMap, Station
from gateway.checks.checker import Checker
from gateway.checks.docket import Identity
from gateway.checks.expectation import read_expectation
from gateway.checks.policy import Policy
from gateway.checks.shelf import rows_of
from gateway.events.cloudevents import EventIds

SITE = SiteMap(
    "dc07",
    "dock-pc-1",
    [Station("dock-3", "receipt"), Station("floor", "pick"), Station("gate", "receipt"), Station("store", "putaway"),
     Station("office", "count"), Station("returns", "return")],
    [
        DeviceEntry("s-1", "dock-3", "serial-scanner"),
        DeviceEntry("s-2", "dock-3", "serial-scanner"),
        DeviceEntry("hh-*", "floor", "handheld"),
        DeviceEntry("gate-1", "gate", "rfid-reader"),
        DeviceEntry("count-1", "office", "serial-scanner"),
        DeviceEntry("ret-1", "returns", "serial-scanner"),
    ],
    [
        LabelPattern("document", r"(ASN|PL|CS|RMA|TR)-\d+"),
        LabelPattern("operator", r"OP-\d+"),
        LabelPattern("location", r"[A-Z]-\d\d-\d\d"),
    ],
    "DL:",
)  # fmt: skip


def gtin(number: int) -> str:
    """Return the `number`th GTIN-14 of a made-up company."""
    digits = f"0952123{number:06d}"
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return f"{digits}{-total % 10}"


def label(number: int, *, lot: str = "", serial: str = "", expiry: str = "", count: int | None = None) -> str:
    """Return a GS1-128 label of the `number`th item, as a scanner sends it."""
    text = f"]C101{gtin(number)}"
    if expiry:
        text += f"17{expiry}"
    if count is not None:
        text += f"30{count}" + ("\x1d" if lot or serial else "")
    if lot:
        text += f"10{lot}" + ("\x1d" if serial else "")
    return text + (f"21{serial}" if serial else "")


def line(number: int, quantity: int | str, **more: Any) -> dict[str, Any]:
    """Return a line of an expected document about the `number`th item."""
    return {"line": str(number), "item": {"gtin": gtin(number)}, "quantity": quantity, **more}


def document(name: str, kind: str, *lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return an expected document; all the work on it is done here."""
    return {"id": name, "type": kind, "version": "1", "scope": "gateway", "lines": list(lines), **more}


class Site:
    """One gateway. `restart` is a power cut."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.outbox = OutboxFake()
        self.policy = policy or Policy(is_asked_for=True)
        self.ms = 1_795_248_000_000  # 2026-11-21
        self.seconds = 0.0
        self.starts = 0
        self.copies = 0
        self.restart()

    def restart(self) -> None:
        """What was not committed is gone, and so is memory."""
        self.starts += 1
        self.outbox.queue.clear()
        self.outbox.hold = False
        ids = EventIds(lambda: self.ms, random.Random(self.starts))
        self.checker = Checker(
            self.outbox,
            self.policy,
            Identity("dc07", "dock-pc-1"),
            ids=ids,
            clock_quality=lambda: "synchronised",
        )
        self.intake = Intake(
            SITE,
            self.outbox,
            wall=lambda: self.ms,
            monotonic=lambda: self.seconds,
            ids=ids,
            clock_quality=lambda: "synchronised",
            checks=self.checker,
        )
        self.keeper = Keeper(self.outbox)
        self.desk = desk_of(self.keeper, self.checker, self.intake.record)

    def passes(self, seconds: float) -> None:
        self.seconds += seconds
        self.ms += int(seconds * 1000)
        self.outbox.operating_ms += int(seconds * 1000)

    def expect(self, value: dict[str, Any]) -> None:
        """Put a document on the shelf, as if it had come before the work."""
        self.copies += 1
        lines, header = rows_of(read_expectation(value), self.copies, "test")
        self.outbox.put_annex(lines)
        self.outbox.put_annex(header)
        self.checker.shelf.forget()
        self.checker.look_again()

    async def arrives(self, value: dict[str, Any]) -> None:
        """A document comes while work on it is under way, or before anybody counted; all of it is counted by it."""
        await self.desk.put(read_expectation(value), origin="test", actor="test")
        await settled(self.checker, self.intake.record)

    async def scan(self, device: str, code: str, number: str | None = None, **context: Any) -> Verdict:
        """Scan one label; with a context as a handheld states it."""
        said = ScanContext(**context) if context else None
        reading = Reading(device, "scan", code.encode(), code=code, message_id=number, context=said)
        (verdict,) = await self.intake.take([reading])
        return verdict

    async def scans(self, device: str, *codes: str) -> list[Verdict]:
        return [await self.scan(device, code) for code in codes]

    async def tag(self, epc: bytes) -> Verdict:
        (verdict,) = await self.intake.take([Reading("gate-1", "tag", epc, tag=TagRead(epc, antenna=1))])
        return verdict

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the stored events, each checked against the published schemas."""
        found = [checked(draft.payload) for draft in self.outbox.entries]
        return [one for one in found if name is None or one["type"] == f"dockline.{name}.v1"]

    def exceptions(self, code: str | None = None) -> list[dict[str, Any]]:
        """Return the data of the exception events, in order."""
        found = [one["data"] for one in self.events("exception")]
        return [data for data in found if code is None or data["code"] == code]

    def tallies(self) -> list[dict[str, Any]]:
        return [one["data"] for one in self.events("tally")]


def codes(verdict: Verdict) -> list[str]:
    """Return what the operator hears."""
    return [remark.code for remark in verdict.exceptions]
