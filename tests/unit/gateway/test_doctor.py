"""The doctor's own judgement: certificates, ports, secrets."""

from __future__ import annotations

import os
import subprocess
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mqtt_certificates import Authority

from gateway.doctor.bundle import STRUCK_OUT, known_secrets, without_secrets, write_bundle
from gateway.doctor.certificate import CertificateUnreadable, first_to_end
from gateway.doctor.check import Check, Patient
from gateway.doctor.devices import holders_of
from gateway.doctor.machine import check_clock
from gateway.doctor.upstreams import check_certificates, check_secrets, days_left
from gateway.settings import load_settings

PLANTED = "SECRET-7f3a9c1d5e"
CONFIG = """
[site]
id = "dc07"
gateway = "dock-pc-1"
[storage]
path = "{folder}/state"
[[upstream]]
name = "centre"
url = "https://wms.example/v1/events"
token_file = "{folder}/centre.token"
certificate = "{folder}/client.crt"
key = "{folder}/client.key"
[[station]]
id = "floor"
[[device]]
id = "hh-*"
station = "floor"
driver = "handheld"
"""


def patient(folder: Path, *, at: datetime | None = None, synchronised: bool = True) -> Patient:
    authority = Authority(folder).create()
    certificate, key = authority.issue("client")
    certificate.rename(folder / "client.crt")
    key.rename(folder / "client.key")
    (folder / "client.key").chmod(0o600)
    token = folder / "centre.token"
    token.write_text(PLANTED + "\n")
    token.chmod(0o600)
    (folder / "state").mkdir()
    config = folder / "gateway.toml"
    config.write_text(CONFIG.replace("{folder}", str(folder)) + f"\n# the old token was {PLANTED}\n")
    settings = load_settings(config, must_run=False)
    return Patient(
        config=config,
        settings=settings,
        problems=(),
        storage=folder / "state",
        status={"log": f"Authorization: Bearer {PLANTED}", "upstreams": [], "alarms": []},
        silence="",
        wall_ms=int((at or datetime.now(UTC)).timestamp() * 1000),
        is_synchronised=synchronised,
    )


def test_a_planted_secret_is_nowhere_in_the_bundle(tmp_path: Path) -> None:
    """In a comment of the file, in what the daemon says, in a check: the bundle brings nobody a key to the centre."""
    found = patient(tmp_path)
    checks = [Check("upstream", "centre", "failed", f"401 with token {PLANTED}")]
    target = tmp_path / "bundle.tar.gz"
    names = write_bundle(target, found, checks)
    assert {"doctor.json", "status.json", "gateway.toml", "storage.txt", "outbox.json"} <= set(names)
    assert target.stat().st_mode & 0o077 == 0
    with tarfile.open(target) as bundle:
        texts = {one.name: (bundle.extractfile(one) or os.devnull).read().decode() for one in bundle.getmembers()}  # type: ignore[union-attr]
    assert [name for name, text in texts.items() if PLANTED in text] == []
    assert STRUCK_OUT in texts["dockline/gateway.toml"]
    assert 'name = "centre"' in texts["dockline/gateway.toml"]
    key = (tmp_path / "client.key").read_text().splitlines()[2]
    assert not any(key in text for text in texts.values())


@pytest.mark.parametrize(
    "text",
    [
        f'password = "{PLANTED}"',
        f"  api_key: {PLANTED}",
        f'"token": "{PLANTED}"',
        f"Authorization: Bearer {PLANTED}",
        f"mqtt://user:{PLANTED}@broker:1883",
    ],
)
def test_what_sounds_like_a_secret_is_struck_out_though_nobody_knows_it(text: str) -> None:
    assert PLANTED not in without_secrets(text, ())


def test_references_to_secrets_stay_readable() -> None:
    text = 'token_file = "/etc/dockline/secrets/centre.token"\ntoken_credential = "centre-token"'
    assert without_secrets(text, ()) == text


def test_every_secret_that_is_referred_to_is_known(tmp_path: Path) -> None:
    assert PLANTED in known_secrets(patient(tmp_path))


def test_days_left_are_those_of_openssl(tmp_path: Path) -> None:
    found = patient(tmp_path)
    end = first_to_end(tmp_path / "client.crt")
    assert datetime.now(UTC) < end < datetime.now(UTC) + timedelta(days=4000)
    states = {one.subject: one.state for one in check_certificates(found)}
    expected = "ok" if days_left(end, found.wall_ms) >= 30 else "warning"
    assert states["for centre"] == expected


@pytest.mark.parametrize(("days", "state"), [(-1, "failed"), (1, "warning"), (29, "warning"), (31, "ok")])
def test_a_certificate_that_ends_is_said_in_time(tmp_path: Path, days: int, state: str) -> None:
    found = patient(tmp_path)
    end = first_to_end(tmp_path / "client.crt")
    at = int((end - timedelta(days=days, minutes=-1)).timestamp() * 1000)
    (check,) = check_certificates(_at(found, at))
    assert check.state == state, check


def _at(found: Patient, wall_ms: int) -> Patient:
    from dataclasses import replace

    return replace(found, wall_ms=wall_ms)


@pytest.mark.parametrize("body", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"])
def test_what_is_no_certificate_is_said(tmp_path: Path, body: str) -> None:
    path = tmp_path / "x.crt"
    path.write_text(body)
    with pytest.raises(CertificateUnreadable):
        first_to_end(path)


def test_a_secret_that_others_can_read_fails_with_what_to_do(tmp_path: Path) -> None:
    found = patient(tmp_path)
    (tmp_path / "centre.token").chmod(0o644)
    states = {one.subject: one for one in check_secrets(found)}
    assert states["token of centre"].state == "failed"
    assert "chmod 600" in (states["token of centre"].action or "")
    assert states["key for centre"].state == "ok"


def test_who_holds_a_port_is_named() -> None:
    """A terminal program that somebody left open eats every second scan."""
    master, slave = os.openpty()
    port = Path(os.ttyname(slave))
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(slave,)) as program:
        assert [f"(pid {program.pid})" in one for one in holders_of(port)] == [True], "and this process is left out"
        program.communicate()
    os.close(slave)
    assert holders_of(port) == []
    os.close(master)


@pytest.mark.parametrize(
    ("at", "synchronised", "state"),
    [
        (datetime(1970, 1, 2, tzinfo=UTC), True, "failed"),
        (datetime(2027, 1, 2, tzinfo=UTC), False, "warning"),
        (datetime(2027, 1, 2, tzinfo=UTC), True, "ok"),
    ],
)
def test_the_clock(tmp_path: Path, at: datetime, synchronised: bool, state: str) -> None:
    (check,) = check_clock(patient(tmp_path, at=at, synchronised=synchronised))
    assert check.state == state
