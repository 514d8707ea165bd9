"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.completion import complete_device, complete_station, complete_type
from gateway.cli.errors import EXIT_USAGE, Failure

DEFAULT_CONFIG = Path("/etc/dockline/gateway.toml")

# Not `readable`: a file that is not ours to read would be a wrong command line before anybody could ask the daemon.
ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config", "-c", envvar="DOCKLINE_CONFIG", help="Configuration file.", show_default=True, readable=False
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TokenOption = Annotated[
    Path | None,
    typer.Option("--token-file", help="File with a token, when you are not the service's user.", readable=False),
]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many.")]
TypeOption = Annotated[
    str | None, typer.Option("--type", help="receipt, pick, observation, ...", autocompletion=complete_type)
]
StationOption = Annotated[str | None, typer.Option(help="Only of this station.", autocompletion=complete_station)]
DeviceOption = Annotated[str | None, typer.Option(help="Only of this device.", autocompletion=complete_device)]


def check_type(wanted: str | None) -> None:
    """Raise Failure when there is no such event type: a mistyped one would find nothing, which looks like an answer."""
    if wanted is None:
        return
    from gateway.events.catalogue import DATA
    from gateway.settings.problem import did_you_mean

    if wanted.removeprefix("dockline.").removesuffix(".v1") not in DATA:
        hint = did_you_mean(wanted, DATA) or f"one of {', '.join(DATA)}"
        raise Failure(f'There is no event type "{wanted}".', hint=hint, code=EXIT_USAGE)


InitListener = Annotated[
    str | None,
    typer.Option(
        metavar="WORDS", help="Built-in MQTT: 'ADDRESS:PORT key=value ...'; off loopback with certificate=... key=..."
    ),
]
InitUsers = Annotated[
    list[str] | None,
    typer.Option(
        "--user", metavar="WORDS", help="Who may connect to it: 'DEVICE password-file=...'; without one it is made up."
    ),
]
InitTokens = Annotated[
    list[str] | None,
    typer.Option(
        "--token",
        metavar="WORDS",
        help="A new token: 'NAME role=operator' for the page, 'DEVICE role=device' for HTTP.",
    ),
]
InitStations = Annotated[
    list[str] | None,
    typer.Option("--station", metavar="WORDS", help="'ID key=value ...', such as 'dock-3 activity=receipt'."),
]
InitDevices = Annotated[
    list[str] | None,
    typer.Option(
        "--device",
        metavar="WORDS",
        help="'ID station=... url=... key=value ...'; a PLC's point=NAME:ADDRESS:TYPE:MEANS.",
    ),
]
