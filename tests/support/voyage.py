"""A voyage: a whole gateway and its site in virtual time, from one seed.

What is real: the daemon with everything it builds (settings, intake, outbox on a file, supervisor, MQTT listener, TCP
scanner, Modbus poller, pumps, the HTTP upstream), the simulated scanners, PLC and centre. What is not: the clock, the
network between them (`voyage_net`), the threads (`voyage_world`), the handheld (`voyage_handheld`).

A voyage has three parts. Devices work while faults strike. Then the world heals, everybody who still waits is
answered, what is pending is delivered, a person retries what is in quarantine, and the gateway is stopped. Then two
histories that the gateway did not write are compared (`voyage_judge`).
"""

from __future__ import annotations

import asyncio
import copy
import logging
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import voyage_loop
from voyage_centre import Uplink
from voyage_clone import PutBack, is_image, look_at
from voyage_faults import Fault, draw_faults
from voyage_handheld import HandheldHabits, VirtualHandheld
from voyage_http import HttpHandheld, HttpWire, Poster
from voyage_loop import VirtualLoop
from voyage_world import Life, VoyageWorld, copy_files

import sync.pump
from buffer import Outbox
from buffer.census import Census
from buffer.errors import OutboxError
from buffer.ledger import Epoch, source_at
from gateway.settings import Problem, Settings, SettingsError, load_settings
from simulators.centre import Centre, Policy
from simulators.centre_ledger import CentreLedger
from simulators.centre_script import Script
from simulators.journal import Journal
from simulators.labels import GTINS, carton
from simulators.plc import Plc, work
from simulators.plc_signal import Signal
from simulators.rfid import PassJournal, PortalClock, PortalPlan, run_portal
from simulators.scanner import Scanner, ScannerHabits
from simulators.scanner_port import TcpServerPort
from simulators.token import Token
from sync import HttpEventsSettings
from sync.http_events import HttpEvents

LISTENER_PORT = 1884
PLC_PORT = 1502
SCANNER_PORTS = (40_001, 40_002, 40_003)
HANDHELDS_MAX = 5
COUNTER = "good_parts"
POSITION_EVERY_S = 20.0
"""How often a delivery asks the centre where it is; in earnest every five minutes, of which most would be idle."""
FOUND_OUT_S = POSITION_EVERY_S + sync.pump.IDLE_LOOK_S + 5.0
"""Within which an idle delivery finds out that its centre was put back: it asks when it looks whether it is time."""
LABEL_AGAIN_S = 1.0
"""How long an operator waits after an error beep before a label is scanned again."""
LABEL_EVERY = 4
"""Scans at a dock from one delivery note to the next."""
SETTLES_WITHIN_S = 3600.0
"""Virtual time after which a gateway that has not delivered everything never will."""
DECIDES_AFTER_S = 900.0
"""Virtual time after which a person looks why a small outbox takes nothing: what a centre refused stays until somebody
decides, and fills it."""

CONFIGURATION = f"""
[site]
id = "dc07"
gateway = "dock-pc-1"
[storage]
path = "/replaced"
reserve_bytes = 0
spare_bytes = 0
[api]
unauthenticated = "accept-in-lab"
[[labels.patterns]]
kind = "document"
expression = "ASN-[0-9]+"
document_type = "asn"
[mqtt.listener]
bind = "127.0.0.1:{LISTENER_PORT}"
unauthenticated = "accept-in-lab"
[[upstream]]
name = "centre"
url = "http://centre.example/v1/events"
timeout_s = 5.0
backoff_max_s = 10.0
[[station]]
id = "line-1"
[[device]]
id = "press-plc"
station = "line-1"
driver = "modbus-poller"
url = "modbus-tcp://127.0.0.1:{PLC_PORT}?unit=1"
poll_interval_s = 1.5
points = [{{ name = "{COUNTER}", address = 0, type = "uint32", means = "count" }}]
[[station]]
id = "portal"
[[device]]
id = "portal-1"
station = "portal"
driver = "rfid-reader"
profile = "zebra-iot-connector"
depart_after_s = 86400.0
[[station]]
id = "floor"
[[device]]
id = "hh-*"
station = "floor"
driver = "handheld"
""" + "".join(
    f"""
[[station]]
id = "dock-{number}"
activity = "receipt"
[[device]]
id = "dock-{number}-scanner"
station = "dock-{number}"
driver = "tcp-scanner"
url = "tcp://127.0.0.1:{port}"
terminator = "\\r"
start = "aim"
acknowledge = "ack-nak"
"""
    for number, port in enumerate(SCANNER_PORTS, start=1)
)


