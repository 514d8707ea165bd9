"""The status as an open page hears it every two seconds: what it shows, and no more of it than fits on a screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from gateway.id_order import id_order
from gateway.status import AlarmStatus, DeviceStatus, LinkStatus, Status

DEVICES_MAX: Final = 120
ALARMS_MAX: Final = 30
ALIKE_MAX: Final = 3
"""Alarms of one code that are told in full."""
NAMED_MAX: Final = 12
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
        **_alarms(status.alarms),
        "alarms_total": len(status.alarms),
        "notices": list(status.notices[:ALARMS_MAX]),
        "knocking": len(status.knocking),
        "exceptions": {"open": status.checks.open, "overdue": status.checks.overdue},
        "accepted": status.intake.accepted,
        "refused": sum(status.intake.refused.values()),
        "expectations_pull": status.checks.pull_problem,
    }


def _alarms(alarms: Sequence[AlarmStatus]) -> dict[str, Any]:
    """Return the first alarms of each code, in their order, and by name those that are like them."""
    alike: dict[str, list[AlarmStatus]] = {}
    for one in alarms:
        alike.setdefault(one.code, []).append(one)
    shown = [one for found in alike.values() for one in found[:ALIKE_MAX]][:ALARMS_MAX]
    more = [
        {"code": code, "count": len(others), "subjects": [one.subject for one in others[:NAMED_MAX]]}
        for code, found in alike.items()
        if (others := found[ALIKE_MAX:])
    ]
    return {"alarms": [asdict(one) for one in shown], "alarms_more": more}


def _devices(status: Status) -> list[dict[str, Any]]:
    """Return devices and shared links, those in trouble first."""
    links = {link.device: link for link in status.links}
    found = [_device(one, links.pop(one.id, None)) for one in status.devices if not one.id.endswith("*")]
    found += [_shared(link) for link in links.values()]
    return sorted(found, key=lambda one: (one["state"] in _WELL, id_order(one["id"])))


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
