"""`dockline decommission`: the end of a gateway; outbox and secrets are wiped, and a receipt says what was there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.backup import acting_user, owed_text, require_stopped
from gateway.cli.errors import EXIT_IN_USE, EXIT_USAGE, Failure
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption

if TYPE_CHECKING:
    from buffer import Present
    from gateway.cli.client import Site

SECRETS_FOLDER = "secrets"
"""Beside the configuration: what lies in it was put there for this gateway alone."""
OTHER_FILES = ("addresses.json", "cli.token", ".*.new")
"""What the daemon keeps in its storage folder beside the outbox."""
UNKNOWN = "unknown"


def decommission(
    *,
    undelivered: Annotated[
        str | None,
        typer.Option(metavar="NUMBER", help="How many events have not been delivered, as this command says it."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask when everything was delivered.")] = False,
    receipt: Annotated[Path | None, typer.Option(help="Write the receipt to this file as well.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Wipe the outbox and the secrets of this gateway for good, while the daemon is stopped. Asks first.

    With events that were not delivered their number has to be typed. The configuration stays, without its secrets. The
    receipt on standard output is the last record there is: keep it. On flash memory wiping is no guarantee; encrypt or
    destroy the disk where that matters.
    """
    from gateway.cli.client import Site
    from gateway.cli.show import counted, print_line

    site = Site(config)
    if receipt is not None and (receipt.exists() or receipt.is_symlink()):
        raise Failure(f"{receipt} exists already", hint="a receipt overwrites nothing", code=EXIT_USAGE)
    found, owed = _survey(site)
    secrets = sorted(_secrets(config))
    print_line(f"This wipes {site.storage} and {counted(len(secrets), 'secret')}, for good.", "bold")
    try:
        _confirm(found, owed, undelivered, yes=yes)
    except typer.Abort:  # nobody is there to answer
        raise Failure("nothing was changed", hint="--undelivered NUMBER, or --yes when there are none") from None
    record = {
        "decommissioned_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": acting_user(),
        "storage": str(site.storage),
        "undelivered": owed,
        **_books(found),
    }
    gone, left = _wipe(site, secrets)
    record |= {"wiped": gone, "secrets_wiped": [str(path) for path in secrets], "left": left}
    text = json.dumps(record, indent=2)
    print(text)
    if receipt is not None:
        with receipt.open("x") as file:  # never through a link
            file.write(text + "\n")
    for name in left:
        print_line(f"left, not ours: {site.storage / name}", "yellow")


def _survey(site: Site) -> tuple[Present | None, str]:
    """Return what is there, and the number of undelivered events as it has to be typed."""
    from buffer import OutboxError, OutboxLocked, present

    if not site.storage.is_dir():
        return None, "0"
    try:
        require_stopped(site.storage)
        found = present(site.storage)
    except OutboxLocked as error:
        raise Failure(f"the daemon runs: {error}", hint="systemctl disable --now dockline", code=EXIT_IN_USE) from None
    except OutboxError:
        return None, UNKNOWN
    return found, "0" if found is None else str(found.undelivered)


def _confirm(found: Present | None, owed: str, typed: str | None, *, yes: bool) -> None:
    if owed == "0":
        if not yes and typed != "0" and typer.prompt('Type "yes" to go on', default="no") != "yes":
            raise Failure("nothing was changed")
        return
    if found is not None:
        text = f"The outbox holds events up to sequence {found.head.seq}{owed_text(found)}."
    else:
        text = "The outbox cannot be read: nobody knows what was not delivered."
    typer.echo(text, err=True)
    if typed is None:
        typed = typer.prompt(
            f"They would be lost. Type {'their number' if owed != UNKNOWN else UNKNOWN} to go on", default=""
        )
    if typed.strip() != owed:
        raise Failure(
            f"nothing was changed: {owed} events are not delivered, {typed.strip() or 'nothing'} was typed",
            hint="start the service and let it deliver, or keep a backup: dockline backup FILE",
        )


def _books(found: Present | None) -> dict[str, Any]:
    if found is None:
        return {"head": None}
    head = found.head
    return {
        "head": f"{head.source}:{head.seq}:{head.chain_hex}",
        "pending": found.pending,
        "quarantined": found.quarantined,
    }


def _wipe(site: Site, secrets: list[Path]) -> tuple[list[str], list[str]]:
    from buffer import OutboxLocked, wipe
    from buffer.wipe import overwrite

    gone: list[str] = []
    left: list[str] = []
    if site.storage.is_dir():
        try:
            gone, left = wipe(site.storage, also=OTHER_FILES)
        except OutboxLocked as error:
            raise Failure(
                f"the daemon runs: {error}", hint="systemctl disable --now dockline", code=EXIT_IN_USE
            ) from None
    for path in secrets:
        overwrite(path)
    return gone, left


def _secrets(config: Path) -> Iterator[Path]:
    """Yield the files in the folder of secrets beside the configuration; a link leads elsewhere and is not followed."""
    folder = config.resolve().parent / SECRETS_FOLDER
    for parent, _, names in os.walk(folder):
        yield from (Path(parent) / name for name in names)
