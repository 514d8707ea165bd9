"""`dockline init` about who may come in: handhelds and readers over MQTT and HTTP, people on the page."""

from __future__ import annotations

import asyncio
import re
import socket
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from daemon_process import GatewayProcess, command
from mqtt_certificates import Authority
from terminal import Terminal

from drivers.mqtt_settings import ListenerSettings
from drivers.password_file import PasswordFile
from gateway.settings import Settings, load_settings
from gateway.setup.guest import NotLetIn, knock
from gateway.web.auth import read_tokens
from simulators.centre import Centre

PASSWORD = "typed-by-a-person"


@dataclass
class Place:
    """A computer without a configuration, and a centre."""

    folder: Path
    centre: Centre
    port: int
    """Free."""

    @property
    def config(self) -> Path:
        return self.folder / "etc" / "gateway.toml"

    @property
    def secrets(self) -> Path:
        return self.config.parent / "secrets"

    def settings(self) -> Settings:
        return load_settings(self.config, must_run=False)

    def listener(self) -> ListenerSettings:
        found = self.settings().mqtt.listener
        assert isinstance(found, ListenerSettings)
        return found

    def options(self, *more: str) -> list[str]:
        return [
            "init", "--yes", "--config", str(self.config), "--storage", str(self.folder / "state"), "--site", "dc07",
            "--gateway", "dock-pc-1", "--api", "127.0.0.1:0", "--station", "floor activity=pick",
            "--upstream", f"centre url={self.centre.url}", "--device", "hh-* station=floor", *more,
        ]  # fmt: skip

    async def init(self, *more: str) -> tuple[int, str, str]:
        done = await asyncio.to_thread(command, *self.options(*more))
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with Centre() as centre:
        yield Place(tmp_path, centre, port)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    made, key = Authority(tmp_path).create().issue("dock-pc-1", host="127.0.0.1")
    key.chmod(0o600)
    return made, key


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_technician_lets_handhelds_a_reader_and_a_person_in(
    place: Place, certificate: tuple[Path, Path]
) -> None:
    """Wrong answers first; what was made up is shown once, and the real gateway lets everybody in with it."""
    words = ["init", "--config", str(place.config), "--api", "127.0.0.1:0", "--storage", str(place.folder / "state")]
    async with Terminal(*words, "--serial-folder", str(place.folder / "by-id")) as terminal:
        await answer_site(terminal, place)
        await terminal.answers("Which one", "h")
        await terminal.answers("Id of one handheld", "")
        await terminal.answers("Which one", "r")
        await terminal.answers("Id of the reader", "")
        await terminal.sees("zebra-iot-connector")
        await terminal.answers("Its profile", "")
        await terminal.answers("MQTT topic it publishes to", "zebra/portal/#")
        await terminal.sees("no: ")
        await terminal.answers("MQTT topic it publishes to", "zebra/portal")
        await terminal.answers("Which one", "d")
        await refuse_a_broker(terminal)
        await refuse_a_port(terminal, certificate)
        await answer_listener(terminal, place)
        await terminal.answers("Name of a person (empty: nobody yet)", "anna")
        await terminal.answers("Role", "boss")
        await terminal.sees('"boss" is none of viewer, operator, technician, admin')
        await terminal.answers("Role", "")
        await terminal.answers("Another person (empty: nobody)", "")
        await terminal.answers("Write this to", "y")
        shown = await terminal.sees("Start the gateway now")
        await terminal.answers("Does it run?", "n")
        assert await terminal.ended() == 0
        assert PASSWORD not in terminal.text
    made_up = re.findall(r"Password of (\S+): (\S+)", shown)
    assert [name for name, _ in made_up] == ["floor-portal"]
    (token,) = re.findall(r"Token of anna \(operator\): (dkl_\S+)", shown)
    assert [(one.name, one.role, one.device) for one in read_tokens(place.secrets / "tokens.toml")] == [
        ("hh-1", "device", "hh-1"), ("floor-portal", "device", "floor-portal"), ("anna", "operator", None)]  # fmt: skip
    assert {path.name: mode(path) for path in place.secrets.iterdir()} == {
        "devices.passwd": 0o600, "tokens.toml": 0o600}  # fmt: skip
    written = place.config.read_text() + (place.secrets / "devices.passwd").read_text()
    assert all(secret not in written for secret in (PASSWORD, made_up[0][1], token))
    assert "# Who may connect, in the format of mosquitto_passwd" in written
    await everybody_comes_in(place, [("hh-1", PASSWORD), *made_up], token)


