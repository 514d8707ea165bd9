"""The doctor's own judgement: certificates, ports, secrets."""

from __future__ import annotations

import os
import subprocess
import tarfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mqtt_certificates import Authority

from gateway.doctor.bundle import STRUCK_OUT, known_secrets, without_secrets, write_bundle
from gateway.doctor.certificate import CertificateUnreadable, first_to_end
from gateway.doctor.check import Check, Patient
from gateway.doctor.devices import check_devices, holders_of, is_gateway
from gateway.doctor.machine import check_clock
from gateway.doctor.storage import check_disk
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


def test_a_disk_without_inodes_is_not_well_whatever_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = replace(patient(tmp_path), status=None)
    real = os.statvfs(tmp_path)
    full = SimpleNamespace(f_bavail=real.f_bavail, f_frsize=real.f_frsize, f_files=40, f_favail=0)
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    disk = next(check for check in check_disk(found) if check.subject == "disk")
    assert disk.state == "failed"
    assert "no inode is left" in disk.evidence
    assert "df -i" in str(disk.action)


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
        f"reason: they gave me dkl_{PLANTED}-0123456789abcdef and it works",
    ],
)
def test_what_sounds_like_a_secret_is_struck_out_though_nobody_knows_it(text: str) -> None:
    assert PLANTED not in without_secrets(text, ())


