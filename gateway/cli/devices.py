"""`dockline devices`: what is configured, how it is, who holds its port, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.completion import complete_device, say_unknown
from gateway.cli.errors import EXIT_NOT_AS_HOPED, EXIT_USAGE, Failure
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, StationOption, TokenOption

if TYPE_CHECKING:
    from gateway.cli.client import Json, Site
    from gateway.cli.listening import Heard, Wanted

app = typer.Typer()
LISTEN_S = 5.0
WHAT_CHARACTERS_MAX = 80


@app.command("list")
def list_devices(
    *,
    station: StationOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    token_file: TokenOption = None,
) -> None:
    """List devices with their health and the age of the last byte. Without a daemon: what the file says."""
    from gateway.cli.client import NoDaemon, Site
    from gateway.cli.show import age, plain, print_json, print_line, print_table

    site = Site(config, token_file)
    try:
        found = _told(site.get("/v1/status"))
    except NoDaemon as nobody:
        found = _configured(config)
        if not as_json:
            print_line(str(nobody), "red")
    rows = [one for one in found if station is None or one["station"] == station]
    if as_json:
        print_json(rows)
        return
    heads = ("device", "station", "driver", "state", "last byte", "last reading")
    ages = ("last_byte_age_s", "last_reading_age_s")
    shown = [
        (*(one[key] for key in ("id", "station", "driver", "state")), *(age(one[key]) for key in ages)) for one in rows
    ]
    print_table("Devices", heads, shown)
    if not shown:
        say_unknown(config, station=station)
    for one in rows:
        if one["last_error"] and one["state"] not in {"up", "heard"}:
            hint = f" ({one['hint']})" if one["hint"] else ""
            print_line(plain(f"{one['id']}: {one['last_error']}{hint}"), "yellow")


def _told(status: Json) -> list[Json]:
    """Return devices as the daemon has them, each with what is known of its link."""
    links = {one["device"]: one for one in status["links"]}
    of_links = ("last_byte_age_s", "restarts", "last_error", "hint", "next_attempt_in_s")
    return [
        {**one, **{key: links.get(one["id"], {}).get(key) for key in of_links}} for one in status["devices"]
    ]  # fmt: skip


def _configured(config: Path) -> list[Json]:
    from gateway.cli.problems import load_or_fail

    unknown = ("readings", "last_reading_age_s", "numbered", "last_byte_age_s", "restarts", "last_error", "hint",
               "next_attempt_in_s")  # fmt: skip
    return [
        {
            "id": one.id,
            "station": one.station,
            "driver": one.driver,
            "enabled": one.enabled,
            "state": "not asked" if one.enabled else "disabled",
            **dict.fromkeys(unknown),
        }
        for one in load_or_fail(config, must_run=False).devices
    ]


@app.command("probe")
def probe_device(
    target: Annotated[
        str,
        typer.Argument(
            metavar="DEVICE|URL",
            help="A configured device, or any serial://, tcp:// ... address.",
            autocompletion=complete_device,
        ),
    ],
    *,
    seconds: Annotated[float, typer.Option(min=0, max=600, help="How long to listen for bytes.")] = LISTEN_S,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    token_file: TokenOption = None,
) -> None:
    """Open a device, say who holds its port, and show the bytes that come. Nothing is stored or acknowledged.

    What the running gateway has open is asked of the gateway. Exit code 1: it cannot be opened, or is held by another.
    """
    import asyncio

    from gateway.cli.listening import holders, listen, wanted_of
    from gateway.cli.show import print_json
    from gateway.doctor.devices import is_gateway

    wanted = wanted_of(target, config)
    held = holders(wanted)
    result: dict[str, Any] = {"device": wanted.device, "url": wanted.url, "held_by": held}
    if any(map(is_gateway, held)):
        result |= _asked(config, token_file, wanted.device)
    elif held:
        text = f"{wanted.url} is held by {', '.join(held)}"
        result |= {
            "works": False,
            "text": text,
            "hint": "two readers of one port steal each other's bytes: end that one",
        }
    else:
        if not as_json:
            print(_intent(wanted, seconds), flush=True)
        heard: list[Heard] = []
        result |= asyncio.run(listen(wanted, seconds, heard.append if as_json else _show_heard(heard)))
        result["heard"] = [{"at_s": one.at_s, "hex": one.data.hex()} for one in heard]
    if as_json:
        print_json(result)
    else:
        _print_probe(result)
    if not result["works"]:
        raise typer.Exit(EXIT_NOT_AS_HOPED)


def _intent(wanted: Wanted, seconds: float) -> str:
    from gateway.cli.listening import BYTE_SCHEMES
    from gateway.doctor.devices import serial_port_of

    if wanted.url.partition("://")[0] not in BYTE_SCHEMES:
        return f"{wanted.url}: asking"
    nobody = "nobody holds it; " if serial_port_of(wanted.url) is not None else ""
    return f"{wanted.url}: {nobody}listening for {seconds:g} s"


def _show_heard(heard: list[Heard]) -> Any:
    from gateway.cli.show import plain

    def show(one: Heard) -> None:
        heard.append(one)
        print(f"  {one.at_s:6.2f} s  {one.data.hex(' '):<48}  {plain(one.data.decode('latin-1'))}", flush=True)

    return show


def _print_probe(result: dict[str, Any]) -> None:
    from gateway.cli.show import print_line

    print_line(result["text"], "green" if result["works"] else "red")
    if result.get("hint"):
        print_line(f"  {result['hint']}")


def _asked(config: Path, token_file: Path | None, device: str | None) -> dict[str, Any]:
    """Return what the gateway knows of a device whose port it has open."""
    from gateway.cli.client import Site
    from gateway.cli.show import age

    try:
        links = Site(config, token_file).get("/v1/status")["links"]
    except Failure:
        if device is not None:
            raise
        links = []  # an address was asked for, and the gateway that has it open may be another one's
    link = next((one for one in links if one["device"] == device), None)
    if link is None:
        hint = "name the device instead of its address: dockline devices list"
        return {"works": True, "text": "the gateway has it open", "hint": hint}
    text = f"the gateway has it open: {link['state']}, last byte {_ago(age, link['last_byte_age_s'])}, " \
           f"last reading {_ago(age, link['last_reading_age_s'])}"  # fmt: skip
    hint = link["hint"] or f"see what it says: dockline devices watch {device}"
    return {"works": link["state"] in {"up", "silent", "opening"}, "text": text, "hint": hint, "link": link}


def _ago(age: Any, seconds: float | None) -> str:
    return "never" if seconds is None else f"{age(seconds)} ago"


@app.command("watch")
def watch_devices(
    device: Annotated[
        str | None, typer.Argument(help="One device; without it all.", autocompletion=complete_device)
    ] = None,
    *,
    station: StationOption = None,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many readings.")] = None,
    within: Annotated[float | None, typer.Option(min=0.1, help="Stop after so many seconds.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    token_file: TokenOption = None,
) -> None:
    """Show what devices say as it is committed, with the raw text, until interrupted."""
    import json

    from gateway.cli.client import Site

    site = Site(config, token_file)
    _check_device(site, device)
    seen = 0
    for found in site.follow("/v1/events/tail", within_s=within, device=device, station=station):
        data = (found.get("event") or {}).get("data") or {}
        if not data.get("device"):
            continue
        print(json.dumps(found) if as_json else _said(found["event"], data), flush=True)
        seen += 1
        if count is not None and seen >= count:
            return


def _check_device(site: Site, device: str | None) -> None:
    """Raise Failure for a device that nobody knows: watching it would show nothing, which looks like an answer."""
    if device is None:
        return
    from gateway.settings.problem import did_you_mean

    status = site.get("/v1/status")
    known = [one["id"] for one in status["devices"]]
    patterns = [name[:-1] for name in known if name.endswith("*")]
    if device not in known and not any(device.startswith(one) for one in patterns):
        raise Failure(
            f'There is no device "{device}".',
            hint=did_you_mean(device, known) or "dockline devices list",
            code=EXIT_USAGE,
        )


def _said(event: Json, data: Json) -> str:
    from gateway.cli.events import what_of
    from gateway.cli.show import plain

    raw = str((data.get("evidence") or {}).get("raw") or "")
    kind = str(event.get("type", "")).removeprefix("dockline.").removesuffix(".v1")
    shown = raw if len(raw) <= WHAT_CHARACTERS_MAX else raw[:WHAT_CHARACTERS_MAX] + "..."
    cells = (data.get("captured_at"), data["device"].get("id"), kind, what_of(data), shown)
    return "  ".join(plain(cell) for cell in cells if cell)
