"""`dockline token`: a new token for a device or a person."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gateway.cli.errors import EXIT_USAGE, Failure


def token(
    name: Annotated[str, typer.Argument(help="Who will use it; named in the audit.")],
    *,
    role: Annotated[str, typer.Option(help="device, viewer, operator, technician or admin.")] = "device",
    device: Annotated[str | None, typer.Option(help="Role device: the device it speaks for; else NAME.")] = None,
) -> None:
    """Make a token. Standard output gets the lines for the tokens file, standard error the token itself, once."""
    from pydantic import ValidationError

    from gateway.web.auth import ROLES, TokenEntry, new_token

    wanted = next((one for one in ROLES if one == role), None)
    if wanted is None:
        raise Failure(f'"{role}" is no role', hint=f"one of {', '.join(ROLES)}", code=EXIT_USAGE)
    secret, digest = new_token()
    try:
        entry = TokenEntry(name=name, sha256=digest, role=wanted, device=(device or name) if role == "device" else None)
    except ValidationError as error:
        raise Failure(error.errors()[0]["msg"].removeprefix("Value error, "), code=EXIT_USAGE) from None
    if device is not None and wanted != "device":
        raise Failure(f'a token of role "{wanted}" speaks for no device', hint="leave --device out", code=EXIT_USAGE)
    print(entry.lines())
    print(f"token (shown once): {secret}", file=sys.stderr)
