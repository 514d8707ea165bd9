"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CONFIG = Path("/etc/dockline/gateway.toml")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="DOCKLINE_CONFIG", help="Configuration file.", show_default=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TokenOption = Annotated[
    Path | None, typer.Option("--token-file", help="File with a token, when you are not the service's user.")
]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many.")]
