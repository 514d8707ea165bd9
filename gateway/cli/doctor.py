"""`dockline doctor`: every check with its state, what shows it, and the one thing to do next."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.errors import EXIT_DISK, EXIT_NOT_ALLOWED, EXIT_NOT_AS_HOPED, Failure
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, TokenOption

if TYPE_CHECKING:
    from gateway.doctor.check import Check, Patient
    from gateway.settings import Settings
    from gateway.setup.trial import Tried
    from sync import UpstreamSettings

STYLES = {"ok": "green", "notice": "", "warning": "yellow", "failed": "bold red", "unknown": "yellow"}


def doctor(
    *,
    bundle: Annotated[
        Path | None, typer.Option(help="Also write a support bundle (tar.gz) without secrets and without events.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    token_file: TokenOption = None,
) -> None:
    """Look at everything and say what to do next, with a daemon and without. Exit code 1: something has failed."""
    from gateway.doctor.examination import examine

    patient = _patient(config, token_file)
    checks = examine(patient)
    names = _bundled(bundle, patient, checks) if bundle is not None else []
    if as_json:
        from gateway.cli.show import print_json

        print_json({"checks": [asdict(one) for one in checks], "bundle": names})
    else:
        _print(checks)
        if bundle is not None:
            print(f"\n{bundle}: {', '.join(names)}; secrets are struck out, events are not in it")
    if any(one.state == "failed" for one in checks):
        raise typer.Exit(EXIT_NOT_AS_HOPED)


def _patient(config: Path, token_file: Path | None) -> Patient:
    import os

    from gateway.clock import is_synchronised, wall_ms
    from gateway.doctor.check import Patient
    from gateway.settings import SettingsError, load_settings

    settings, problems = None, []
    try:
        settings = load_settings(config, must_run=False)
    except SettingsError as error:
        problems = [str(problem) for problem in error.problems]
    status, storage, silence = _asked(config, token_file)
    return Patient(
        config=config,
        settings=settings,
        problems=problems,
        storage=settings.storage.path if settings is not None else storage,
        status=status,
        silence=silence,
        wall_ms=wall_ms(),
        is_synchronised=is_synchronised(),
        environ=dict(os.environ),
        try_upstream=_try_upstream,
        try_broker=_try_broker,
    )


def _try_upstream(settings: Settings, wanted: UpstreamSettings) -> Tried | None:
    """Try an upstream as the service would; a secret that only the service can read cannot be tried by others."""
    import asyncio
    import os

    from gateway.cli.run import real_world
    from gateway.credentials import credentials_folder
    from gateway.setup.trial import try_upstream

    folder = credentials_folder(os.environ)
    named = (wanted.token_credential, getattr(wanted, "signing_secret_credential", None))
    files = (wanted.token_file, wanted.key, getattr(wanted, "signing_secret_file", None))
    if (folder is None and any(named)) or not all(file is None or os.access(file, os.R_OK) for file in files):
        return None
    return asyncio.run(try_upstream(settings, wanted, real_world()))


def _try_broker(settings: Settings) -> Tried | None:
    import asyncio
    import os

    from gateway.cli.run import real_world
    from gateway.setup.trial import try_broker

    files = (getattr(settings.mqtt.broker, key, None) for key in ("password_file", "key"))
    if not all(file is None or os.access(file, os.R_OK) for file in files):
        return None
    return asyncio.run(try_broker(settings, real_world()))


def _asked(config: Path, token_file: Path | None) -> tuple[dict[str, Any] | None, Path | None, str]:
    """Return what the daemon says, where the storage is, and why nobody answered."""
    from gateway.cli.client import NoDaemon, Site

    try:
        site = Site(config, token_file)
    except Failure as failure:
        return None, None, str(failure)
    try:
        return site.get("/v1/status"), site.storage, ""
    except NoDaemon as nobody:
        return None, site.storage, str(nobody).removeprefix("No daemon answers: ")
    except Failure as failure:
        return None, site.storage, str(failure)


def _bundled(target: Path, patient: Patient, checks: list[Check]) -> list[str]:
    from gateway.doctor.bundle import write_bundle

    try:
        return write_bundle(target, patient, checks)
    except PermissionError as error:
        raise Failure(f"{target}: {error.strerror}", code=EXIT_NOT_ALLOWED) from None
    except OSError as error:
        raise Failure(
            f"{target}: {error.strerror}", hint="name a file in a folder that exists", code=EXIT_DISK
        ) from None


def _print(checks: list[Check]) -> None:
    from gateway.cli.show import counted, plain, print_folded, print_line

    width = max(len(f"{one.area} {one.subject}") for one in checks)
    for one in checks:
        print_folded(f"{one.state:<8}{f'{one.area} {one.subject}':<{width}}  ", plain(one.evidence), STYLES[one.state])
        if one.action is not None:
            print_folded(" " * (width + 10), plain(one.action), mark="-> ")
    failed = sum(one.state == "failed" for one in checks)
    warned = sum(one.state == "warning" for one in checks)
    if failed or warned:
        print_line(
            f"{counted(failed, 'check')} failed, {counted(warned, 'warning')}", "bold red" if failed else "yellow"
        )
    else:
        print_line("nothing to do", "green")
