"""How the gateway is, as one value: what `dockline status`, `GET /v1/status`, `/readyz` and the metrics all tell.

The words of the fates are those of the books: accepted = delivered + pending + quarantined + discarded + skipped +
lost. Ages and waits are in seconds; times are milliseconds since 1970 UTC and end in `_ms`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from buffer import Census, Incident, OutboxStats
from gateway.capture.intake_counts import IntakeCounts
from gateway.capture.knocking import Knock
from gateway.checks.summary import ChecksStatus
from gateway.health import LinkHealth, Sighting
from gateway.measures.status import MeasuresStatus
from gateway.settings import DeviceSettings
from sync import PumpState, UpstreamSettings

UNNUMBERED_NOTICE = (
    "these devices do not number their messages: after an outage one of them may say a scan twice; it is then stored "
    "twice and flagged possible_redelivery"
)

NEVER_RESENT = ("rfid-reader", "modbus-poller")
"""Drivers of devices that need no number: a tag read twice is a repeat read, and a counter is read, not sent."""


@dataclass(frozen=True, slots=True)
class AlarmStatus:
    """A trouble that lasts."""

    code: str
    subject: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class UpstreamStatus:
    """One upstream, its books and its pump."""

    name: str
    kind: str
    url: str
    required: bool
    health: str
    configured: bool
    settled_through: int
    next_attempt_in_s: float | None
    failures: int
    requests: int
    last_answer_age_s: float | None
    lag_s: float | None
    """Age of the oldest event it has not taken, looked at every five seconds; 0: it has all; None: not looked at."""
    accepted: int
    delivered: int
    pending: int
    quarantined: int
    discarded: int
    skipped: int
    lost: int
    """Gone when a damaged outbox was salvaged; announced, and named by an incident."""
    imbalance: int
    """accepted less all other terms: always 0, or something is lost and nobody knows what."""


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """One driver and its link."""

    device: str
    driver: str
    state: str
    since_ms: int
    readings: int
    last_reading_age_s: float | None
    last_byte_age_s: float | None
    """Since anything came, understood or not; None: nothing did, or the link cannot tell."""
    restarts: int
    last_error: str | None
    hint: str | None
    next_attempt_in_s: float | None


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """One configured device, or one that fits a configured pattern and was heard."""

    id: str
    station: str
    driver: str
    enabled: bool
    state: str
    """The state of its link; "heard" or "not heard" for a device on a shared link; "admits" for a pattern of names."""
    readings: int
    last_reading_age_s: float | None
    numbered: bool | None
    """Whether its messages carry a number: only then a redelivery is recognised. None: not heard yet."""


@dataclass(frozen=True, slots=True)
class StorageStatus:
    """The outbox."""

    path: str
    source: str
    head_seq: int
    entries: int
    bytes_used: int
    bytes_max: int
    disk_free: int
    reserve_bytes: int
    level: str
    full_reason: str | None
    autonomy_hours: float | None
    """Hours of room left at today's rate when nothing more is delivered; None while nothing comes in."""
    failed_commits: int


@dataclass(frozen=True, slots=True)
class IncidentStatus:
    """Damage of the outbox that a person has to know of."""

    number: int
    at_ms: int
    kind: str
    reason: str
    kept_as: str
    """Folder beside the outbox with the damaged files; empty when nothing was set aside."""
    carried: int
    missing: int
    missing_sequences: tuple[tuple[int, int], ...]
    """The first hundred runs of sequences that are gone; the audit has them all."""


@dataclass(frozen=True, slots=True)
class Status:
    """Everything."""

    version: str
    site: str
    gateway: str
    config: str
    started_ms: int
    uptime_s: float
    clock: str
    ready: bool
    not_ready_because: str | None
    storage: StorageStatus
    upstreams: tuple[UpstreamStatus, ...]
    links: tuple[LinkStatus, ...]
    devices: tuple[DeviceStatus, ...]
    knocking: tuple[Knock, ...]
    knocking_unlisted: int
    intake: IntakeCounts
    readers: dict[str, list[str]]
    """What RFID readers last said about themselves."""
    shared_links: dict[str, dict[str, int]]
    """Counters of the listener and of the broker link."""
    measures: MeasuresStatus
    incidents: tuple[IncidentStatus, ...]
    """Damage that was met and that nobody has acknowledged."""
    checks: ChecksStatus
    alarms: tuple[AlarmStatus, ...]
    notices: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what `json` can write."""
        return asdict(self)


def upstream_status(
    settings: UpstreamSettings, state: PumpState, census: Census, now: float, lag_s: float | None
) -> UpstreamStatus:
    """Return one upstream's line; `now` is the monotonic clock."""
    return UpstreamStatus(
        name=settings.name,
        kind=settings.kind,
        url=settings.url,
        required=settings.required,
        health=state.health,
        configured=True,
        settled_through=state.settled_through,
        next_attempt_in_s=_until(state.next_attempt_at, now),
        failures=state.failures,
        requests=state.requests,
        last_answer_age_s=_since(state.answered_at, now),
        lag_s=lag_s,
        **_books(census),
    )


