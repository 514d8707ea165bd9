"""A small site whose gateway is recorded: the real daemon under strace, handhelds, a scanner and a centre around it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.request import urlopen

from crash_disk import Disk, Image, write_image
from crash_history import History, Ports, read_history
from crash_trace import LOG_INDEX, Recording, Tracer, read_steps

from buffer.limits import Limits
from gateway.cli.child import GatewayProcess, free_port
from gateway.settings import load_settings
from gateway.wiring import storage_limits
from simulators.centre import Centre, Policy
from simulators.centre_script import Act, Rule, Script
from simulators.handheld import Handheld, HandheldPlan
from simulators.journal import Journal
from simulators.scanner import Scanner, ScannerHabits
from simulators.scanner_port import TcpServerPort
from simulators.token import Token

PLANTED = Path(__file__).with_name("crash_bugs.py")
SITE = "dc07"
SOURCE = f"//{SITE}/dock-pc-1"
POISON = "rotten"
WAIT_S = 180.0
LOOK_S = 0.1

_CONFIG = """\
[site]
id = "dc07"
gateway = "dock-pc-1"

[storage]
path = "{state}"
reserve_bytes = 0
spare_bytes = 262144
bytes_max = {bytes_max}
retention_days = {retention_days}

[mqtt.listener]
bind = "127.0.0.1:{listener}"
unauthenticated = "accept-in-lab"

[api]
bind = "127.0.0.1:0"
unauthenticated = "accept-in-lab"

[[upstream]]
name = "centre"
url = "{centre}"
timeout_s = 5.0
backoff_base_s = 0.02
backoff_max_s = 0.1
linger_s = 0.0

[[station]]
id = "floor"
activity = "pick"

[[device]]
id = "hh-*"
station = "floor"
driver = "handheld"

