"""The parts of a set-up that no terminal is needed for: who owns what, what is plugged in, words into tables."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.settings import SettingsError
from gateway.settings.model import DeviceCommon
from gateway.setup import install as installing
from gateway.setup.draft import Draft, Secret, problems_at
from gateway.setup.install import install
from gateway.setup.plugged import listening_ports, plugged_in
from gateway.setup.words import device_table, point_of

UPSTREAM = {"name": "centre", "url": "http://127.0.0.1:9/v1/events"}


def draft(folder: Path) -> Draft:
    return Draft(
        site={"id": "dc07", "gateway": "dock-pc-1"},
        storage={"path": str(folder / "state")},
        upstreams=[{**UPSTREAM, "token_file": Secret("centre.token", "t0ken\n")}],
    )


def test_under_root_the_service_may_read_its_files_and_change_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners: dict[str, tuple[int, int]] = {}

    def note(target: int | Path, user: int, group: int) -> None:
        path = Path(f"/proc/self/fd/{target}").readlink() if isinstance(target, int) else target
        owners[path.name] = (user, group)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", note)
    monkeypatch.setattr(os, "fchown", note)
    monkeypatch.setattr(installing.pwd, "getpwnam", lambda _: SimpleNamespace(pw_uid=901))
    monkeypatch.setattr(installing.grp, "getgrnam", lambda _: SimpleNamespace(gr_gid=902))
    monkeypatch.setattr("gateway.settings.rules.check_secret_owner", lambda *_: None)  # it was given away on paper only
    installed = install(draft(tmp_path), tmp_path / "etc" / "gateway.toml", wall_ms=1_795_248_000_000)
    assert owners == {
        "etc": (-1, 902),
        ".gateway.toml.new": (-1, 902),
        "secrets": (901, 902),
        ".centre.token.new": (901, 902),
    }
    assert installed.secrets == (tmp_path / "etc" / "secrets" / "centre.token",)


def test_what_the_loader_refuses_leaves_everything_as_it_was(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    install(draft(tmp_path), config, wall_ms=0)
    before = config.read_text()
    wrong = draft(tmp_path)
    wrong.upstreams[0]["token_file"] = Secret("centre.token", "another\n")
    wrong.site["id"] = "DC 07"
    with pytest.raises(SettingsError):
        install(wrong, config, wall_ms=0)
    assert config.read_text() == before
    assert (tmp_path / "secrets" / "centre.token").read_text() == "t0ken\n"
    assert sorted(path.name for path in (tmp_path / "secrets").iterdir()) == ["centre.token"]
    assert not (tmp_path / ".gateway.toml.new").exists()


def test_text_that_toml_wants_escaped_comes_back(tmp_path: Path) -> None:
    odd = draft(tmp_path)
    odd.stations.append({"id": "dock-3", "location": 'a "quoted" \\ \t \x7f place'})
    with odd.rehearsed(tmp_path / "gateway.toml") as found:
        assert problems_at(found, "station[1]") == []
        assert found.stations[0].location == odd.stations[0]["location"]  # type: ignore[union-attr]


def test_a_port_is_listed_with_its_maker(tmp_path: Path) -> None:
    by_id, sys = tmp_path / "by-id", tmp_path / "sys"
    usb = sys / "devices" / "1-1"
    (usb / "1-1:1.0" / "tty").mkdir(parents=True)
    (usb / "idVendor").write_text("0C2E\n")
    for name in ("ttyACM0", "ttyUSB1"):
        (tmp_path / name).touch()
        (sys / name).mkdir()
    (sys / "ttyACM0" / "device").symlink_to(usb / "1-1:1.0")
    by_id.mkdir()
    (by_id / "usb-Metrologic_Scanner-if00").symlink_to(tmp_path / "ttyACM0")
    (by_id / "usb-1a86_USB2.0-Serial-if00").symlink_to(tmp_path / "ttyUSB1")
    ports = {port.path.name: (port.maker, port.profile) for port in plugged_in(by_id, sys)}
    assert ports == {
        "usb-1a86_USB2.0-Serial-if00": (None, None),
        "usb-Metrologic_Scanner-if00": ("Honeywell", "honeywell-1450g"),
    }
    assert plugged_in(tmp_path / "nowhere", sys) == []


async def test_scanners_that_listen_are_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as scanner, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # taken, and nobody listens on it
        here, nobody = scanner.getsockname()[1], bound.getsockname()[1]
        assert await listening_ports("127.0.0.1", (nobody, here)) == [here]


def test_the_driver_follows_from_the_url() -> None:
    for url, driver in (
        ("serial:///dev/ttyS0", "serial-scanner"),
        ("socket://10.0.0.7:4001", "serial-scanner"),
        ("tcp-listen://0.0.0.0:2001", "tcp-scanner"),
        ("modbus-rtu:///dev/ttyS0", "modbus-poller"),
    ):
        assert device_table(f"x station=y url={url}", DeviceCommon)["driver"] == driver
    handheld = device_table("hh-* station=floor silent_after_s=60 enabled=false", DeviceCommon)
    assert (handheld["driver"], handheld["silent_after_s"], handheld["enabled"]) == ("handheld", 60, False)
    scanner = device_table("x station=12 url=tcp://h:1 idle-gap-s=0.5 encoding=latin-1", DeviceCommon)
    assert (scanner["station"], scanner["idle_gap_s"], scanner["encoding"]) == ("12", 0.5, "latin-1")
    assert list(scanner)[:4] == ["id", "station", "driver", "url"]


def test_a_value_of_a_plc_is_one_word() -> None:
    assert point_of("door:7:bool:condition:coil") == {
        "name": "door", "address": 7, "type": "bool", "means": "condition", "table": "coil"}  # fmt: skip