def orphan_status(name: str, *, required: bool, through: int, census: Census) -> UpstreamStatus:
    """Return the line of an upstream that has a position and is not configured any more."""
    return UpstreamStatus(
        name=name,
        kind="",
        url="",
        required=required,
        health="stopped",
        configured=False,
        settled_through=through,
        next_attempt_in_s=None,
        failures=0,
        requests=0,
        last_answer_age_s=None,
        lag_s=None,
        **_books(census),
    )


def _books(census: Census) -> dict[str, int]:
    terms = ("accepted", "delivered", "pending", "quarantined", "discarded", "skipped", "lost", "imbalance")
    return {term: getattr(census, term) for term in terms}


def link_status(health: LinkHealth, now: float) -> LinkStatus:
    """Return one driver's line."""
    return LinkStatus(
        device=health.device,
        driver=health.driver,
        state=health.state,
        since_ms=health.since_ms,
        readings=health.readings,
        last_reading_age_s=_since(health.last_reading, now),
        last_byte_age_s=_since(health.last_byte, now),
        restarts=health.restarts,
        last_error=health.last_error,
        hint=health.hint,
        next_attempt_in_s=_until(health.next_attempt, now),
    )


def device_statuses(
    configured: tuple[DeviceSettings, ...], links: tuple[LinkStatus, ...], heard: list[Sighting], now: float
) -> tuple[DeviceStatus, ...]:
    """Return every configured device, and after a pattern those heard under it."""
    by_link = {link.device: link for link in links}
    by_id = {sighting.device: sighting for sighting in heard}
    exact = {device.id for device in configured if not device.is_pattern}
    found: list[DeviceStatus] = []
    for device in configured:
        if not device.is_pattern:
            found.append(_device(device, device.id, by_link.get(device.id), by_id.get(device.id), now))
            continue
        prefix = device.id[:-1]
        under = [sighting for sighting in heard if sighting.device.startswith(prefix) and sighting.device not in exact]
        found.append(_device(device, device.id, None, None, now))
        found += [_device(device, sighting.device, None, sighting, now) for sighting in under]
    return tuple(found)


def _device(
    device: DeviceSettings, name: str, link: LinkStatus | None, sighting: Sighting | None, now: float
) -> DeviceStatus:
    if not device.enabled:
        state = "disabled"
    elif link is not None:
        state = link.state
    elif sighting is not None:
        state = "heard"
    else:
        state = "admits" if device.is_pattern else "not heard"
    return DeviceStatus(
        id=name,
        station=device.station,
        driver=device.driver,
        enabled=device.enabled,
        state=state,
        readings=sighting.readings if sighting else 0,
        last_reading_age_s=_since(sighting.last, now) if sighting else None,
        numbered=sighting.is_numbered if sighting else None,
    )


def storage_status(path: str, source: str, stats: OutboxStats) -> StorageStatus:
    """Return the outbox's line."""
    return StorageStatus(
        path=path,
        source=source,
        head_seq=stats.head_seq,
        entries=stats.entries,
        bytes_used=stats.bytes_used,
        bytes_max=stats.bytes_max,
        disk_free=stats.disk_free,
        reserve_bytes=stats.disk_reserve_bytes,
        level=stats.level,
        full_reason=stats.full_reason,
        autonomy_hours=stats.autonomy_hours,
        failed_commits=stats.failed_commits,
    )


def incident_status(incident: Incident) -> IncidentStatus:
    """Return one incident's line."""
    told = incident.told
    return IncidentStatus(
        number=incident.number,
        at_ms=incident.at,
        kind=incident.kind,
        reason=told.reason,
        kept_as=told.kept_as,
        carried=told.carried,
        missing=told.missing_count,
        missing_sequences=told.missing[:100],
    )


def notices_of(configured: tuple[str, ...], devices: tuple[DeviceStatus, ...], clock: str) -> tuple[str, ...]:
    """Return what should be known and is no trouble."""
    found = list(configured)
    senders = [device for device in devices if device.driver not in NEVER_RESENT]
    unnumbered = sorted(device.id for device in senders if device.numbered is False)
    if unnumbered:
        names = ", ".join(unnumbered[:20]) + (" and more" if len(unnumbered) > 20 else "")
        found.append(f"{names}: {UNNUMBERED_NOTICE}")
    if clock != "synchronised":
        found.append("no time service vouches for this computer's clock; events say so and keep their order")
    return tuple(found)


def _since(then: float | None, now: float) -> float | None:
    return None if then is None else round(max(0.0, now - then), 1)


def _until(then: float | None, now: float) -> float | None:
    return None if then is None else round(max(0.0, then - now), 1)
