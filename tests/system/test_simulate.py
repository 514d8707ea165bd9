"""`dockline simulate` and `dockline demo` as a tester meets them: ended from outside, in the wrong place, unheard."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from site_under_test import output_of

DOCKLINE = (sys.executable, "-m", "gateway")
BOUND_S = 60.0


@asynccontextmanager
async def running(*words: str, tmp: Path, until: bytes) -> AsyncIterator[Callable[[int], Awaitable[tuple[int, str]]]]:
    """Run a command until it has said `until`; lend what ends it by a signal: exit code, all that was said."""
    process = await asyncio.create_subprocess_exec(
        *(*DOCKLINE, *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"TMPDIR": str(tmp)},
    )
    assert process.stdout is not None
    said = await asyncio.wait_for(process.stdout.readuntil(until), BOUND_S)

    async def end(how: int) -> tuple[int, str]:
        process.send_signal(how)
        rest, _ = await asyncio.wait_for(process.communicate(), BOUND_S)
        assert process.returncode is not None
        return process.returncode, (said + rest).decode()

    try:
        yield end
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def gateways_of(folder: Path) -> list[str]:
    """Return the processes that run with a configuration somewhere below a folder."""
    found = (path.read_bytes().decode(errors="replace") for path in Path("/proc").glob("[0-9]*/cmdline"))
    return [line for line in found if str(folder) in line and "run" in line.split("\0")]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
async def test_a_demo_that_is_ended_leaves_no_gateway_behind(how: int, tmp_path: Path) -> None:
    """By a service manager, or by a terminal that is closed: its gateway would take scans for ever, unknown to all."""
    async with running("demo", "--scans", "40", tmp=tmp_path, until=b"the gateway takes scans\n") as end:
        assert gateways_of(tmp_path), "or this test does not see what it looks for"
        code, said = await end(how)
    assert (code, gateways_of(tmp_path), list(tmp_path.iterdir())) == (130, [], []), said
    assert "Traceback" not in said
    assert "never retrieved" not in said


@pytest.mark.parametrize(("words", "code"), [([], 130), (["--count", "0"], 0)])
async def test_a_scanner_that_is_ended_takes_its_port_along(words: list[str], code: int, tmp_path: Path) -> None:
    """The name left behind would soon be that of somebody's terminal, and a gateway would open it."""
    port = tmp_path / "dock-1"
    async with running("simulate", "scanner", str(port), *words, tmp=tmp_path, until=b'"ack-nak"\n') as end:
        assert port.is_char_device()
        assert await end(signal.SIGTERM) == (code, f"""\
driver = "serial-scanner"
url = "serial://{port}?baudrate=9600"
terminator = "\\r"
acknowledge = "ack-nak"
1 scan sent, 0 acknowledged
""")  # fmt: skip
    assert not port.is_symlink()


async def test_a_simulated_scanner_puts_itself_in_the_place_of_nothing(tmp_path: Path) -> None:
    port = tmp_path / "gateway.toml"
    port.write_text("precious")
    code, said = await output_of(*DOCKLINE, "simulate", "scanner", str(port))
    assert (code, said) == (1, f"cannot: {port} is there already; name another port, or remove it\n")
    assert port.read_text() == "precious"
    assert [one.name for one in tmp_path.iterdir()] == ["gateway.toml"]


async def test_a_scanner_says_codes_of_any_script_and_shows_what_is_in_them(tmp_path: Path) -> None:
    codes = ("--code", "Größe 5 €", "--code", "]C10110\x1d21")
    words = (
        "simulate",
        "scanner",
        str(tmp_path / "dock-1"),
        "--acknowledge",
        "none",
        "--count",
        "2",
        "--interval",
        "0",
    )
    code, said = await output_of(*DOCKLINE, *words, *codes)
    assert code == 0, said
    assert said.splitlines()[-3:] == ["Größe 5 €: sent", "]C10110\\x1d21: sent", "2 scans sent"]


@pytest.mark.parametrize("device", ["handheld", "rfid"])
async def test_a_device_that_reaches_nobody_says_so(device: str, tmp_path: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        port = taken.getsockname()[1]
        words = {"handheld": ("hh-1", "--site", "dc07", "--folder", str(tmp_path)), "rfid": ("portal-1",)}[device]
        wanted = f"127.0.0.1:{port}: [Errno 111] Connection refused; tries again\n"
        async with running("simulate", device, *words, "--port", str(port), tmp=tmp_path, until=wanted.encode()) as end:
            code, said = await end(signal.SIGINT)
    assert code == 130
    assert said.count(wanted) == 1
    assert re.search(r"answered: none; \d without an answer, kept in|\d+ tags passed, 0 acknowledged", said), said


async def test_a_site_that_is_stopped_early_gives_the_verdict_so_far(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    async with running("simulate", "site", str(folder), tmp=tmp_path, until=b"start the gateway now:") as end:
        code, said = await end(signal.SIGINT)
    assert code == 1
    assert "Stopped early: " in said
    assert "│ delivered       │ 0      │ are at the centre" in said
    assert list((folder / "dev").iterdir()) == []
    code, said = await output_of(*DOCKLINE, "simulate", "site", str(folder))
    assert (code, said.splitlines()[0]) == (1, f"{folder} is there already and not an empty folder")


def test_the_verdict_is_whole_on_a_narrow_terminal() -> None:
    from rich.console import Console

    from gateway.demo.view import ledger_table
    from simulators.ledger import Ledger
    from simulators.parts import PartsCount

    console = Console(width=40)
    with console.capture() as shown:
        console.print(ledger_table(Ledger(), PartsCount(371, 371)))
    assert "…" not in shown.get()
    assert "│ acknowledged    │ 0          │" in shown.get()
