"""`dockline simulate`: the other end of every wire, one at a time, for testers without hardware.

Each command prints the lines to put into the configuration, works until it has done what was asked or until Ctrl-C
or SIGTERM, and then says what it heard. What keeps it from working it says on standard error. Nothing here is used by
the gateway itself.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway.cli.errors import Failure
from gateway.cli.playing import Trouble, check_labels, check_url, play, read_secret, tell

app = typer.Typer(help="Play a device, a centre or a whole site.", no_args_is_help=True)

Count = Annotated[int, typer.Option("--count", min=0, help="How many scans; 0 goes on until Ctrl-C.")]
Interval = Annotated[float, typer.Option("--interval", min=0, help="Seconds between two scans.")]
Codes = Annotated[
    list[str] | None,
    typer.Option("--code", metavar="LABEL", help="Labels to scan in turn; without it, labels with a token."),
]
Seed = Annotated[int, typer.Option("--seed", help="Draws everything that is left to chance.")]
Host = Annotated[str, typer.Option(help="Where the listener or broker is.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Its port.")]
JournalFile = Annotated[Path | None, typer.Option(help="Write down what the device did and heard, NDJSON.")]
PasswordFile = Annotated[Path | None, typer.Option(help="File with the device's password.")]


@app.command()
def scanner(
    link: Annotated[Path, typer.Argument(help="Name the serial port shall have, for example ./dock-1.")],
    *,
    count: Count = 10,
    interval: Interval = 0.5,
    code: Codes = None,
    acknowledge: Annotated[Literal["none", "ack-nak"], typer.Option(help="How it was set up.")] = "ack-nak",
    journal: JournalFile = None,
    seed: Seed = 1,
) -> None:
    """Play a barcode scanner on a pseudo-terminal; it says a scan again until it hears ACK.

    The name must be free: a file or a real port of that name stays as it is.
    """
    from simulators.journal import Journal
    from simulators.labels import labels
    from simulators.scanner import Scanner, ScannerHabits, scanner_summary
    from simulators.scanner_port import PtyPort

    async def scan() -> None:
        port = PtyPort(link.absolute())
        book = Journal(link.name, journal)
        device = Scanner(port, book, ScannerHabits(acknowledge=acknowledge), rng=random.Random(seed))
        try:
            await device.start()
            tell(f'driver = "serial-scanner"\nurl = "{port.url}"\nterminator = "\\r"\nacknowledge = "{acknowledge}"')
            async for label in labels(code, "s1", count, interval):
                tell(f"{label}: {await device.scan(label)}")
        finally:
            await device.close()
            if book.said("sent"):
                tell(scanner_summary(book.lines, hears=acknowledge != "none"))

    play(scan(), is_endless=count == 0)


@app.command()
def handheld(
    device: Annotated[str, typer.Argument(help="Device id, the user name at the gateway.")],
    *,
    site: Annotated[str, typer.Option(help="Site id of the gateway.")],
    host: Host = "127.0.0.1",
    port: Port = 1884,
    count: Count = 10,
    interval: Interval = 0.5,
    code: Codes = None,
    activity: Annotated[
        str | None, typer.Option(help="What the scans are for; the station decides without it.")
    ] = None,
    document: Annotated[str | None, typer.Option(help="Document the scans belong to.")] = None,
    password_file: PasswordFile = None,
    folder: Annotated[Path, typer.Option(help="Where it keeps scans that nobody acknowledged yet.")] = Path(),
    seed: Seed = 1,
) -> None:
    """Play a handheld over MQTT 5; it keeps every scan in a file until the gateway's acknowledgement names it.

    Exit code 1: something was refused.
    """
    from simulators.handheld import Handheld, HandheldPlan
    from simulators.labels import labels

    context = {name: value for name, value in (("activity", activity), ("document", document)) if value is not None}
    password = read_secret(password_file)
    check_labels(code)
    plan = HandheldPlan(device, site, port, host, username=device if password else None, password=password)
    trouble = Trouble()

    def look() -> None:
        line = player.journal.lines[-1]
        if line["what"] in ("refused", "disconnected"):
            trouble.tell(f"{host}:{port}: {line['why']}; tries again")
        elif line["what"] == "heard":
            trouble.over()

    try:
        player = Handheld(plan, folder, rng=random.Random(seed), on_line=look)
    except ValueError as error:
        raise Failure(str(error)) from None

    async def scan() -> None:
        try:
            async with player:
                async for label in labels(code, "h1", count, interval):
                    answer = await player.answer(player.scan(label, **context))
                    tell(f"{label}: {answer.result} ({answer.tone}) {answer.reason or ''}".rstrip())
                await player.all_answered()
        finally:
            tell(player.summary())

    play(scan(), is_endless=count == 0)
    if any(answer.result == "refused" for answer in player.answers.values()):
        raise typer.Exit(1)


@app.command()
def rfid(
    device: Annotated[str, typer.Argument(help="Device id, the client id at the gateway.")],
    *,
    host: Host = "127.0.0.1",
    port: Port = 1884,
    topic: Annotated[str, typer.Option(help="MQTT topic it publishes to.")] = "zebra/portal-1/tags",
    password_file: PasswordFile = None,
    url: Annotated[str | None, typer.Option(help="POST to this address instead of MQTT.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="Bearer token for --url.")] = None,
    pallets: Annotated[int, typer.Option(min=1, help="Pallets that pass.")] = 3,
    tags: Annotated[int, typer.Option(min=1, help="Tags on each pallet.")] = 20,
    shape: Annotated[Literal["single", "array"], typer.Option(help="One message a tag, or arrays.")] = "array",
    journal: JournalFile = None,
    seed: Seed = 1,
) -> None:
    """Play an RFID portal that speaks like a Zebra IoT Connector reader. Exit code 1: something was refused."""
    from simulators.journal import Journal
    from simulators.rfid import PassJournal, PortalClock, PortalPlan, passed_tags, portal_summary, run_portal
    from simulators.rfid_endpoint import HttpSender, MqttEndpoint, MqttSender, Unreached

    token, password = read_secret(token_file), read_secret(password_file)
    check_url(url)
    trouble = Trouble()

    async def drive() -> bool:
        end = MqttEndpoint(host, port, topic, device, username=device if password else None, password=password)
        sender = HttpSender(url, token=token) if url else MqttSender(end)

        sent = 0

        async def send(body: bytes) -> bool:
            nonlocal sent
            sent += 1
            try:
                taken = await sender(body)
            except Unreached as why:
                trouble.tell(f"{url or f'{host}:{port}'}: {why}; tries again")
                raise
            if taken:
                trouble.over()
            else:
                trouble.tell(f"{url or f'{host}:{port}'}: refused: {sender.refusal}")
            return taken

        book = Journal(device, journal)
        tell('driver = "rfid-reader"\nprofile = "zebra-iot-connector"' + ("" if url else f'\ntopic = "{topic}"'))
        plan = PortalPlan(pallets=pallets, tags_per_pallet=tags, shape=shape)
        clock = PortalClock(wall=lambda: time.time_ns() // 1_000_000)
        try:
            await run_portal(plan, send, PassJournal(book), clock, random.Random(seed))
        finally:
            await sender.aclose()
            tell(portal_summary(book.lines, sent))
        return any(tag.refused for tag in passed_tags(book.lines))

    if play(drive()):
        raise typer.Exit(1)


@app.command()
def plc(
    *,
    port: Port = 5020,
    interval: Annotated[
        float, typer.Option("--interval", min=0.001, help="Seconds between two parts, on average.")
    ] = 0.5,
    reset_chance: Annotated[float, typer.Option(min=0, max=1, help="Chance that somebody resets the counter.")] = 0.0,
    seconds: Annotated[float, typer.Option(min=0, help="How long; 0 goes on until Ctrl-C.")] = 0.0,
    journal: JournalFile = None,
    seed: Seed = 1,
) -> None:
    """Play a PLC that counts parts: a real Modbus TCP server on loopback."""
    from simulators.journal import Journal
    from simulators.plc import Plc, work
    from simulators.plc_signal import Signal

    async def count() -> None:
        counter = Signal("good_parts", 0, rollover=2**32)
        machine = Plc([counter], journal=Journal("plc", journal))
        await machine.start_tcp(port=port)
        tell(
            f'driver = "modbus-poller"\nurl = "modbus-tcp://127.0.0.1:{machine.port}?unit=1"\n'
            'points = [{ name = "good_parts", address = 0, type = "uint32", means = "count", rollover = 4294967296 }]'
        )
        try:
            async with asyncio.timeout(seconds or None):
                await work(
                    counter,
                    rng=random.Random(seed),
                    sleep=asyncio.sleep,
                    interval_s=interval,
                    reset_chance=reset_chance,
                )
        except TimeoutError:
            pass
        finally:
            await machine.stop()
            tell(f"{counter.total} parts counted; requests by function code: {dict(machine.functions)}")

    play(count(), is_endless=seconds == 0)


@app.command()
def centre(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 lets the system choose.")] = 8480,
    ledger: Annotated[Path | None, typer.Option(help="Keep the ledger in this file, NDJSON.")] = None,
    plan: Annotated[Path | None, typer.Option(help="Script of misbehaviour, JSON.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="Insist on this bearer token.")] = None,
    secret_file: Annotated[Path | None, typer.Option(help="Insist on Standard Webhooks signatures.")] = None,
    poison: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Reject events that hold this text.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Count only, for benchmarks.")] = False,
) -> None:
    """Play the centre: takes events, keeps a strict ledger, misbehaves by plan."""
    from simulators.centre_main import CentreOptions, run_centre

    options = CentreOptions(
        port=port,
        ledger=ledger,
        plan=plan,
        token_file=token_file,
        secret_file=secret_file,
        poison=tuple(poison or ()),
        fast=fast,
    )
    raise typer.Exit(run_centre(options))


@app.command()
def site(
    folder: Annotated[Path, typer.Argument(help="Where ports and journals go.")],
    *,
    listener_port: Annotated[int, typer.Option(min=1, max=65535, help="Listener of the gateway under test.")] = 1884,
    api_port: Annotated[int, typer.Option(min=0, max=65535, help="Its local API.")] = 8470,
    scans: Annotated[int, typer.Option(min=1, help="Scans of scanners and handhelds together.")] = 400,
    seconds: Annotated[float, typer.Option(min=1, help="About how long the devices are busy.")] = 60.0,
    seed: Seed = 1,
) -> None:
    """Play a whole site: writes FOLDER/gateway.toml, waits for a gateway that runs with it, and gives the verdict.

    FOLDER is new or empty: outbox and journals of an earlier site would be judged as well. Exit code 1: something is
    lost, doubled, invented, out of order, or not yet at the centre.
    """
    from gateway.cli.playing import check_empty
    from gateway.demo.configuration import demo_configuration
    from gateway.demo.verdict import SiteVerdict, site_verdict
    from simulators.site import Site, SitePlan

    check_empty(folder)
    verdict: SiteVerdict | None = None

    async def live() -> None:
        nonlocal verdict
        folder.mkdir(parents=True, exist_ok=True)
        home = folder.absolute()
        async with Site(home, SitePlan(seed=seed, scans=scans, seconds=seconds), listener_port=listener_port) as played:
            text = demo_configuration(home, played, listener=listener_port, api=api_port)
            (folder / "gateway.toml").write_text(text)
            tell(f"start the gateway now:  dockline run --config {folder / 'gateway.toml'}")
            try:
                await played.work()
                tell("every device has heard an answer to everything it said; Ctrl-C ends the wait for the centre")
                while not (verdict := site_verdict(played)).is_complete:
                    await played.centre.attempted(len(played.centre.attempts) + 1)
            finally:
                verdict = site_verdict(played)

    play(live(), is_endless=True)
    if verdict is None:
        raise KeyboardInterrupt  # before there was a site
    verdict.show()
    if not (verdict.holds and verdict.is_complete):
        raise typer.Exit(1)
