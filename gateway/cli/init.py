"""`dockline init`: from a gateway that was just installed to one that takes scans."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.errors import EXIT_CONFIG, EXIT_DISK, EXIT_NOT_ALLOWED, EXIT_NOT_AS_HOPED, EXIT_USAGE, Failure
from gateway.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    InitDevices,
    InitListener,
    InitStations,
    InitTokens,
    InitUsers,
)

if TYPE_CHECKING:
    from gateway.cli.client import Json, Site
    from gateway.setup.access import NewUser
    from gateway.setup.draft import Draft
    from gateway.setup.install import Installed
    from gateway.setup.trial import Tried
    from gateway.wiring import World

SERVICE = "dockline"
TEST_SCAN_S = 120.0
RESTART_S = 330.0
"""Longer than the unit allows a start (TimeoutStartSec=)."""
EXAMPLE = "--upstream 'centre url=https://wms.example/v1/events token-file=centre.token'"


def init(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    site: Annotated[str | None, typer.Option(help="Id of the site.")] = None,
    gateway: Annotated[str | None, typer.Option(help="Id of this gateway within the site.")] = None,
    storage: Annotated[Path, typer.Option(help="Folder of the outbox.")] = Path("/var/lib/dockline"),
    station: InitStations = None,
    device: InitDevices = None,
    upstream: Annotated[
        list[str] | None,
        typer.Option("--upstream", metavar="WORDS", help="'NAME url=... token-file=...'; the secret is copied."),
    ] = None,
    broker: Annotated[
        str | None, typer.Option("--broker", help="'url=mqtt://... username=... password-file=...'.")
    ] = None,
    listener: InitListener = None,
    user: InitUsers = None,
    token: InitTokens = None,
    api: Annotated[str | None, typer.Option(help="Address of the local API, when it is not 127.0.0.1:8470.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: everything is in the options.")] = False,
    untested: Annotated[
        bool, typer.Option("--untested", help="With --yes: write it although something does not answer.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a file that is there; it is kept beside.")
    ] = False,
    scan_within: Annotated[
        float, typer.Option(min=1, max=3600, help="Seconds to wait for the test scan.")
    ] = TEST_SCAN_S,
    serial_folder: Annotated[Path, typer.Option(help="Where serial ports have lasting names.")] = Path(
        "/dev/serial/by-id"
    ),
) -> None:
    """Set this gateway up: ask, try each answer out, write the configuration, and wait for a first scan.

    With --yes nothing is asked. Passwords and tokens that are made up are shown once, at the end.

    Exit codes: 1 something does not answer (nothing is written), 78 the options make no
    configuration.
    """
    from gateway.cli.let_in import let_in
    from gateway.cli.run import real_world

    world = real_world()
    draft = _draft(site, gateway, storage, api)
    if not yes and not sys.stdin.isatty():
        raise Failure(
            "There is no terminal to ask at.", hint=f"give --yes and everything else: {EXAMPLE}", code=EXIT_USAGE
        )
    try:
        _check_writable(config)
        _check_there(config, replace=replace, may_ask=not yes)
        if yes:
            _fill(draft, station or [], device or [], upstream or [], broker=broker, config=config)
            users = let_in(draft, config, listener, user or [], token or [])
            _try_all(draft, config, world, users, must_work=not untested)
        else:
            _interview(draft, config, world, serial_folder)
        installed = _install(draft, config)
    except typer.Abort:
        print("\nNothing was written.")
        raise
    _tell(config, installed, draft)
    if not yes:
        _first_scan(config, scan_within)


def _draft(site: str | None, gateway: str | None, storage: Path, api: str | None) -> Draft:
    from gateway.setup.draft import Draft

    draft = Draft(storage={"path": str(storage)}, api={"bind": api} if api else {})
    if site is not None:
        draft.site["id"] = site
    if gateway is not None:
        draft.site["gateway"] = gateway
    return draft


def _check_writable(config: Path) -> None:
    """Raise Failure before the first question when the file could not be written after the last one."""
    import os

    folder = next(one for one in config.absolute().parents if one.exists())
    if not os.access(folder, os.W_OK):
        raise Failure(f"You may not write to {folder}.", hint="try sudo", code=EXIT_NOT_ALLOWED)


def _check_there(config: Path, *, replace: bool, may_ask: bool) -> None:
    if not config.exists() or replace:
        return
    if not may_ask:
        raise Failure(f"{config} is there already; nothing was changed.", hint="--replace keeps it beside the new one")
    print(f"{config} is there already. A new one takes its place, and it is kept beside it under another name.")
    typer.confirm("Go on?", default=_is_blank(config), abort=True)


def _is_blank(config: Path) -> bool:
    """Return whether it is the file that an installation leaves: nobody's work."""
    from gateway.settings import SettingsError, load_settings
    from gateway.settings.rules import NOTHING_YET

    try:
        return NOTHING_YET in load_settings(config, must_run=False).notices
    except SettingsError:
        return False