[[device]]
id = "belt"
station = "floor"
driver = "tcp-scanner"
url = "{scanner}"
terminator = "\\r"
start = "aim"
acknowledge = "ack-nak"
"""


@dataclass(frozen=True, slots=True)
class Storage:
    """What the site configured about its outbox."""

    bytes_max: int = 4 * 1024**3
    retention_days: float = 14


@dataclass(slots=True)
class Take:
    """One recording, with what was known before it and what the judge should know of it."""

    name: str
    recording: Recording
    history: History
    limits: Limits
    """As the daemon hands them to the outbox."""
    damaged: bytes | None = None
    """The outbox file as it was when it was damaged on purpose: it must be kept, and salvaged exactly once."""
    after: Image = field(default_factory=dict)
    """The folder as the process left it."""
    below: str = ""
    """Where in the folder the outbox is."""
    restored: History | None = None
    """What must be there once a backup has taken the place of the outbox."""
    replaced: bytes | None = None
    """The outbox file whose place it takes, and which must then be kept."""


class RecordedSite:
    """What the work of a scenario can use while the gateway runs."""

    def __init__(self, folder: Path, centre: Centre, scanner: Scanner, gateway: GatewayProcess, listener: int) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.config = gateway.config
        self.centre = centre
        self.scanner = scanner
        self.listener = listener

    async def scan(self, handhelds: int, scans: int, *, labels: int = 0, tag: str, in_flight: int = 4) -> None:
        """Have `handhelds` scan `scans` each and the scanner `labels`; return when all are answered."""
        async with asyncio.TaskGroup() as group:
            for number in range(1, handhelds + 1):
                group.create_task(self._carry(number, scans, tag, in_flight))
            group.create_task(self._belt(labels, tag))

    async def delivered(self) -> None:
        """Return when the gateway says of itself that the centre has answered everything that was scanned.

        What a device heard is on disk, and counted there. Asked again after every request to the centre.
        """
        while await asyncio.to_thread(self._pending):
            seen = len(self.centre.attempts)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self.centre.attempted(seen + 1)

    def _pending(self) -> int:
        address = json.loads((self.state / "addresses.json").read_text())["api"]
        with urlopen(f"http://{address}/v1/status", timeout=WAIT_S) as answer:
            pending: int = json.load(answer)["upstreams"][0]["pending"]
        return pending

    async def _carry(self, number: int, scans: int, tag: str, in_flight: int) -> None:
        plan = HandheldPlan(f"hh-{number}", SITE, self.listener, in_flight_max=in_flight, backoff_max_s=0.1)
        handheld = Handheld(plan, self.folder, rng=random.Random(f"{tag}{number}"))
        waiting: deque[str] = deque()
        async with handheld:
            for count in range(1, scans + 1):
                poison = f" {POISON}" if count % 40 == 7 else ""
                code = f"CARTON {Token(f'{tag}{number}', count)}{poison}"
                waiting.append(handheld.scan(code, activity="pick", document=f"PL-{count // 20}"))
                if len(waiting) >= in_flight:
                    await handheld.answer(waiting.popleft())
            await handheld.all_answered()

    async def _belt(self, labels: int, tag: str) -> None:
        for count in range(1, labels + 1):
            assert await self.scanner.scan(f"]C0CARTON {Token(f'{tag}b', count)}") == "acked"


Ending = Literal["stop", "kill"]
Work = Callable[[RecordedSite], Awaitable[None]]


async def record(
    folder: Path,
    name: str,
    work: Work,
    *,
    image: Image | None = None,
    before: History | None = None,
    storage: Storage = Storage(),
    ends: Ending = "stop",
    planted: str | None = None,
) -> Take:
    """Run the daemon on an image while `work` is done, and return everything it did and said.

    `before` is what devices and centre had been told when the image was taken. `planted` names a bug (crash_bugs.py).
    """
    folder.mkdir(parents=True)
    state = folder / "state"
    write_image(image or {}, state)
    tracer = Tracer(state, folder / "trace")
    program = ("-m", "gateway") if planted is None else (str(PLANTED), planted)
    async with _site(folder, state, storage, tracer.command((sys.executable, *program))) as (site, gateway, ports):
        async with asyncio.timeout(WAIT_S):
            await gateway.start()
            await site.scanner.port.connected.wait()
            await work(site)
        if ends == "kill":
            await gateway.kill()
        else:
            code = await gateway.stop()
            assert code == 0 or planted, gateway.last_words()
        lines = await asyncio.to_thread(tracer.lines)
    recording, after = _developed(state, image or {}, lines)
    history = read_history(recording.steps, ports)
    if before is not None:
        history = before.earlier().followed_by(history)
    limits = storage_limits(load_settings(gateway.config))
    return Take(name, recording, history, limits, after=after)


async def record_command(
    folder: Path, name: str, command: Sequence[str], *, image: Image, before: History, planted: str | None = None
) -> Take:
    """Run a command of the program without a daemon, on a folder in which `state/` is the outbox's."""
    folder.mkdir(parents=True)
    disk = folder / "disk"
    write_image(image, disk)
    config = folder / "gateway.toml"
    _configure(config, disk / "state", Storage(), Ports(free_port(), free_port(), free_port()))
    tracer = Tracer(disk, folder / "trace")
    program = ("-m", "gateway") if planted is None else (str(PLANTED), planted)
    asked = [part.replace("{disk}", str(disk)) for part in command]
    process = await asyncio.create_subprocess_exec(
        *tracer.command((sys.executable, *program, *asked, "--config", str(config))),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    recording, after = _developed(disk, image, await asyncio.to_thread(tracer.lines))
    limits = storage_limits(load_settings(config))
    return Take(name, recording, before.earlier(), limits, after=after, below="state")


def _developed(folder: Path, image: Image, lines: list[tuple[int, str]]) -> tuple[Recording, Image]:
    """Return the recording that a trace holds, and the folder as it is now."""
    files = {path: content for path, content in image.items() if not path.endswith("/")}
    folders = [path.removesuffix("/") for path in image if path.endswith("/")]
    steps = read_steps(folder, files, lines)
    index = folder / ("outbox.db" + LOG_INDEX)
    recording = Recording(files, folders, steps, index.read_bytes() if index.exists() else b"")
    after = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    require_whole(recording, after)
    return recording, after


def require_whole(recording: Recording, after: Image) -> None:
    """Return when the recording, played to its end, gives the folder as it is. Raises AssertionError otherwise.

    Whatever changed a file past the recorder shows here. A killed process may have been in the middle of a write that
    nobody saw the end of; the log index is written through a map.
    """
    disk = Disk.of(recording)
    for step in recording.steps:
        disk.take(step)
    played = disk.after_power_cut("kept", random.Random(0))
    differing = [
        path
        for path in sorted({path for path in played if not path.endswith("/")} | set(after))
        if not path.endswith(LOG_INDEX) and played.get(path) != after.get(path)
    ]
    assert not differing, f"the recording does not give the files as they are: {differing}"


@contextlib.asynccontextmanager
async def _site(
    folder: Path, state: Path, storage: Storage, program: tuple[str, ...]
) -> AsyncIterator[tuple[RecordedSite, GatewayProcess, Ports]]:
    lost = Rule(Act("answer_lost"), probability=0.1)
    centre = Centre(policy=Policy(poison=(POISON,)), script=Script([lost], rng=random.Random(1)))
    port = TcpServerPort()
    scanner = Scanner(port, Journal("belt"), ScannerHabits(answer_timeout_s=10.0), rng=random.Random(2))
    async with centre:
        await scanner.start()
        listener = free_port()
        ports = Ports(listener, int(port.url.rpartition(":")[2]), centre.port)
        config = folder / "gateway.toml"
        _configure(config, state, storage, ports)
        gateway = GatewayProcess(config, folder / "gateway.log", program, start_timeout_s=WAIT_S)
        try:
            yield RecordedSite(folder, centre, scanner, gateway, listener), gateway, ports
        finally:
            if gateway.process is not None and gateway.process.returncode is None:
                await gateway.kill()
            await scanner.close()


def _configure(config: Path, state: Path, storage: Storage, ports: Ports) -> None:
    config.write_text(
        _CONFIG.format(
            state=state,
            bytes_max=storage.bytes_max,
            retention_days=storage.retention_days,
            listener=ports.listener,
            centre=f"http://127.0.0.1:{ports.centre}/v1/events",
            scanner=f"tcp://127.0.0.1:{ports.scanner}",
        )
    )
