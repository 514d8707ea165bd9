"""The troubles that last, read off a status: what is wrong, where, and what to do. docs/alarms.md has each code."""

from __future__ import annotations

from buffer import Incident
from buffer.incident import EPOCH_CHANGED, REWIND_SHORT
from gateway.checks.summary import ChecksStatus
from gateway.status import AlarmStatus, LinkStatus, StorageStatus, UpstreamStatus
from sync import PumpState, UpstreamSettings

IMBALANCE_HINT = "call for help and keep the storage folder: events are missing from the books, or there twice"


def incident_alarms(incidents: list[Incident]) -> tuple[AlarmStatus, ...]:
    """Return the alarms of incidents that nobody has acknowledged."""
    found = []
    for one in incidents:
        told = one.told
        text = told.reason
        if told.kept_as:
            text += (
                f": {told.carried} events carried over, {told.missing_count} missing, damaged files in {told.kept_as}"
            )
        found.append(AlarmStatus(one.kind, "storage", text, incident_hint(one)))
    return tuple(found)


def incident_hint(incident: Incident) -> str:
    """Return what to do about an incident, and how to say that somebody did."""
    first = "keep that folder, look at the disk" if incident.told.kept_as else "look at the disk"
    if incident.kind == EPOCH_CHANGED:
        first = "was this disk restored, rolled back or cloned? Make sure that no second computer runs from it"
    if incident.kind == REWIND_SHORT:
        first = "the centre lacks these events: fill them up from another copy of it"
    return f"{first}, then: dockline audit acknowledge {incident.number} --reason ..."


def alarms_of(
    storage: StorageStatus,
    upstreams: tuple[UpstreamStatus, ...],
    pumps: list[tuple[UpstreamSettings, PumpState]],
) -> tuple[AlarmStatus, ...]:
    """Return the troubles of the outbox and of deliveries, the gravest first."""
    found: list[AlarmStatus] = []
    for upstream in upstreams:
        if upstream.imbalance:
            message = f"the books of this upstream do not balance by {upstream.imbalance}"
            found.append(AlarmStatus("books_unbalanced", upstream.name, message, IMBALANCE_HINT))
    if storage.full_reason is not None:
        hint = "restore the upstream or free space; scanning resumes by itself"
        found.append(AlarmStatus("storage_full", "storage", storage.full_reason, hint))
    elif storage.level == "pressed":
        message = (
            f"{storage.bytes_used >> 20} of {storage.bytes_max >> 20} MiB used, {storage.disk_free >> 20} MiB free"
        )
        found.append(AlarmStatus("storage_nearly_full", "storage", message, "at the mark scans are refused"))
    for settings, state in pumps:
        if state.alarm is not None:
            found.append(AlarmStatus(state.alarm.code, settings.name, state.alarm.message, state.alarm.hint))
    for upstream in upstreams:
        if upstream.quarantined:
            count = upstream.quarantined
            message = f"{count} rejected {'event waits' if count == 1 else 'events wait'} for a person"
            found.append(AlarmStatus("quarantine_waiting", upstream.name, message, "dockline quarantine list"))
        if not upstream.configured:
            count = upstream.pending + upstream.quarantined
            message = f"is not in the configuration any more, and {count} events are kept for it"
            words = f"rename {upstream.name} NEW --reason ..., or remove {upstream.name} --reason ..."
            hint = f"configure it again, or: dockline upstream {words}"
            found.append(AlarmStatus("upstream_unconfigured", upstream.name, message, hint))
    return tuple(found)


def link_alarms(links: tuple[LinkStatus, ...]) -> tuple[AlarmStatus, ...]:
    """Return the alarms of links, in the order of the file."""
    return tuple(
        AlarmStatus(
            f"device_{link.state.replace('-', '_')}",
            link.device,
            link.last_error or f"the link is {link.state}",
            link.hint,
        )
        for link in links
        if link.state in {"down", "faulty", "degraded", "silent", "no-storage"}
    )


def checks_alarms(checks: ChecksStatus) -> tuple[AlarmStatus, ...]:
    """Return the troubles with what scans are compared with, and with what came of it."""
    found = []
    if checks.pull_problem is not None:
        subject, hint = checks.pull_url or "", checks.pull_hint
        found.append(AlarmStatus("expectations_not_pulled", subject, checks.pull_problem, hint))
    if checks.overdue:
        text = f"{checks.overdue} of {checks.open} exceptions are overdue"
        found.append(AlarmStatus("exceptions_overdue", "checks", text, "dockline exceptions list --state overdue"))
    return tuple(found)