def _fill(
    draft: Draft, stations: list[str], devices: list[str], upstreams: list[str], *, broker: str | None, config: Path
) -> None:
    from drivers.mqtt_settings import BrokerSettings
    from gateway.settings.load import UPSTREAM_KINDS
    from gateway.settings.model import DeviceCommon, StationSettings
    from gateway.settings.profiles import profile_drivers
    from gateway.setup.words import WordsUnclear, device_table, table_of, with_secrets

    try:
        draft.stations = [table_of(text, StationSettings, first="id") for text in stations]
        drivers = profile_drivers(config)
        draft.devices = [device_table(text, DeviceCommon, drivers) for text in devices]
        for text in upstreams:
            table = table_of(text, UPSTREAM_KINDS["http-events"], first="name")
            draft.upstreams.append(with_secrets(table, str(table["name"])))
        if broker is not None:
            draft.broker = with_secrets(table_of(broker, BrokerSettings, first=None), "broker")
    except WordsUnclear as error:
        raise Failure(str(error), code=EXIT_USAGE) from None


def _interview(draft: Draft, config: Path, world: World, serial_folder: Path) -> None:
    from gateway.cli.interview import Interview
    from gateway.settings import SettingsError

    try:
        Interview(draft, config, world, serial_folder).hold()
    except SettingsError as error:
        raise Failure("\n".join(str(problem) for problem in error.problems), code=EXIT_CONFIG) from None
    lines = [line for line in draft.text(config.parent / "secrets").splitlines() if line and not line.startswith("#")]
    print("\n" + "\n".join(lines) + "\n")
    typer.confirm(f"Write this to {config}?", default=True, abort=True)


def _try_all(draft: Draft, config: Path, world: World, users: list[NewUser], *, must_work: bool) -> None:
    """Try everything out. Raises Failure when the options make no configuration, or when something does not answer."""
    import asyncio

    from gateway.cli.answers import bad, good
    from gateway.settings import Settings

    with draft.rehearsed(config) as found:
        if not isinstance(found, Settings):
            places = [f"{one.path}: {one.what}{f'; {one.suggestion}' if one.suggestion else ''}" for one in found]
            lines = "\n".join(place.removeprefix(": ") for place in places)
            raise Failure(f"{lines}\nNothing was written.", code=EXIT_CONFIG)
        tried = asyncio.run(_tried(found, world, users, config))
    silent = [name for name, one in tried if not one.works]
    for name, one in tried:
        (good if one.works else bad)(f"{name}: {one.text}{f' ({one.hint})' if one.hint else ''}")
    if silent and must_work:
        does = "does" if len(silent) == 1 else "do"
        text = f"{', '.join(silent)} {does} not work yet; nothing was written."
        raise Failure(text, hint="mend it, or write it all the same with --untested", code=EXIT_NOT_AS_HOPED)


