"""`dockline init` at a terminal and from options, with a scanner, a PLC and a centre that are really there."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from daemon_process import ROOT, GatewayProcess, command
from terminal import Terminal

from gateway.settings import Settings, load_settings
from simulators.centre import Centre, Policy
from simulators.plc import Plc
from simulators.plc_signal import Signal
from simulators.scanner_port import PtyPort, TcpServerPort

TOKEN = "t0ken-of-the-centre"
SECRET = "whsec_" + "c2VjcmV0" * 5
SCAN = b"]C1010952123454321310LOT\r"


@dataclass
class SiteToSetUp:
    """What stands around a gateway that has no configuration yet."""

    folder: Path
    scanner: PtyPort
    network_scanner: TcpServerPort
    plc: Plc
    centre: Centre

    @property
    def config(self) -> Path:
        return self.folder / "etc" / "gateway.toml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def settings(self) -> Settings:
        return load_settings(self.config, must_run=False)

    def secret(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def options(self, **change: str) -> list[str]:
        upstream = f"centre url={self.centre.url} token-file={self.secret('token', TOKEN)}"
        given = {
            "--site": "dc07",
            "--gateway": "dock-pc-1",
            "--storage": str(self.state),
            "--api": "127.0.0.1:0",
            "--station": "dock-3 activity=receipt",
            "--upstream": f"{upstream} signing-secret-file={self.secret('whsec', SECRET)}",
            "--device": f"dock-3-scanner station=dock-3 url={self.scanner.url} profile=scanner-generic-aim",
        } | change
        words = [word for option, value in given.items() if value for word in (option, value)]
        plc = f"press station=dock-3 url=modbus-tcp://127.0.0.1:{self.plc.port}?unit=1 point=good_parts:0:uint32:count"
        return ["init", "--config", str(self.config), *words, "--device", plc, "--yes"]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[SiteToSetUp]:
    scanner = PtyPort(tmp_path / "by-id" / "usb-Zebra_DS3608-if00")
    network = TcpServerPort()
    await scanner.plug()
    await network.plug()
    plc = Plc([Signal("good_parts", 0)])
    await plc.start_tcp()
    async with Centre(Policy(token=TOKEN, secret=SECRET)) as centre:
        yield SiteToSetUp(tmp_path, scanner, network, plc, centre)
    await plc.stop()
    await network.unplug()
    await scanner.unplug()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_technician_is_led_from_nothing_to_the_first_scan(site: SiteToSetUp) -> None:
    """Every wrong answer is asked for again with a sentence; at the end a scan is seen where it arrives."""
    words = ["init", "--config", str(site.config), "--api", "127.0.0.1:0", "--storage", str(site.state)]
    async with Terminal(*words, "--serial-folder", str(site.folder / "by-id")) as terminal:
        await terminal.answers("Id of the site", "DC 07")
        await terminal.sees('did you mean "dc-07"?')
        await terminal.answers("Id of the site", "dc07")
        await terminal.answers("Id of this gateway", "dock-pc-1")
        await terminal.answers("Folder for events", "")
        await answer_upstreams(terminal, site)
        await terminal.answers("Id of the station", "dock-3")
        await terminal.answers("What a scan means", "recipt")
        await terminal.sees('did you mean "receipt"?')
        await terminal.answers("What a scan means", "receipt")
        await terminal.answers("Another station?", "n")
        await answer_devices(terminal, site)
        await terminal.answers("Name of a person (empty: nobody yet)", "")
        await terminal.answers("Write this to", "y")
        shown = await terminal.sees("Does it run?")
        assert "is written" in shown
        daemon = GatewayProcess(site.folder, "")
        daemon.config = site.config
        try:
            await asyncio.to_thread(daemon.start)
            terminal.press("y\n")
            await terminal.sees("Now scan something")
            await until_heard(site, terminal)
            assert await terminal.ended() == 0
            assert await asyncio.to_thread(daemon.stop) == 0
        finally:
            daemon.close()
        assert TOKEN not in terminal.text and SECRET not in terminal.text
    settings = site.settings()
    assert [one.id for one in settings.devices] == ["dock-3-scanner", "gate", "press"]
    assert mode(site.config) == 0o640
    assert {path.name: mode(path) for path in (site.config.parent / "secrets").iterdir()} == {
        "centre.token": 0o600, "centre.whsec": 0o600}  # fmt: skip


async def answer_upstreams(terminal: Terminal, site: SiteToSetUp) -> None:
    """First a wrong address, then a wrong token, then a wrong secret."""
    for url, token, secret, refusal in (
        ("wms.example", None, None, "must be a URL"),
        (site.centre.url + "/nowhere", TOKEN, SECRET, "404"),
        (site.centre.url, "another", SECRET, "401"),
        (site.centre.url, TOKEN, "whsec_" + "b3RoZXIt" * 5, "401"),
        (site.centre.url, TOKEN, SECRET, None),
    ):
        if refusal == "must be a URL":
            await terminal.answers("Name of the centre", "")
            await terminal.answers("Address that takes events", url)
            await terminal.sees(refusal)
            continue
        if refusal != "404":
            await terminal.answers("Name of the centre", "")
        await terminal.answers("Address that takes events", url)
        await terminal.answers("Token it gave you (not shown; empty: none): ", token or "")
        await terminal.answers("Signing secret, whsec_... (not shown; empty: none): ", secret or "")
        await terminal.answers("Address that says how far", "")
        if refusal is not None:
            await terminal.sees(refusal)
            await terminal.answers("Keep it all the same?", "n")
    await terminal.sees("lets us in")
    await terminal.answers("Another one?", "n")


async def answer_devices(terminal: Terminal, site: SiteToSetUp) -> None:
    await terminal.sees("1  usb-Zebra_DS3608-if00 (Zebra)")
    await terminal.answers("Which one", "7")
    await terminal.sees('"7" is none of these')
    await terminal.answers("Which one", "1")
    await terminal.answers("Baud rate", "fast")
    await terminal.sees('"fast" is no number')
    await terminal.answers("Baud rate", "")
    await terminal.answers("Id of the scanner", "")
    await terminal.answers("Its profile", "zebra-ds36")
    await terminal.sees('did you mean "zebra-ds3608"?')
    await terminal.answers("Its profile", "scanner-generic-aim")
    await terminal.sees("opens at 9600 baud")
    await terminal.answers("Which one", "n")
    await terminal.answers("Address of the scanner", site.network_scanner.url.removeprefix("tcp://"))
    await terminal.answers("Id of it", "gate")
    await terminal.sees("accepts connections")
    for port, reads in ((9, False), (site.plc.port, True)):
        await terminal.answers("Which one", "p")
        await terminal.answers("Address of the PLC", f"127.0.0.1:{port}")
        await terminal.answers("Unit (slave) number", "")
        await terminal.answers("A value to read", "good parts")
        await terminal.sees("is not NAME:ADDRESS:TYPE")
        await terminal.answers("A value to read", "good_parts:0:uint32:count")
        await terminal.answers("A value to read", "")
        await terminal.answers("Id of the PLC", "press")
        await terminal.sees("unit 1 answers" if reads else "cannot open 127.0.0.1:9")
        if not reads:
            await terminal.answers("Keep it all the same?", "n")
    await terminal.answers("Which one", "d")


async def until_heard(site: SiteToSetUp, terminal: Terminal) -> None:
    """Scan until it is seen: the tail begins a moment after it is announced."""
    seen = asyncio.ensure_future(terminal.sees("It arrived and is on disk: receipt at dock-3"))
    while not seen.done():
        site.scanner.write(SCAN)
        await asyncio.wait({seen}, timeout=1)
    await seen


async def test_who_leaves_has_changed_nothing(site: SiteToSetUp) -> None:
    async with Terminal("init", "--config", str(site.config)) as terminal:
        await terminal.answers("Id of the site", "dc07")
        await terminal.sees("Id of this gateway")
        terminal.press("\x03")
        await terminal.sees("Nothing was written.")
        assert await terminal.ended() == 130
    assert not site.config.parent.exists()


async def told(words: list[str]) -> tuple[int, str, str]:
    done = await asyncio.to_thread(command, *words)
    return done.returncode, done.stdout, done.stderr


async def test_without_questions_everything_comes_from_options(site: SiteToSetUp) -> None:
    code, out, err = await told(site.options())
    assert code == 0, err
    assert "ok: press: unit 1 answers" in out
    settings = site.settings()
    (upstream,) = settings.upstreams
    assert upstream.token_file is not None and upstream.token_file.read_text() == TOKEN + "\n"
    assert (mode(upstream.token_file), mode(upstream.token_file.parent), mode(site.config)) == (0o600, 0o700, 0o640)
    text = site.config.read_text()
    assert TOKEN not in text and SECRET not in text
    assert "# What a scan here means; absent: an observation.\nactivity = " in text
    assert site.centre.ledger.events == []
    assert (await told(["check", "--config", str(site.config)]))[0] == 0


async def test_the_doctor_tries_the_credential_that_was_given(site: SiteToSetUp) -> None:
    assert (await told(site.options()))[0] == 0

    async def access() -> dict[str, str]:
        _, out, _ = await told(["doctor", "--json", "--config", str(site.config)])
        return next(one for one in json.loads(out)["checks"] if one["area"] == "access")  # type: ignore[no-any-return]

    assert ((await access())["state"], "lets us in" in (await access())["evidence"]) == ("ok", True)
    (site.config.parent / "secrets" / "centre.token").write_text("renewed\n")
    found = await access()
    assert (found["state"], "401" in found["evidence"], bool(found["action"])) == ("failed", True, True)
    assert site.centre.ledger.events == []


async def test_a_file_that_is_there_is_replaced_only_when_told_and_kept(site: SiteToSetUp) -> None:
    assert (await told(site.options()))[0] == 0
    before = site.config.read_text()
    token = site.config.parent / "secrets" / "centre.token"
    code, _, err = await told(site.options(**{"--site": "dc08"}))
    assert (code, "is there already; nothing was changed" in err) == (1, True)
    assert site.config.read_text() == before
    assert (await told([*site.options(**{"--site": "dc08"}), "--replace"]))[0] == 0
    assert site.settings().site.id == "dc08"
    (kept,) = site.config.parent.glob("gateway.toml.before-*")
    assert kept.read_text() == before
    (old,) = token.parent.glob("centre.token.before-*")
    assert (old.read_text(), mode(old)) == (TOKEN + "\n", 0o600)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"--site": "DC 07"}, 78, 'did you mean "dc-07"?'),
        ({"--station": "dock-3 activity=recipt"}, 78, 'did you mean "receipt"?'),
        ({"--upstream": ""}, 78, "no [[upstream]]"),
        ({"--device": "x station=dock-4"}, 78, 'there is no station "dock-4"'),
        ({"--device": "x station=dock-3 url=serial:///dev/ttyNONE"}, 1, "x does not work yet; nothing was written."),
        ({"--upstream": "centre url=http://127.0.0.1:9/"}, 1, "centre does not work yet"),
        ({"--device": "x=1"}, 64, "must begin with the id"),
        ({"--device": "x station"}, 64, "is not key=value"),
        ({"--device": "x point=a"}, 64, "is not NAME:ADDRESS:TYPE"),
        ({"--device": "x 'station=y"}, 64, "a quotation mark is not closed"),
        ({"--upstream": "centre token-file=/nowhere"}, 64, "token_file: /nowhere: No such file"),
    ],
)
async def test_options_that_make_no_gateway_write_nothing(
    site: SiteToSetUp, change: dict[str, str], code: int, words: str
) -> None:
    found, _, err = await told(site.options(**change))
    assert (found, words in err) == (code, True), err
    assert not site.config.exists()


async def test_what_does_not_answer_yet_is_written_when_told(site: SiteToSetUp) -> None:
    """A cabinet is prepared in the workshop, far from its scanner."""
    await site.scanner.unplug()
    assert (await told(site.options()))[0] == 1
    code, out, _ = await told([*site.options(), "--untested"])
    assert (code, "no: dock-3-scanner:" in out) == (0, True)
    assert site.settings().devices[0].id == "dock-3-scanner"


async def test_without_a_terminal_there_are_no_questions(site: SiteToSetUp) -> None:
    code, _, err = await told(["init", "--config", str(site.config)])
    assert (code, err.splitlines()[0]) == (64, "There is no terminal to ask at.")


async def test_a_folder_that_may_not_be_written_is_said(site: SiteToSetUp) -> None:
    (site.folder / "etc").write_text("a file where a folder should be")
    code, _, err = await told(site.options())
    assert (code, "etc" in err, "Traceback" in err) == (74, True, False)


async def test_the_file_of_an_installation_is_nobody_s_work(site: SiteToSetUp) -> None:
    """Enter is enough to go on from it; not from one that somebody wrote."""
    site.config.parent.mkdir()
    first = (ROOT / "config" / "first-start.toml").read_text()
    for text, goes_on in ((first, True), (f'{first}\n[[station]]\nid = "dock-3"\n', False)):
        site.config.write_text(text)
        async with Terminal("init", "--config", str(site.config)) as terminal:
            await terminal.answers("Go on?", "")
            await terminal.sees("Id of the site" if goes_on else "Nothing was written.")
