"""`dockline backup`, `restore` and `rehearse`: copies of the outbox, each proved before it counts."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.errors import EXIT_IN_USE, EXIT_NOT_ALLOWED, EXIT_USAGE, Failure
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, TokenOption

if TYPE_CHECKING:
    from buffer import Clocks, Present, Proof, Receipt
    from gateway.cli.client import Site

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", show_default=False)]
DamageOption = Annotated[
    bool, typer.Option("--with-damage", help="Accept a journal with problems; they are named all the same.")
]


def backup(
    file: FileArgument,
    *,
    with_damage: DamageOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    token_file: TokenOption = None,
) -> None:
    """Write a copy of the outbox to FILE, restore it on trial, prove it, and only then call it a backup.

    The daemon may run, and goes on taking scans; it takes the copy and writes into the audit who asked. FILE must not
    exist. It holds every event that is kept, so keep it like the events themselves; secrets and configuration are not
    in it. Needs twice the room of the outbox beside FILE until it is proved.
    """
    from buffer import admit, reserve
    from gateway.cli.client import Site
    from gateway.cli.show import plain, print_json, print_line

    site = Site(config, token_file)
    if not file.parent.is_dir():
        raise Failure(f"there is no folder {file.parent}", code=EXIT_USAGE)
    with _explained():
        partial = reserve(file)
        try:
            _take(site, partial)
            with _progress("proving", quiet=as_json) as progress:
                receipt = admit(partial, file, clocks=_clocks(), accept_damage=with_damage, progress=progress)
        finally:
            partial.unlink(missing_ok=True)
    if as_json:
        print_json(_receipt_json(receipt))
        return
    print_line(
        f"{file}: {receipt.size_bytes} bytes, {receipt.proof.journal.entries} events, restored on trial and proved",
        "green",
    )
    print_line(f"head {_head_text(receipt.proof)}")
    print_line(f"sha256 {receipt.sha256}")
    for problem in receipt.proof.journal.problems:
        print_line(f"BROKEN: {plain(problem)}", "bold red")


def restore(
    file: FileArgument,
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="There is an outbox already: set it aside, it is not deleted.")
    ] = False,
    with_damage: DamageOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Put a backup in the place of the outbox, while the daemon is stopped. What was there is kept aside.

    The next start begins a new epoch: a sequence is never used twice under one source. What the centre got since the
    backup is sent again under the ids it knows. Station sessions and PLC counters begin anew.
    """
    import buffer
    from gateway.cli.client import Site
    from gateway.cli.show import print_json, print_line
    from gateway.clock import wall_ms

    site = Site(config)
    _require_folder(site)
    with _explained():
        require_stopped(site.storage)
        found = _present(site)
        if found and not replace:
            raise Failure(found, hint="--replace sets it aside; nothing is deleted")
        done = buffer.restore(site.storage, file, at=wall_ms(), actor=acting_user(), accept_damage=with_damage)
    if as_json:
        print_json(asdict(done))
        return
    print_line(f"restored {file}: events up to sequence {done.head.seq} of {done.head.source}", "green")
    if done.replaced:
        print_line(f"what was there is in {site.storage / done.replaced}")
    print_line("Next: systemctl start dockline. It begins a new epoch.")


def rehearse(*, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Have this version take over a copy of the outbox, as an upgrade would, and prove it. Nothing is changed.

    An installation asks this of a new version before the running one is stopped. Exit code 1: it could not.
    """
    import buffer
    from gateway.cli.client import Site
    from gateway.cli.show import print_json, print_line

    site = Site(config)
    if not (site.storage / buffer.DATABASE_NAME).exists():
        print_line(f"there is no outbox in {site.storage} yet")
        return
    with _explained(), _progress("rehearsing", quiet=as_json) as progress:
        proof = buffer.rehearse(site.storage, clocks=_clocks(), progress=progress)
    if as_json:
        print_json({**asdict(proof)})
        return
    print_line(
        f"a copy of the outbox opened under this version: schema {proof.schema_before} to {proof.schema_after},"
        f" {proof.journal.entries} events proved",
        "green",
    )


def _take(site: Site, partial: Path) -> None:
    """Have the daemon copy the outbox to `partial`, or do it without one."""
    from buffer import snapshot
    from gateway.cli.client import NoDaemon

    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as target:
            site.download("/v1/backup", {"reason": "dockline backup"}, target)
    except NoDaemon:
        partial.unlink()
        snapshot(site.storage, partial)


def _present(site: Site) -> str | None:
    """Say what is in the storage folder; None when nothing is."""
    from buffer import OutboxError, present

    try:
        found = present(site.storage)
    except OutboxError as error:
        return f"{site.storage} holds an outbox that cannot be read ({error})"
    if found is None or found.head.seq == 0:
        return None  # a fresh installation's own, without an event
    return f"{site.storage} holds an outbox with events up to sequence {found.head.seq}{owed_text(found)}"


def owed_text(found: Present) -> str:
    """Return how many events an upstream does not have yet, as the end of a sentence; empty for none."""
    if not found.undelivered:
        return ""
    what = "are not delivered" if found.pending else "no upstream was ever given"
    return f", {found.undelivered} of which {what}"


def require_stopped(storage: Path) -> None:
    """Raise OutboxLocked while a daemon has the outbox open."""
    from buffer.lock import FolderLock

    FolderLock(storage).release()


def _require_folder(site: Site) -> None:
    if not site.storage.is_dir():
        hint = "start the service once (it makes the folder), stop it, and restore then"
        raise Failure(f"there is no folder {site.storage}", hint=hint)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what the outbox raises into sentences."""
    from buffer import OutboxError, OutboxLocked

    try:
        yield
    except OutboxLocked as error:
        raise Failure(f"the daemon runs: {error}", hint="systemctl stop dockline", code=EXIT_IN_USE) from None
    except OutboxError as error:
        raise Failure(str(error), hint=error.hint) from None
    except FileExistsError as error:
        raise Failure(f"{error.filename} {error.strerror}", code=EXIT_USAGE) from None
    except PermissionError as error:
        raise Failure(f"{error.filename}: {error.strerror}", hint="try sudo", code=EXIT_NOT_ALLOWED) from None


@contextmanager
def _progress(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=quiet, transient=True) as progress:
        bar = progress.add_task(what, total=None)
        yield lambda seq, last: progress.update(bar, completed=seq, total=last)


def _clocks() -> Clocks:
    from buffer import Clocks
    from gateway.clock import monotonic_s, wall_ms

    return Clocks(wall_ms, monotonic_s)


def _head_text(proof: Proof) -> str:
    return f"{proof.head.source}:{proof.head.seq}:{proof.head.chain_hex}"


def _receipt_json(receipt: Receipt) -> dict[str, Any]:
    return {**asdict(receipt), "file": str(receipt.file), "head": _head_text(receipt.proof)}


def acting_user() -> str:
    """Return who runs this command, for the audit: behind sudo, the person."""
    return f"cli:{os.environ.get('SUDO_USER') or getpass.getuser()}"
