"""What the API may ask of a running daemon, and nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from buffer import Outbox
from drivers import Complains, FollowsFiles, Reading, StorageUnavailable, Verdict
from drivers.scan_message import ParsedBody
from gateway.alarms import alarms_of, checks_alarms, incident_alarms, link_alarms
from gateway.andon_service import AndonService
from gateway.capture.site_map import Route
from gateway.capture.station import Session
from gateway.checks_service import ChecksService
from gateway.deliveries import Deliveries
from gateway.health import Latency
from gateway.replays import Replays
from gateway.settings import Settings
from gateway.settings.model import StorageSettings
from gateway.status import (
    AlarmStatus,
    LinkStatus,
    Status,
    device_statuses,
    incident_status,
    link_status,
    notices_of,
    orphan_status,
    storage_status,
    upstream_status,
)
from gateway.wiring import deferred

if TYPE_CHECKING:
    from gateway.daemon import Daemon


class Report:
    """The daemon as the API sees it."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.closing = asyncio.Event()
        """Set when long answers (a tail) have to end."""

    @property
    def outbox(self) -> Outbox:
        """The outbox, for queries and for what people decide about quarantined events."""
        return self._daemon.outbox

    @property
    def storage(self) -> StorageSettings:
        """Where the outbox is, and what must stay free."""
        return self._daemon.settings.storage

    @property
    def latency(self) -> Latency:
        """How long takes took."""
        return self._daemon.supervisor.latency

    async def take(self, readings: Sequence[Reading]) -> list[Verdict]:
        """Return one verdict a reading when they are on disk; raises StorageUnavailable."""
        daemon = self._daemon
        began = daemon.world.monotonic()
        try:
            verdicts = await daemon.intake.take(readings)
        except StorageUnavailable:
            daemon.supervisor.not_taken(readings)
            raise
        daemon.supervisor.taken(readings, verdicts, began)
        return verdicts

    async def enter(self, reading: Reading) -> Verdict:
        """Return the verdict on what a person typed in the place of a device, when it is on disk.

        The device is not heard by it: a scanner that is broken must not look alive. Raises StorageUnavailable.
        """
        board = self._daemon.andon.board
        try:
            verdicts = await self._daemon.intake.take([reading])
        except StorageUnavailable:
            board.note([reading], None)
            raise
        board.note([reading], verdicts)
        return verdicts[0]

    @property
    def andon(self) -> AndonService:
        """What stations were last told, and the day's minutes."""
        return self._daemon.andon

    @property
    def settings(self) -> Settings:
        """The configuration that is applied."""
        return self._daemon.settings

    def session(self, device: str) -> Session:
        """Return the context that the next scan of a device would have."""
        return self._daemon.intake.session(device)

    def route(self, device: str) -> Route | None:
        """Return where a device belongs; None when nobody configured it."""
        return self._daemon.intake.route(device)

    def wall_ms(self) -> int:
        """Return the wall clock, milliseconds since 1970 UTC."""
        return self._daemon.world.wall()

    async def pause(self, seconds: float) -> None:
        """Return after a while of the daemon's own time."""
        await self._daemon.world.sleep(seconds)

    def parser_of(self, device: str) -> Callable[[bytes], ParsedBody] | None:
        """Return what understands the bodies of an RFID reader; None when there is no such reader."""
        return self._daemon.readers.parser(device)

    @property
    def checks(self) -> ChecksService:
        """Expected documents and exceptions."""
        return self._daemon.checks

    @property
    def expectation_bytes_max(self) -> int:
        """Largest expected document, in bytes."""
        return self._daemon.settings.expectations.bytes_max

    async def aside(self, work: Callable[[], Any]) -> Any:
        """Return what `work` returns, done in another thread: for what would hold up scans."""
        return await asyncio.get_running_loop().run_in_executor(self._daemon.world.reader, work)

    @property
    def replays(self) -> Replays:
        """What is being sent again."""
        return self._daemon.replays

    @property
    def deliveries(self) -> Deliveries:
        """The pumps, for what people decide about positions."""
        return self._daemon.deliveries

    def nudge(self, upstream: str) -> None:
        """Have an upstream's pump look for retries now."""
        self._daemon.deliveries.nudge(upstream)

    def not_ready_because(self) -> str | None:
        """Return why scans are not taken now; None while they are."""
        if not self._daemon.is_open:
            return "starting or stopping"
        return self._daemon.outbox.full_reason

    async def status(self) -> Status:
        """Return everything. Raises OutboxError."""
        daemon, now = self._daemon, self._daemon.world.monotonic()
        settings, outbox = daemon.settings, daemon.outbox
        pumps = daemon.deliveries.states()
        storage = storage_status(str(settings.storage.path), outbox.source, outbox.stats())
        positions = await outbox.upstreams()
        placed = {position.upstream for position in positions}  # one that waits for room has no books yet
        upstreams = [
            upstream_status(one, state, await outbox.census(one.name), now, daemon.andon.lag_s.get(one.name))
            for one, state in pumps
            if one.name in placed
        ]
        known = {one.name for one, _ in pumps}
        upstreams += [
            orphan_status(
                position.upstream,
                required=position.required,
                through=position.seq,
                census=await outbox.census(position.upstream),
            )
            for position in positions
            if position.upstream not in known
        ]
        links = tuple(link_status(health, now) for health in daemon.supervisor.health())
        devices = device_statuses(settings.devices, links, daemon.supervisor.sightings.all(), now)
        incidents = await outbox.incidents(unacknowledged_only=True)
        clock, counts = daemon.clock_quality(), daemon.intake.counts()
        reason, checks = self.not_ready_because(), daemon.checks.status()
        return Status(
            version=program_version(),
            site=settings.site.id,
            gateway=settings.site.gateway,
            config=str(settings.file),
            started_ms=daemon.started_ms,
            uptime_s=round(now - daemon.started, 1),
            clock=clock,
            ready=reason is None,
            not_ready_because=reason,
            storage=storage,
            upstreams=tuple(upstreams),
            links=links,
            devices=devices,
            knocking=tuple(daemon.intake.knocks()),
            knocking_unlisted=counts.knocking_unlisted,
            intake=counts,
            readers=daemon.readers.health(),
            shared_links=self._shared_links(),
            measures=daemon.measures.status(),
            incidents=tuple(incident_status(one) for one in incidents),
            checks=checks,
            alarms=(
                *incident_alarms(incidents),
                *alarms_of(storage, tuple(upstreams), pumps),
                *self._own_alarms(),
                *self._file_alarms(links),
                *checks_alarms(checks),
                *self._device_alarms(links),
            ),
            notices=notices_of((*settings.notices, *self._deferred()), devices, clock),
        )

    def _deferred(self) -> list[str]:
        waiting = deferred(self._daemon.started_with, self._daemon.settings)
        return [f"{', '.join(waiting)}: changed, takes effect at the next start"] if waiting else []

    def _device_alarms(self, links: tuple[LinkStatus, ...]) -> tuple[AlarmStatus, ...]:
        """Return what is about single devices: last, for there may be many at once."""
        return (*link_alarms(links), *self._complaint_alarms(links), *self._daemon.measures.alarms())

    def _file_alarms(self, links: Sequence[LinkStatus]) -> list[AlarmStatus]:
        """Return what was changed beside the configuration and cannot be used."""
        hint = "a certificate from before goes on, nobody new gets in by a users file; mend it, chown it to the service"
        found: list[AlarmStatus] = []
        for link in links:
            driver = self._daemon.supervisor.driver(link.device)
            if isinstance(driver, FollowsFiles) and (refused := driver.refused_files()):
                found.append(AlarmStatus("files_refused", link.device, "; ".join(refused), hint))
        return found

    def _complaint_alarms(self, links: Sequence[LinkStatus]) -> list[AlarmStatus]:
        """Return what drivers complain of while their link is up; one that is not has an alarm already."""
        hint = (
            "what is missing is recorded as a gap; of a unit that is silent look at power, cable, unit id and display"
        )
        found: list[AlarmStatus] = []
        for link in links:
            driver = self._daemon.supervisor.driver(link.device)
            if link.state == "up" and isinstance(driver, Complains) and (said := driver.complaints()):
                found.append(AlarmStatus("device_gap", link.device, "; ".join(said), hint))
        return found

    def _own_alarms(self) -> list[AlarmStatus]:
        """Return the troubles that are the daemon's own."""
        daemon = self._daemon
        found = daemon.world.troubles()
        if daemon.refused_reload is not None:
            text = f"the changed configuration was refused: {daemon.refused_reload}"
            found.append(AlarmStatus("configuration_refused", "config", text, "dockline check"))
        for name, reason in daemon.deliveries.waiting():
            text = f"it begins when its position can be written: {reason}"
            found.append(AlarmStatus("upstream_waits", name, text, "free space on the disk of [storage] path"))
        if daemon.front_door is not None and daemon.front_door.fault is not None:
            found.append(AlarmStatus("api_closed", "api", daemon.front_door.fault, "see [api]"))
        if daemon.front_door is not None and (refused := daemon.front_door.refused_files()):
            hint = "what was read before goes on; mend the file, chown it to the service: it is used at once"
            found.append(AlarmStatus("files_refused", "api", "; ".join(refused), hint))
        return found

    def _shared_links(self) -> dict[str, dict[str, int]]:
        supervisor = self._daemon.supervisor
        found: dict[str, dict[str, int]] = {}
        for health in supervisor.health():
            stats = getattr(supervisor.driver(health.device), "stats", None)
            if is_dataclass(stats) and not isinstance(stats, type):
                found[health.device] = {key: value for key, value in asdict(stats).items() if isinstance(value, int)}
        return found


def program_version() -> str:
    """Return the version of the installed distribution."""
    try:
        return version("dockline")
    except PackageNotFoundError:
        return "unknown"