async def answer_site(terminal: Terminal, place: Place) -> None:
    await terminal.answers("Id of the site", "dc07")
    await terminal.answers("Id of this gateway", "dock-pc-1")
    await terminal.answers("Folder for events", "")
    await terminal.answers("Name of the centre", "")
    await terminal.answers("Address that takes events", place.centre.url)
    await terminal.answers("Token it gave you (not shown; empty: none): ", "")
    await terminal.answers("Signing secret, whsec_... (not shown; empty: none): ", "")
    await terminal.answers("Address that says how far", "")
    await terminal.answers("Another one?", "")
    await terminal.answers("Id of the station", "floor")
    await terminal.answers("What a scan means", "pick")
    await terminal.answers("Another station?", "")


async def refuse_a_broker(terminal: Terminal) -> None:
    await terminal.sees("How handhelds and readers reach this gateway")
    await terminal.answers("Which one", "2")
    await terminal.answers("Broker that devices publish to", "mqtt://127.0.0.1:9")
    await terminal.answers("User on it", "")
    await terminal.sees("cannot reach the broker")
    await terminal.answers("Keep it all the same?", "n")


async def refuse_a_port(terminal: Terminal, certificate: tuple[Path, Path]) -> None:
    """Off loopback TLS is asked for; nothing is opened there, because the port is somebody's."""
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        await terminal.answers("Which one", "1")
        await terminal.answers("Address and port to listen on", "1884")
        await terminal.sees("is not an address and a port")
        await terminal.answers("Address and port to listen on", f"0.0.0.0:{somebody.getsockname()[1]}")
        await terminal.answers("Certificate (PEM file)", "/nowhere.pem")
        await terminal.sees("does not exist")
        await terminal.answers("Certificate (PEM file)", str(certificate[0]))
        await terminal.answers("Its key (PEM file)", str(certificate[0]))
        await terminal.sees("(mode 0644)")
        await terminal.answers("Its key (PEM file)", str(certificate[1]))
        await terminal.answers("Its user name, which is its device id", "scanner-9")
        await terminal.sees("No device is called so; there are: hh-*, floor-portal")
        await terminal.answers("Its user name, which is its device id", "")
        await terminal.answers("Its password (not shown; empty: one is made up and shown at the end): ", "")
        await terminal.answers("Its user name, which is its device id", "")
        await terminal.answers("Its password (not shown; empty: one is made up and shown at the end): ", "")
        await terminal.answers("Another one?", "")
        await terminal.sees("another program listens there")
        await terminal.answers("Keep it all the same?", "")


async def answer_listener(terminal: Terminal, place: Place) -> None:
    await terminal.answers("Which one", "")
    await terminal.answers("Address and port to listen on", f"127.0.0.1:{place.port}")
    await terminal.answers("Its user name, which is its device id", "hh-1")
    await terminal.answers("Its password (not shown; empty: one is made up and shown at the end): ", PASSWORD)
    await terminal.answers("Its user name, which is its device id", "")
    await terminal.answers("Its password (not shown; empty: one is made up and shown at the end): ", "")
    await terminal.answers("Another one?", "")
    await terminal.sees(f"listens on 127.0.0.1:{place.port} and lets hh-1 in")
    await terminal.answers("Which one", "3")
    await terminal.answers("Device that gets a token", "")
    await terminal.answers("Device that gets a token", "")
    await terminal.answers("Another one?", "")
    await terminal.sees("HTTP is for this PC alone")
    await terminal.answers("Which one", "")