@cache
def _base_settings() -> Settings:
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(CONFIGURATION)
        file.flush()
        return load_settings(Path(file.name))


@dataclass(frozen=True, slots=True)
class VoyagePlan:
    """How large a voyage is; the rest is drawn."""

    scans: int = 200
    seconds: float = 60.0
    """How long the devices work."""
    faults_min: int = 5
    faults_max: int = 14


@dataclass
class Logbook:
    """What there is to judge."""

    seed: int
    faults: list[Fault]
    voyage: Voyage
    trace: str = ""
    lines: list[str] | None = None
    census: Census | None = None
    journal_problems: tuple[str, ...] = ()
    quarantined: set[int] = field(default_factory=set)
    incidents: tuple[str, ...] = ()
    """Kinds of the incidents of the outbox."""
    source_of: Callable[[int], str] = str
    """Under which source the outbox says that it gave out a sequence."""
    epochs: tuple[Epoch, ...] = ()
    """Every source of the outbox."""
    problems: list[str] = field(default_factory=list)
    """What is wrong whatever the histories say: it never settled, a task died of a bug, it did not stop in order."""


class Voyage:
    """One voyage; `sail` makes it."""

    def __init__(self, seed: int, loop: VirtualLoop, folder: Path, plan: VoyagePlan, *, keep_trace: bool) -> None:
        self.plan = plan
        draw = Random(f"{seed} plan")
        self.scanner_count = draw.randint(1, len(SCANNER_PORTS))
        settings = _vary(_base_settings(), self.scanner_count, draw)
        self.world = VoyageWorld(seed, loop, folder, settings, keep_trace=keep_trace)
        self.world.open_upstream = self._open_upstream
        self.world.disk_latency_s = draw.choice(((0.0, 0.0), (0.0005, 0.002), (0.002, 0.02)))
        self.world.load = self._load
        policy = Policy(
            answers=draw.choice(("both", "through", "ids")), poison_answer=draw.choice(("named", "400", "422"))
        )
        self.centre = Centre(
            policy=policy, script=Script(rng=self.world.rng("script")), wall=lambda: self.world.wall() / 1000
        )
        self.uplink = Uplink(self.world, self.centre, self.world.rng("uplink"))
        self.http = HttpWire(self.world, self.world.rng("http"))
        self.posters: list[Poster] = []
        self.portal_journal = Journal("portal-1", on_line=None)
        self.has_portal = draw.random() < 0.6
        self.is_small = settings.storage.bytes_max < 1_000_000
        """Delivered events leave while the voyage lasts: what a restored centre lost cannot be given to it again."""
        says_where = settings.upstreams[0].position_url is not None
        self.will_roll_back = not self.is_small and draw.random() < 0.5 and says_where
        self.put_back: PutBack | None = None
        """What the disk was put back to; None: it never was."""
        self.restores = self.restores_due = 0
        self.kept_ledger: CentreLedger | None = None
        """What the centre is put back to when everything is done."""
        self.ports = [LISTENER_PORT, LISTENER_PORT, *SCANNER_PORTS[: self.scanner_count], PLC_PORT]
        self.handhelds = self._handhelds(draw)
        self.scanners = [self._scanner(number) for number in range(1, self.scanner_count + 1)]
        self.counter = Signal(COUNTER, 0, rollover=2**32, shows=2**32 - 60)
        self.plc = Plc([self.counter], journal=Journal("press-plc"))
        self.faults = draw_faults(
            draw, count=draw.randint(plan.faults_min, plan.faults_max), within_s=plan.seconds * 0.95
        )
        if draw.random() < 0.4:
            tags = [one.habits.tag for one in self.handhelds if one.habits.device.startswith("hh-")]
            policy.poison = tuple(str(Token(draw.choice(tags), draw.randint(2, 30))) for _ in range(draw.randint(1, 3)))
        self.poison = policy.poison
        for port in SCANNER_PORTS:
            self.world.net.road(port).piece_bytes_max = draw.choice((None, None, None, 1, 5, 5))
        # A piece costs a turn of the loop; the long messages of handhelds byte by byte would be most of a voyage.
        self.world.net.road(LISTENER_PORT).piece_bytes_max = draw.choice((None, None, None, 17, 64))
        self.world.net.road(PLC_PORT).piece_bytes_max = draw.choice((None, None, 3))
        self.documents: dict[Token, str | None] = {}
        """Scan at a dock -> the document whose label was scanned, and acknowledged, last before it."""
        self.refuse_next_label_s = 0.0
        """For how long the disk refuses commits from the moment the next delivery note is scanned."""
        self.part_interval_s = 0.9
        self._reloaded: str = "same"
        self._background: list[asyncio.Task[Any]] = []

    # -- the site

    def _handhelds(self, draw: Random) -> list[VirtualHandheld]:
        count = draw.randint(3, HANDHELDS_MAX)
        share = -(-self.plan.scans // (count + self.scanner_count))
        made = []
        for number in range(1, count + 1):
            window = draw.choice((1, 1, 1, 4))
            habits = HandheldHabits(
                device=f"hh-{number}", tag=f"h{number}", port=LISTENER_PORT, scans=share,
                interval_s=self.plan.seconds / share, window=window,
                array_max=draw.choice((1, 1, 5)) if window == 1 else 1,
                resets_keep_name=draw.random() < 0.4,
            )  # fmt: skip
            made.append(VirtualHandheld(self.world, habits, self.world.rng(habits.device)))
        stranger = HandheldHabits(device="stranger-1", tag="x1", port=LISTENER_PORT, scans=3, interval_s=15.0)
        return [*made, VirtualHandheld(self.world, stranger, self.world.rng("stranger-1"))]

    def _scanner(self, number: int) -> Scanner:
        return Scanner(
            TcpServerPort(),
            Journal(f"dock-{number}-scanner", on_line=None),
            ScannerHabits(
                acknowledge="ack-nak",
                answer_timeout_s=3.0,
                resends_max=self.world.rng(f"habit {number}").choice((None, 1)),
            ),
            rng=self.world.rng(f"scanner {number}"),
        )

    async def _post_scans(self, device: str, tag: str, scans: int, interval_s: float) -> None:
        poster = HttpHandheld(self.http, device, tag, scans, interval_s, self.world.rng(device))
        self.posters.append(poster)
        await poster.work()

    async def _pallets_pass(self) -> None:
        if not self.has_portal:
            return
        plan = PortalPlan(pallets=2, tags_per_pallet=8, strays=0, field_s=self.plan.seconds / 5, reads_per_s=2.0)
        clock = PortalClock(wall=lambda: int(self.world.loop.time() * 1000))
        rng = self.world.rng("portal")
        await run_portal(plan, self.http.send_tags, PassJournal(self.portal_journal), clock, rng)

    async def _scan_at_dock(self, index: int) -> None:
        scanner, rng = self.scanners[index], self.world.rng(f"dock {index + 1}")
        share = -(-self.plan.scans // (len(self.handhelds) - 1 + self.scanner_count))
        document: str | None = None
        for number in range(1, share + 1):
            await asyncio.sleep(rng.uniform(0.3, 1.7) * self.plan.seconds / share)
            if number % LABEL_EVERY == 1:
                document = await self._scan_label(scanner, f"ASN-{index + 1}{number:03d}", document)
            token = Token(f"s{index + 1}", number)
            self.documents[token] = document
            fate = await scanner.scan(carton(rng.choice(GTINS), token))
            self.world.note(f"dock-{index + 1}-scanner", number, fate)

    async def _scan_label(self, scanner: Scanner, label: str, before: str | None) -> str | None:
        """Scan a delivery note; return the document that must hold then.

        An operator who heard nothing but error beeps goes on with the old one, and it must hold: a refusal has no
        effect. One who heard nothing at all cannot know, and scans the label until it is taken: what was not answered
        may have been committed, and the error beep for the next try is about that try alone.
        """
        if self.refuse_next_label_s:
            self.refuse_commits(self.refuse_next_label_s)
            self.refuse_next_label_s = 0.0
        is_unknown = False
        while True:
            mark = len(scanner.journal.lines)
            if await scanner.scan(f"]C0{label}") == "acked":
                return label
            if "timeout" in [line["what"] for line in scanner.journal.lines[mark:]]:
                is_unknown = True
            elif is_unknown:
                await asyncio.sleep(LABEL_AGAIN_S)
            else:
                self.world.note("label refused", label)
                return before

    def _open_upstream(self, settings: HttpEventsSettings, life: Life) -> HttpEvents:
        return HttpEvents(settings, wall=self.world.wall, carrier=self.uplink.carrier(life))

    # -- what faults do

    def later(self, seconds: float, do: Callable[[], object]) -> None:
        self.world.loop.call_later(seconds, do)

    def background(self, work_: Any) -> None:
        self._background.append(self.world.loop.create_task(work_))

    def refuse_commits(self, lasts_s: float) -> None:
        self.world.refuse_commits(True)
        self.later(lasts_s, lambda: self.world.refuse_commits(False))

    def replug(self, index: int, lasts_s: float) -> None:
        async def out_and_in() -> None:
            scanner = self.scanners[index]
            await scanner.unplug()
            await asyncio.sleep(lasts_s)
            await scanner.plug()

        self.background(out_and_in())

    def reload(self, which: str) -> None:
        self._reloaded = which
        life = self.world.life
        if life is not None and life.daemon is not None:
            life.daemon.request_reload()

    def begin_epoch(self, outbox: Outbox) -> None:
        async def begin() -> None:
            with suppress(OutboxError):
                await outbox.begin_epoch("drill")

        self.background(begin())

    def restore_centre(self, after_s: float, *, is_noticed: bool) -> None:
        """The centre is put back to what it is now, a while later, under another instance."""
        if not self._can_restore():
            return
        kept = copy.deepcopy(self.centre.ledger)

        def restore() -> None:
            self._put_centre_back(kept)
            if is_noticed:
                self.uplink.refused_until = self.world.loop.time() + 2.0

        self.restores_due += 1
        self.later(after_s, restore)

    def _can_restore(self) -> bool:
        """Whether a centre that is put back can be given again what it lost."""
        # On a full disk what is delivered leaves early, and so it does when the outbox is small.
        is_filled = any("disk" in fault.name for fault in self.faults)
        says_where = self.world.settings().upstreams[0].position_url is not None
        return says_where and not self.is_small and not is_filled

    def _keep_ledger(self) -> None:
        self.kept_ledger = copy.deepcopy(self.centre.ledger)

    def _put_centre_back(self, kept: CentreLedger) -> None:
        self.restores += 1
        self.world.note("centre restored", len(kept.by_id), "of", len(self.centre.ledger.by_id))
        self.centre.ledger = copy.deepcopy(kept)
        self.centre.policy.instance = f"restored-{self.restores}"

    def stop_gently(self) -> None:
        life = self.world.life
        if life is not None and life.daemon is not None:
            life.daemon.request_stop()

    def _load(self) -> Settings:
        settings = self.world.settings()
        match self._reloaded:
            case "broken":
                raise SettingsError([Problem("gateway.toml", 7, "upstream[0].url", "is not a URL", "write one")])
            case "other linger":
                changed = [one.model_copy(update={"linger_s": 0.2}) for one in settings.upstreams]
                return replace(settings, upstreams=tuple(changed))
            case "scanner off":
                devices = [
                    replace(one, enabled=False) if one.id == "dock-1-scanner" else one for one in settings.devices
                ]
                self.later(5.0, lambda: self.reload("same"))
                return replace(settings, devices=tuple(devices))
            case _:
                return settings

    # -- the course

    async def sail(self) -> Logbook:
        logbook = Logbook(self.world.seed, self.faults, self)
        try:
            await self._work()
            await self._heal()
            await self._settle(logbook)
        except TimeoutError:
            logbook.problems.append("never settled: " + self._what_is_missing())
        except voyage_loop.NothingLeftToDo:
            logbook.problems.append("everybody waits for ever")
        for task in self._background:
            task.cancel()
        logbook.problems += [one for one in voyage_loop.complaints if "Task was destroyed" not in one]
        logbook.trace = self.world.trace.hex()
        logbook.lines = self.world.trace.lines
        return logbook

    async def _work(self) -> None:
        world = self.world
        for scanner in self.scanners:
            await scanner.start()
        await self.plc.start_tcp(port=PLC_PORT)
        world.start_life()
        machine = work(self.counter, rng=world.rng("machine"), sleep=asyncio.sleep, interval_s=self.part_interval_s,
                       parts_max=4)  # fmt: skip
        self.background(machine)
        for handheld in self.handhelds:
            handheld.start()
        for index in range(self.scanner_count):
            self.background(self._scan_at_dock(index))
        self.background(self._post_scans("hh-web", "w1", 12, self.plan.seconds / 12))
        self.background(self._pallets_pass())
        if self.will_roll_back:
            self.later(self.world.rng("image").uniform(0.3, 0.9) * self.plan.seconds, world.take_image)
        elif self._can_restore():
            self.later(self.world.rng("image").uniform(0.3, 0.9) * self.plan.seconds, self._keep_ledger)
        for fault in self.faults:
            self.later(fault.at_s, lambda fault=fault: self._strike(fault))
        await asyncio.sleep(self.plan.seconds)

    def _strike(self, fault: Fault) -> None:
        self.world.note("fault", fault.name)
        fault.strike(self)

    async def _heal(self) -> None:
        world = self.world
        world.note("heal")
        world._armed = None
        self.uplink.refused_until = self.uplink.black_hole_until = 0.0
        self.centre.script.always = None
        self.centre.script._queued.clear()
        self.centre.policy.poison = ()
        world.fill_disk(None)
        world.refuse_commits(False)
        for port in set(self.ports):
            road = world.net.road(port)
            road.cut_after_bytes, road.refused_until, road.stalled_until = None, 0.0, 0.0

    async def _settle(self, logbook: Logbook) -> None:
        async with asyncio.timeout(SETTLES_WITHIN_S):
            dockers, waited_s = self._background[1 : 3 + self.scanner_count], 0.0
            while not (all(one.is_done for one in self.handhelds) and all(task.done() for task in dockers)):
                await asyncio.sleep(0.5)
                waited_s += 0.5
                if waited_s == DECIDES_AFTER_S and self.is_small and await self._is_delivered():
                    await self._retry_quarantine(logbook)
            for task in dockers:
                task.result()
            self._background[0].cancel()  # the machine stops
            await asyncio.sleep(8.0)  # the last parts are polled
            await self._delivered()
            await self._retry_quarantine(logbook)
            await self._delivered()
            while self.restores < self.restores_due:
                await asyncio.sleep(0.5)
            if self.restores:
                await asyncio.sleep(FOUND_OUT_S)  # an idle delivery finds out by asking now and then
                await self._delivered()
            if self.kept_ledger is not None:
                self._put_centre_back(self.kept_ledger)  # at night, between two requests
                await asyncio.sleep(FOUND_OUT_S)
                await self._delivered()
            if self.will_roll_back:
                await self._roll_back()
                await self._delivered()
                await self._retry_quarantine(logbook)  # the image knows of what a person had not decided yet
                await self._delivered()
        life = self.world.life
        assert life is not None and life.daemon is not None
        logbook.census = await life.daemon.outbox.census("centre", fresh=True)
        epochs = life.daemon.outbox._opened.reader.epochs()
        logbook.source_of, logbook.epochs = partial(source_at, epochs), tuple(epochs)
        logbook.incidents = tuple(one.kind for one in await life.daemon.outbox.incidents())
        logbook.journal_problems = (await life.daemon.outbox.verify()).problems
        self.world.is_closing = True
        life.daemon.request_stop()
        while life.exit_code is None:
            await asyncio.sleep(0.1)
        if life.exit_code != 0:
            logbook.problems.append(f"stopped with {life.exit_code}")

    async def _roll_back(self) -> None:
        """Put the disk back to the image of a while ago, and go on scanning."""
        image = self.world.folder / "image"
        if not is_image(image):
            return
        self.put_back = look_at(image, self.centre.ledger)
        rng = self.world.rng("put back")
        is_alone, is_killed = rng.random() < 0.5, rng.random() < 0.5
        if is_alone:
            self.uplink.refused_until = float("inf")
        self.world.kill("rolled back", lambda state: copy_files(image, state))
        await asyncio.sleep(30.0)
        if is_alone:
            # Scanned before the centre can be asked: soon it has made as much as the centre knows.
            await self._post_scans("hh-alone", "y1", rng.choice((5, 40, 200)), 0.2)
            if is_killed:
                self.world.kill("alone")
            self.uplink.refused_until = 0.0
            await asyncio.sleep(30.0)
        await self._post_scans("hh-late", "z1", 8, 1.0)

    async def _delivered(self) -> None:
        while not await self._is_delivered():
            await asyncio.sleep(0.5)

    async def _is_delivered(self) -> bool:
        life = self.world.life
        if life is None or life.daemon is None or not life.daemon.is_open:
            return False
        outbox = life.daemon.outbox
        with suppress(OutboxError):
            return await outbox.cursor("centre") >= (await outbox.head_of_chain()).seq
        return False

    async def _retry_quarantine(self, logbook: Logbook) -> None:
        life = self.world.life
        assert life is not None and life.daemon is not None
        outbox = life.daemon.outbox
        held = await outbox.quarantine_list("centre")
        logbook.quarantined |= {one.seq for one in held}
        waiting = [one.seq for one in held if one.state == "open"]
        if waiting:
            self.world.note("retry", waiting)
            await outbox.quarantine_retry("centre", waiting, actor="tester")
            life.daemon.deliveries.nudge()
        while [one for one in await outbox.quarantine_list("centre") if one.state in ("open", "retry")]:
            await asyncio.sleep(0.5)

    def _what_is_missing(self) -> str:
        life = self.world.life
        waiting = [one.habits.device for one in self.handhelds if not one.is_done]
        state = life.daemon.deliveries.states()[0][1] if life and life.daemon and life.daemon.is_open else None
        return f"devices {waiting}, life {life and life.number}, pump {state}"


def _vary(settings: Settings, scanners: int, draw: Random) -> Settings:
    """Other values for what an operator may choose."""
    batch = draw.choice((1, 7, 40, 40, 200))
    sequence = draw.random() < 0.3
    upstream = settings.upstreams[0].model_copy(
        update={
            "linger_s": draw.choice((0.0, 0.1, 0.5)),
            "batch_events_max": batch,
            "batch_bytes_max": draw.choice((4_000, 1_000_000)),
            "orders_by": "sequence" if sequence else "arrival",
            "in_flight_max": draw.choice((2, 4)),
            "reject_max": draw.choice((2, 10)),
            "position_url": "http://centre.example/v1/position" if draw.random() < 0.5 else None,
            "compression": draw.choice(("none", "none", "gzip")),
        }
    )
    silent = {f"dock-{number}-scanner" for number in range(scanners + 1, len(SCANNER_PORTS) + 1)}
    devices = tuple(one for one in settings.devices if one.id not in silent)
    # Small enough that what is delivered leaves, and sometimes that scans are refused, while the voyage lasts.
    storage = settings.storage.model_copy(
        update={"bytes_max": draw.choice((4 * 1024**3, 4 * 1024**3, 300_000, 400_000))}
    )
    return replace(settings, upstreams=(upstream,), devices=devices, storage=storage)


def sail(
    seed: int,
    plan: VoyagePlan | None = None,
    *,
    folder: Path | None = None,
    keep_trace: bool = False,
    kind: type[Voyage] = Voyage,
) -> Logbook:
    """Make the voyage of a seed and return its logbook."""
    parent = folder or (Path("/dev/shm") if Path("/dev/shm").is_dir() else None)
    home = Path(tempfile.mkdtemp(prefix="voyage-", dir=parent))
    voyage_loop.complaints.clear()
    everyday, sync.pump.POSITION_EVERY_S = sync.pump.POSITION_EVERY_S, POSITION_EVERY_S
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)

    async def course(loop: VirtualLoop) -> Logbook:
        return await kind(seed, loop, home, plan or VoyagePlan(), keep_trace=keep_trace).sail()

    try:
        return voyage_loop.run(course)
    finally:
        sync.pump.POSITION_EVERY_S = everyday
        logging.disable(before)
        shutil.rmtree(home, ignore_errors=True)
