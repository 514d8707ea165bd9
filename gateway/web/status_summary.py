"""The status as an open page hears it every two seconds: what it shows, and no more of it than fits on a screen."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from gateway.status import DeviceStatus, LinkStatus, Status

DEVICES_MAX: Final = 120
ALARMS_MAX: Final = 30
_WELL: Final = frozenset({"up", "heard"})
_STORAGE: Final = ("head_seq", "entries", "bytes_used", "bytes_max", "disk_free", "level", "full_reason",
                   "autonomy_hours", "failed_commits")  # fmt: skip
_UPSTREAM: Final = ("name", "kind", "required", "health", "configured", "next_attempt_in_s", "failures",
                    "last_answer_age_s", "lag_s", "accepted", "delivered", "pending", "quarantined", "discarded",
                    "skipped", "lost", "imbalance")  # fmt: skip


def summary(status: Status) -> dict[str, Any]:
    """Return it."""
    devices = _devices(status)
    return {
        "version": status.version,
        "site": status.site,
        "gateway": status.gateway,
        "uptime_s": status.uptime_s,
        "clock": status.clock,
        "ready": status.ready,
        "not_ready_because": status.not_ready_because,
        "storage": {name: getattr(status.storage, name) for name in _STORAGE},
        "upstreams": [{name: getattr(one, name) for name in _UPSTREAM} for one in status.upstreams],
        "devices": devices[:DEVICES_MAX],
        "devices_total": len(devices),
        "alarms": [asdict(one) for one in status.alarms[:ALARMS_MAX]],
        "alarms_total": len(status.alarms),
        "notices": list(status.notices[:ALARMS_MAX]),
        "knocking": len(status.knocking),
        "exceptions": {"open": status.checks.open, "overdue": status.checks.overdue},
        "accepted": status.intake.accepted,
        "refused": sum(status.intake.refused.values()),
        "expectations_pull": status.checks.pull_problem,
    }


def _devices(status: Status) -> list[dict[str, Any]]:
    """Return devices and shared links, those in trouble first."""
    links = {link.device: link for link in status.links}
    found = [_device(one, links.pop(one.id, None)) for one in status.devices if not one.id.endswith("*")]
    found += [_shared(link) for link in links.values()]
    return sorted(found, key=lambda one: (one["state"] in _WELL, one["id"]))


def _device(one: DeviceStatus, link: LinkStatus | None) -> dict[str, Any]:
    told = asdict(one)
    if link is not None:
        told.update(reason=link.last_error, hint=link.hint, since_ms=link.since_ms, restarts=link.restarts,
                    next_attempt_in_s=link.next_attempt_in_s)  # fmt: skip
    return told


def _shared(link: LinkStatus) -> dict[str, Any]:
    return {
        "id": link.device,
        "station": None,
        "driver": link.driver,
        "enabled": True,
        "state": link.state,
        "readings": link.readings,
        "last_reading_age_s": link.last_reading_age_s,
        "numbered": None,
        "reason": link.last_error,
        "hint": link.hint,
        "since_ms": link.since_ms,
        "restarts": link.restarts,
        "next_attempt_in_s": link.next_attempt_in_s,
    }