async def _tried(settings: object, world: World, users: list[NewUser], config: Path) -> list[tuple[str, Tried]]:
    from gateway.settings import Settings
    from gateway.setup.trial import try_broker, try_device, try_listener, try_upstream

    assert isinstance(settings, Settings)
    found = [(one.name, await try_upstream(settings, one, world)) for one in settings.upstreams]
    for device in settings.devices:
        if (tried := await try_device(settings, device.id, world)) is not None:
            found.append((device.id, tried))
    if (tried := await try_broker(settings, world)) is not None:
        found.append(("broker", tried))
    if settings.mqtt.listener is not None:
        found.append(("listener", await try_listener(settings, world, users, config)))
    return found


def _install(draft: Draft, config: Path) -> Installed:
    from gateway.clock import wall_ms
    from gateway.settings import SettingsError
    from gateway.setup.install import install

    try:
        return install(draft, config, wall_ms=wall_ms())
    except SettingsError as error:
        lines = "\n".join(str(problem) for problem in error.problems)
        raise Failure(f"{lines}\nNothing was written.", code=EXIT_CONFIG) from None
    except PermissionError as error:
        raise Failure(f"{error.filename or config}: {error.strerror}", hint="try sudo", code=EXIT_NOT_ALLOWED) from None
    except OSError as error:
        raise Failure(f"{error.filename or config}: {error.strerror or error}", code=EXIT_DISK) from None


def _tell(config: Path, installed: Installed, draft: Draft) -> None:
    from gateway.cli.show import print_line

    print_line(f"\n{config} is written.", "green")
    for path in installed.secrets:
        print(f"{path} holds a secret; only its owner can read it.")
    for path in installed.kept:
        print(f"What was there before is {path}.")
    for notice in installed.settings.notices:
        print_line(f"note: {notice}", "yellow")
    if draft.handed:
        # On standard error, as `dockline token` has it: what is kept of the output holds no secret.
        print("\nShown once; keep them now:", file=sys.stderr)
        for whose, secret in draft.handed:
            print(f"  {whose}: {secret}", file=sys.stderr)


# -- the test scan


def _first_scan(config: Path, within_s: float) -> None:
    from gateway.cli.client import NoDaemon, Site
    from gateway.cli.show import plain, print_line

    if not _started(config):
        print("When it runs, scan something and look: dockline events tail")
        return
    site = Site(config)
    print(f"Now scan something with any device; waiting up to {within_s:.0f} s for it to arrive.")
    try:
        found = _await(site, within_s)
    except NoDaemon as nobody:
        raise Failure(str(nobody), hint="dockline check; journalctl -u dockline -n 50", code=nobody.code) from None
    if found is None:
        print_line("Nothing arrived.", "yellow")
        print("dockline devices list shows what each link says; dockline devices probe ID shows the bytes that come.")
        raise typer.Exit(EXIT_NOT_AS_HOPED)
    event = found["event"]
    kind = str(event["type"]).removeprefix("dockline.").removesuffix(".v1")
    code = (event["data"].get("item") or {}).get("code") or (event["data"].get("evidence") or {}).get("raw")
    print_line(f"It arrived and is on disk: {kind} at {plain(event['subject'])}, {plain(code)}.", "green")


def _await(site: Site, within_s: float) -> Json | None:
    from gateway.setup.first_scan import await_scan

    return await_scan(site, within_s)


def _started(config: Path) -> bool:
    """Return whether a daemon with this file is to be expected now."""
    import shutil
    import subprocess

    if config == DEFAULT_CONFIG and Path("/run/systemd/system").is_dir() and shutil.which("systemctl"):
        if not typer.confirm("Restart the service now, so that it uses this file?", default=True):
            return False
        try:
            done = subprocess.run(["systemctl", "restart", SERVICE], timeout=RESTART_S, check=False)
        except subprocess.TimeoutExpired:
            done = None
        if done is None or done.returncode:
            raise Failure("The service does not start.", hint="journalctl -u dockline -n 50")
        return True
    print(f"Start the gateway now, in another terminal: dockline run --config {config}")
    return typer.confirm("Does it run?", default=True)
