"""All checks, in the order in which a technician would make them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gateway.doctor.check import Check, Patient
from gateway.doctor.devices import check_configuration, check_devices
from gateway.doctor.machine import check_clock, check_service, check_versions
from gateway.doctor.storage import check_disk, check_outbox, check_permissions
from gateway.doctor.upstreams import check_broker, check_certificates, check_secrets, check_upstreams

CHECKS: Sequence[Callable[[Patient], Iterator[Check]]] = (
    check_configuration,
    check_service,
    check_disk,
    check_outbox,
    check_devices,
    check_broker,
    check_upstreams,
    check_certificates,
    check_secrets,
    check_permissions,
    check_clock,
    check_versions,
)


def examine(patient: Patient) -> list[Check]:
    """Return every check; a healthy gateway has no "failed" among them."""
    return [check for look in CHECKS for check in look(patient)]
