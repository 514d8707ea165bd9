"""Upstreams and the site broker: reached, trusted, up to date."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.credentials import CredentialError, check_secret_file, check_secret_owner, credentials_folder
from gateway.doctor.certificate import WARN_DAYS, CertificateUnreadable, first_to_end
from gateway.doctor.check import Check, Patient, State
from gateway.doctor.reach import Reached, reach
from sync import HttpEventsSettings, UpstreamSettings
from sync.errors import UpstreamHolds
from sync.tls import tls_context, tls_failure


def check_upstreams(patient: Patient) -> Iterator[Check]:
    """Does each answer, trust us, and take what we have?"""
    if patient.settings is None:
        return
    told = {one["name"]: one for one in patient.status["upstreams"]} if patient.status else {}
    for one in patient.settings.upstreams:
        reached = _reachable(one, patient)
        yield reached
        if reached.state != "failed":
            yield from _let_in(one, patient)
        if one.name in told:
            yield _delivery(told[one.name], patient)
    configured = {one.name for one in patient.settings.upstreams}
    for name, one in told.items():
        if name not in configured or not one["configured"]:
            evidence = f"is not in the file, and {one['pending'] + one['quarantined']} events are kept for it"
            action = (
                f"dockline upstream rename {name} NEW --reason ..., or: dockline upstream remove {name} --reason ..."
            )
            yield Check("upstream", name, "warning", evidence, action)


def _reachable(settings: UpstreamSettings, patient: Patient) -> Check:
    url = urlsplit(settings.url)
    host = url.hostname or ""
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        context = tls_context(settings) if url.scheme == "https" else None
    except UpstreamHolds as error:
        return Check("upstream", settings.name, "failed", str(error), error.hint)
    found = reach(host, port, tls=context, server_name=settings.server_name)
    if found.problem is not None:
        why = tls_failure(found.error, host, patient.wall_ms) if found.error is not None else None
        action = (why.hint if why else None) or f"from this computer: curl -v {url.scheme}://{host}:{port}/"
        return Check("upstream", settings.name, "failed", str(why or found.problem), action)
    return _answered("upstream", settings.name, found, patient)


def _let_in(settings: UpstreamSettings, patient: Patient) -> Iterator[Check]:
    """Does it know our credential? Asked with an empty batch, signed, which it can store nothing from."""
    assert patient.settings is not None
    tried = patient.try_upstream(patient.settings, settings)
    if tried is None:
        return
    state: State = "ok" if tried.works else "failed"
    action = None if tried.works else tried.hint or "compare `url` and the credential with what the centre says"
    yield Check("access", settings.name, state, tried.text, action)


def _answered(area: str, name: str, found: Reached, patient: Patient) -> Check:
    text = f"answers in {found.took_ms} ms"
    if found.certificate_ends is None:
        return Check(area, name, "ok", text)
    days = days_left(found.certificate_ends, patient.wall_ms)
    if days < WARN_DAYS:
        action = "have whoever runs it renew its certificate"
        return Check(area, name, "warning", f"{text}; its certificate ends in {days} days", action)
    return Check(area, name, "ok", f"{text}, certificate good for {days} days")


def _delivery(told: dict[str, Any], patient: Patient) -> Check:
    text = f"{told['pending']} pending, {told['quarantined']} in quarantine, {told['delivered']} delivered"
    alarms = [one for one in (patient.status or {})["alarms"] if one["subject"] == told["name"]]
    if alarms:
        action = alarms[0]["hint"] or "dockline status"
        return Check("delivery", told["name"], "failed", f"{alarms[0]['message']}; {text}", action)
    return Check("delivery", told["name"], "ok", f"{told['health']}; {text}")


def check_broker(patient: Patient) -> Iterator[Check]:
    """Does the broker of the site answer?"""
    broker: Any = patient.settings.mqtt.broker if patient.settings is not None else None
    if broker is None:
        return
    url = urlsplit(broker.url)
    host, port = url.hostname or "", url.port or (8883 if url.scheme == "mqtts" else 1883)
    found = reach(host, port)
    link = _link(patient, "mqtt-broker")
    if found.problem is not None:
        yield Check("broker", host, "failed", found.problem, "is the broker running? systemctl status mosquitto")
    elif link is not None and link["state"] not in {"up", "silent"}:
        evidence = f"answers in {found.took_ms} ms, but the link is {link['state']}: {link['last_error']}"
        yield Check("broker", host, "failed", evidence, link["hint"] or "see the log of the broker")
    else:
        assert patient.settings is not None
        tried = patient.try_broker(patient.settings)
        if tried is not None and not tried.works:
            yield Check("broker", host, "failed", tried.text, tried.hint or "see the log of the broker")
            return
        yield Check("broker", host, "ok", f"answers in {found.took_ms} ms" + (" and lets us in" if tried else ""))


def _link(patient: Patient, device: str) -> dict[str, Any] | None:
    links = patient.status["links"] if patient.status else []
    return next((one for one in links if one["device"] == device), None)


def check_secrets(patient: Patient) -> Iterator[Check]:
    """May nobody else read a secret, and can the service?"""
    if patient.settings is None:
        return
    for name, path in secret_files(patient):
        try:
            check_secret_file(path)
            if patient.storage is not None:
                check_secret_owner(path, patient.storage)
        except CredentialError as error:
            yield Check("secrets", name, "failed", str(error), error.hint or f"look at {path}")
        else:
            yield Check("secrets", name, "ok", f"{path} can be read by its owner alone")


def secret_files(patient: Patient) -> Iterator[tuple[str, Path]]:
    """Yield each file with a secret, by what it is."""
    settings = patient.settings
    if settings is None:
        return
    folder = credentials_folder(patient.environ)
    for one in settings.upstreams:
        if (token := one.token_path(folder)) is not None:
            yield f"token of {one.name}", token
        if isinstance(one, HttpEventsSettings) and (secret := one.signing_secret_path(folder)) is not None:
            yield f"signing secret of {one.name}", secret
        if one.key is not None:
            yield f"key for {one.name}", one.key
    api, listener, broker = settings.api, settings.mqtt.listener, settings.mqtt.broker
    for name, owner, key in (
        ("API tokens", api, "tokens_file"),
        ("API key", api, "key"),
        ("listener users", listener, "users_file"),
        ("listener key", listener, "key"),
        ("broker password", broker, "password_file"),
        ("broker key", broker, "key"),
    ):
        path = getattr(owner, key, None)
        if isinstance(path, Path):
            yield name, path


def check_certificates(patient: Patient) -> Iterator[Check]:
    """How long are our own certificates, and those we trust, still good for?"""
    settings = patient.settings
    if settings is None:
        return
    files = [(f"for {one.name}", one.certificate) for one in settings.upstreams]
    files += [(f"authority of {one.name}", one.ca_file) for one in settings.upstreams]
    files += [
        ("of the API", getattr(settings.api, "certificate", None)),
        ("of the listener", getattr(settings.mqtt.listener, "certificate", None)),
        ("authority of devices", getattr(settings.mqtt.listener, "client_ca", None)),
        ("for the broker", getattr(settings.mqtt.broker, "certificate", None)),
        ("authority of the broker", getattr(settings.mqtt.broker, "ca_file", None)),
    ]
    for name, path in files:
        if not isinstance(path, Path):
            continue
        try:
            days = days_left(first_to_end(path), patient.wall_ms)
        except (OSError, CertificateUnreadable) as error:
            text = f"{path}: {getattr(error, 'strerror', None) or error}"
            yield Check("certificate", name, "failed", text, "put a PEM file there that the service can read")
            continue
        state: State = "failed" if days < 0 else "warning" if days < WARN_DAYS else "ok"
        text = f"{path} ended {-days} days ago" if days < 0 else f"{path} is good for {days} days"
        yield Check("certificate", name, state, text, None if state == "ok" else f"renew {path}, then reload")


def days_left(end: datetime, wall_ms: int) -> int:
    """Return whole days until then, by this computer's clock; negative when it is past."""
    return int((end.timestamp() - wall_ms / 1000) // 86_400)
