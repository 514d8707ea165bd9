"""A barcode scanner: sends scans over a port, waits for ACK or NAK, says a scan again, gives up, gets unplugged.

It behaves as handheld scanners with a serial link do: one scan at a time, no message numbers, a NAK or a time-out sends
the same bytes again. It may give up after `resends_max` (Zebra 2, Honeywell 0-255) with an error beep, or never, as a
cordless scanner with a memory does. It takes whatever it hears for an answer to the scan it sent last.

Its journal (NDJSON) is the device's side of the truth:

    sent      a scan went out (`code`, `attempt`)
    acked     its operator heard the good beep
    nacked    the gateway said no
    timeout   the gateway said nothing
    gave_up   its operator heard the error beep; the scan is gone
    tone      the gateway made it sound something (`bytes`)
    plugged, unplugged
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

from simulators.journal import Journal
from simulators.scanner_port import ScannerPort
from simulators.wire import CLEAN, Wire, WireCut, WirePlan

Fate = Literal["sent", "acked", "gave_up"]


@dataclass(frozen=True, slots=True)
class ScannerHabits:
    """How this scanner was set up."""

    acknowledge: Literal["none", "ack-nak"] = "ack-nak"
    prefix: bytes = b""
    """Before every scan, for example STX; the AIM identifier belongs to the code."""
    terminator: bytes = b"\r"
    ack: bytes = b"\x06"
    nak: bytes = b"\x15"
    answer_timeout_s: float = 2.0
    """How long it waits for an answer before it says the scan again."""
    resends_max: int | None = None
    """How often it says a scan again before it gives up; None: until it is acknowledged."""
    noise: bytes = b""
    """Sent when it is plugged in, as many do when their power comes up."""


def as_sent(code: str) -> bytes:
    """Return the bytes of a code: Latin-1 where it fits, as scanners have it, else UTF-8, as those for QR codes do."""
    try:
        return code.encode("latin-1")
    except UnicodeEncodeError:
        return code.encode("utf-8", "surrogateescape")


class Scanner:
    """One scanner on one port."""

    def __init__(
        self,
        port: ScannerPort,
        journal: Journal,
        habits: ScannerHabits,
        *,
        plan: WirePlan = CLEAN,
        rng: Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.port = port
        self.journal = journal
        self._habits = habits
        self._to_gateway = Wire(plan, rng, sleep=sleep)
        self._from_gateway = Wire(plan, rng, sleep=sleep)
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()
        self._plugged = asyncio.Event()
        self._trigger = asyncio.Lock()
        self._listener: asyncio.Task[None] | None = None
        self.on_cut: Callable[[], Awaitable[None]] = self.replug
        """Called when the wire's plan breaks it; by default the plug goes out and in again."""
        port.on_bytes = self._heard.put_nowait

    async def start(self) -> None:
        """Plug in."""
        self._listener = asyncio.get_running_loop().create_task(self._listen())
        await self.plug()

    async def close(self) -> None:
        """Pull the plug for good."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait({self._listener})
        await self.unplug()
        self.journal.close()

    async def plug(self) -> None:
        """Plug in again; nothing when it is."""
        if self.port.is_plugged:
            return
        await self.port.plug()
        self._plugged.set()
        self.journal.record("plugged")
        if self._habits.noise:
            self.port.write(self._habits.noise)

    async def unplug(self) -> None:
        """Pull the plug; nothing when it is out."""
        if not self.port.is_plugged:
            return
        self._plugged.clear()
        await self.port.unplug()
        self.journal.record("unplugged")

    async def replug(self) -> None:
        """Out and in again: the port comes back under another number and the same name."""
        await self.unplug()
        await self.plug()

    async def scan(self, code: str) -> Fate:
        """Pull the trigger on a label. Return what its operator heard; scans wait for each other."""
        async with self._trigger:
            attempt = 0
            while True:
                attempt += 1
                await self._plugged.wait()
                while not self._answers.empty():
                    self._answers.get_nowait()
                self.journal.record("sent", code=code, attempt=attempt)
                await self._send(as_sent(code))
                if self._habits.acknowledge == "none":
                    return "sent"
                what = await self._hear_answer()
                self.journal.record(what, code=code, attempt=attempt)
                if what == "acked":
                    return "acked"
                if self._habits.resends_max is not None and attempt > self._habits.resends_max:
                    self.journal.record("gave_up", code=code, attempt=attempt)
                    return "gave_up"

    async def send_raw(self, data: bytes) -> None:
        """Put bytes on the wire that are no scan: noise, half a frame."""
        try:
            await self._to_gateway.carry(data, self.port.write)
        except WireCut:
            await self.on_cut()

    async def _send(self, code: bytes) -> None:
        await self.send_raw(self._habits.prefix + code + self._habits.terminator)

    async def _hear_answer(self) -> Literal["acked", "nacked", "timeout"]:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._habits.answer_timeout_s):
                return "acked" if await self._answers.get() == self._habits.ack else "nacked"
        return "timeout"

    async def _listen(self) -> None:
        """Take what the gateway writes through the wire."""
        while True:
            data = await self._heard.get()
            try:
                await self._from_gateway.carry(data, self._understand)
            except WireCut:
                await self.on_cut()

    def _understand(self, data: bytes) -> None:
        """Sort answers from tones."""
        rest = data
        while rest:
            for word in (self._habits.ack, self._habits.nak):
                if rest.startswith(word):
                    self._answers.put_nowait(word)
                    rest = rest[len(word) :]
                    break
            else:
                ends = [at for word in (self._habits.ack, self._habits.nak) if (at := rest.find(word)) > 0]
                cut = min(ends, default=len(rest))
                self.journal.record("tone", bytes=rest[:cut].decode("latin-1"))
                rest = rest[cut:]


def scanner_summary(lines: Iterable[Mapping[str, object]], *, hears: bool) -> str:
    """Return in a sentence what a scanner's journal says: scans, answers, and how often it said one again."""
    sent = [line["attempt"] for line in lines if line["what"] == "sent"]
    scans, answers = sent.count(1), Counter(str(line["what"]) for line in lines)
    told = f"{scans} scan{'s' * (scans != 1)} sent"
    if not hears:
        return told
    refused = f", {answers['nacked']} times NAK" if answers["nacked"] else ""
    again = f", said again {len(sent) - scans} times" if len(sent) > scans else ""
    return f"{told}, {answers['acked']} acknowledged{refused}{again}"