async def everybody_comes_in(place: Place, users: list[tuple[str, str]], token: str) -> None:
    daemon = GatewayProcess(place.folder, "")
    daemon.config = place.config
    try:
        await asyncio.to_thread(daemon.start)
        for name, password in users:
            await knock(("127.0.0.1", place.port), name, password, is_tls=False)
        with pytest.raises(NotLetIn):
            await knock(("127.0.0.1", place.port), "hh-1", "another", is_tls=False)
        acted = await asyncio.to_thread(
            daemon.ask, "POST", "/v1/stations/floor/scans", {"id": "t-1", "code": "CARTON"}, token=token
        )
        assert acted.status == 200, acted.body
        assert await asyncio.to_thread(daemon.stop) == 0
    finally:
        daemon.close()


async def test_the_same_comes_from_options_with_tls(place: Place, certificate: tuple[Path, Path]) -> None:
    given = place.folder / "hh-1.password"
    given.write_text(PASSWORD + "\n")
    code, out, err = await place.init(
        "--device", "portal station=floor profile=zebra-iot-connector topic=zebra/portal",
        "--listener", f"127.0.0.1:{place.port} certificate={certificate[0]} key={certificate[1]} connections-max=64",
        "--user", f"hh-1 password-file={given}", "--user", "portal",
        "--token", "anna", "--token", "hh-7 role=device",
    )  # fmt: skip
    assert code == 0, err
    assert f"ok: listener: listens on 127.0.0.1:{place.port} and lets hh-1 in" in out
    assert "dkl_" not in out and PASSWORD not in out + err
    assert [one.driver for one in place.settings().devices] == ["handheld", "rfid-reader"]
    listener = place.listener()
    assert (listener.certificate, listener.key, listener.connections_max) == (*certificate, 64)
    assert listener.users_file is not None
    users, ((name, password),) = PasswordFile(listener.users_file), re.findall(r"Password of (\S+): (\S+)", err)
    assert users.verify("hh-1", PASSWORD.encode()) and users.verify(name, password.encode())
    entries = read_tokens(place.secrets / "tokens.toml")
    assert [(one.name, one.role, one.device) for one in entries] == [
        ("anna", "operator", None), ("hh-7", "device", "hh-7")]  # fmt: skip
    assert len(re.findall("dkl_", err)) == 2


async def test_tokens_that_were_given_out_stay_valid(place: Place) -> None:
    assert (await place.init("--token", "anna"))[0] == 0
    assert (await place.init("--token", "berta role=viewer", "--replace"))[0] == 0
    assert [one.name for one in read_tokens(place.secrets / "tokens.toml")] == ["anna", "berta"]


async def test_the_port_of_the_gateway_that_runs_is_its_own(place: Place) -> None:
    """Somebody sets up anew what runs: that the old one still listens is no reason to refuse."""
    listen = ("--listener", f"127.0.0.1:{place.port}", "--user", "hh-1")
    assert (await place.init(*listen))[0] == 0
    with socket.create_server(("127.0.0.1", place.port)):
        code, out, err = await place.init(*listen, "--replace")
    assert (code, "lets hh-1 in" in out) == (0, True), err


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (("--listener", "1884"), 78, "is not an address and a port"),
        (("--listener", "127.0.0.1:1884"), 78, "nobody could connect"),
        (("--listener", "0.0.0.0:1884", "--user", "hh-1"), 78, "has no TLS"),
        (("--user", "hh-1"), 64, "--listener 127.0.0.1:1884"),
        (("--listener", "127.0.0.1:1884", "--user", "x-1"), 64, "no --device is called so"),
        (("--listener", "127.0.0.1:1884", "--user", "hh-1 password=a"), 64, "password-file="),
        (("--token", "anna role=boss"), 64, "one of device, viewer, operator"),
        (("--token", "anna role=viewer device=hh-1"), 64, "speaks for no device"),
        (("--listener", "192.0.2.1:1884 certificate={cert} key={key}", "--user", "hh-1"), 1, "has no such address"),
    ],
)
async def test_what_lets_nobody_in_is_not_written(
    place: Place, certificate: tuple[Path, Path], more: tuple[str, ...], code: int, words: str
) -> None:
    named = [word.format(cert=certificate[0], key=certificate[1]) for word in more]
    found, out, err = await place.init(*named)
    assert (found, words in out + err) == (code, True), out + err
    assert not place.config.exists()