def test_secrets_of_every_kind_are_nowhere_in_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of each, planted in its own file and in everything a bundle is made of."""
    found = patient(tmp_path)
    kinds = {
        "signing": '[[upstream]]\nname = "second"\nurl = "https://a.example/v1"\nsigning_secret_file = "{file}"',
        "tokens": '[api]\ntokens_file = "{file}"',
        "broker": '[mqtt.broker]\nurl = "mqtt://b.example"\nusername = "dockline"\npassword_file = "{file}"',
        "users": '[mqtt.listener]\nbind = "127.0.0.1:1884"\nusers_file = "{file}"',
    }
    planted = {kind: f"{PLANTED}-{kind}-{number}x" for number, kind in enumerate((*kinds, "cli"))}
    for kind, lines in kinds.items():
        file = tmp_path / kind
        file.write_text(f"hh-7:{planted[kind]}\n" if kind == "users" else f"{planted[kind]}\n")
        file.chmod(0o600)
        text = lines.replace("{file}", str(file))
        found.config.write_text(f"{found.config.read_text()}\n{text}\n")
    (tmp_path / "state" / "cli.token").write_text(planted["cli"])
    everything = " ".join(planted.values())
    found.config.write_text(f"{found.config.read_text()}\n# notes: {everything}\n")
    (tmp_path / "state" / planted["cli"]).touch()
    monkeypatch.setattr("gateway.doctor.bundle._log", lambda: f"journal: {everything}")
    ill = replace(
        found,
        settings=load_settings(found.config, must_run=False),
        problems=[f"a problem with {everything}"],
        status={
            "alarms": [],
            "upstreams": [],
            "said": everything,
            "url": "https://x.example/?api_key=nobody-knows-this&x=1",
        },
    )
    target = tmp_path / "bundle.tar.gz"
    names = write_bundle(target, ill, [Check("x", "y", "failed", everything, everything)])
    assert {"journal.txt", "problems.txt", "storage.txt", "gateway.toml", "status.json", "doctor.json"} <= set(names)
    with tarfile.open(target) as bundle:
        texts = {one.name: (bundle.extractfile(one) or os.devnull).read().decode() for one in bundle.getmembers()}  # type: ignore[union-attr]
    assert [name for name, text in texts.items() if PLANTED in text or "nobody-knows" in text] == []
    assert all(STRUCK_OUT in text for name, text in texts.items() if not name.endswith("outbox.json"))


def test_with_a_broken_file_the_folder_of_secrets_is_known_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "centre.token").write_text(f"{PLANTED}-kept\n")
    found = replace(patient(tmp_path), settings=None, problems=["a key is misspelt"])
    assert f"{PLANTED}-kept" in known_secrets(found)


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
    ("words", "name"),
    [
        (["/opt/dockline/current/bin/python3", "-c", "read x"], "/opt/dockline/current/bin/python3"),
        (["cat-dockline", "-c", "read x", "/home/dockline/gateway"], "cat-dockline"),
        (["/opt/dockline/current/bin/python3", "-c", "read x", "-sP", "-m", "gateway", "run"], "dockline"),
        (["/usr/bin/dockline", "-c", "read x"], "dockline"),
    ],
)
def test_a_folder_of_that_name_makes_no_program_the_gateway(words: list[str], name: str) -> None:
    """Whoever opened the port is told to look at the gateway, and the terminal program goes on eating scans."""
    master, slave = os.openpty()
    with subprocess.Popen(words, executable="/bin/sh", stdin=subprocess.PIPE, pass_fds=(slave,)) as program:
        found = holders_of(Path(os.ttyname(slave)))
        assert found == [f"{name} (pid {program.pid})"]
        assert [is_gateway(one) for one in found] == [name == "dockline"]
        program.communicate()
    os.close(slave)
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


def talking(read_s: float | None, heard_s: float | None) -> dict[str, Any]:
    device = {"id": "dock-3-scanner", "state": "up", "last_reading_age_s": read_s}
    link = {"device": "dock-3-scanner", "state": "up", "last_byte_age_s": heard_s, "last_error": None, "hint": None}
    return {"devices": [device], "links": [link], "knocking": [], "alarms": [], "upstreams": []}


@pytest.mark.parametrize(
    ("read_s", "heard_s", "state", "words"),
    [
        (None, None, "notice", "nothing was read since the start"),
        (None, 2.0, "warning", "last byte 2.0 s ago, and nothing of it was understood"),
        (4000.0, 2.0, "warning", "nothing of it was understood"),
        (30.0, 2.0, "ok", "last reading 30 s ago, last byte 2.0 s ago"),
        (4000.0, 4000.0, "ok", "last byte 67 min ago"),
    ],
)
def test_a_device_that_talks_and_is_not_understood_is_told_from_a_silent_one(
    tmp_path: Path, read_s: float | None, heard_s: float | None, state: str, words: str
) -> None:
    found = patient(tmp_path)
    found.config.write_text(
        f'{found.config.read_text()}\n[[device]]\nid = "dock-3-scanner"\nstation = "floor"\n'
        'driver = "tcp-scanner"\nurl = "tcp://10.0.0.8:2001"\n'
    )
    settings = load_settings(found.config, must_run=False)
    checks = check_devices(replace(found, settings=settings, status=talking(read_s, heard_s)))
    check = next(one for one in checks if one.subject == "dock-3-scanner")
    assert (check.state, words in check.evidence) == (state, True), check
    assert bool(check.action) is (state != "ok")


def handhelds(*heard: str, strangers: int = 0) -> dict[str, Any]:
    pattern = {"id": "hh-*", "state": "admits", "last_reading_age_s": None}
    others = [{"id": name, "state": "heard", "last_reading_age_s": 4.0 + at} for at, name in enumerate(heard)]
    knocking = [{"device": f"zz-{number}", "readings": number} for number in range(1, strangers + 1)]
    return {"devices": [pattern, *others], "links": [], "knocking": knocking, "alarms": [], "upstreams": []}


@pytest.mark.parametrize(
    ("heard", "state", "words"),
    [(["hh-1", "hh-2"], "ok", "admits; 2 heard, the last 4.0 s ago"), ([], "notice", "none was heard since the start")],
)
def test_a_pattern_is_as_well_as_those_it_admits(tmp_path: Path, heard: list[str], state: str, words: str) -> None:
    """It is never heard itself: "not heard" beside four handhelds at work sent people looking for a fault."""
    found = patient(tmp_path)
    settings = load_settings(found.config, must_run=False)
    (check,) = check_devices(replace(found, settings=settings, status=handhelds(*heard, "other-1")))
    assert (check.subject, check.state, words in check.evidence) == ("hh-*", state, True), check


def test_a_hundred_strangers_are_three_and_a_number(tmp_path: Path) -> None:
    found = patient(tmp_path)
    settings = load_settings(found.config, must_run=False)
    checks = list(check_devices(replace(found, settings=settings, status=handhelds("hh-1", strangers=100))))[1:]
    assert [check.subject for check in checks] == ["zz-1", "zz-2", "zz-3", "others"]
    assert checks[0].evidence == "1 reading refused: it is not in the configuration"
    assert checks[3].evidence == "97 more devices that are not in the configuration"
