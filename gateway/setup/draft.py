"""A configuration in the making: its tables, its secrets, and the commented file they become.

The comments are the descriptions of the settings models, the same that `config/gateway.toml` is held to: there is one
text for each key.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel

from drivers.mqtt_settings import BrokerSettings, ListenerSettings
from drivers.registry import load_driver
from gateway.settings import Problem, Settings, SettingsError, load_settings
from gateway.settings.load import DEFAULT_UPSTREAM_KIND, UPSTREAM_KINDS
from gateway.settings.model import ApiSettings, DeviceCommon, SiteSettings, StationSettings, StorageSettings

Table = dict[str, Any]
COMMENT_COLUMNS = 118
HEAD = """\
# Configuration of this Dockline gateway, written by `dockline init`. It is yours: edit it as you like.
#
# Every key there is stands, with a comment, in {reference}.
# `dockline check` names every problem in this file with its line; `systemctl restart dockline` applies a changed [site]
# or [storage], `systemctl reload dockline` everything else, and keeps the old settings when the new ones are broken.
"""
REHEARSAL = "dockline-init-"
INSTALLED_REFERENCE = Path("/opt/dockline/share/dockline/config/gateway.toml")


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that stands in a file of its own, and whose path stands in the configuration."""

    file: str
    """Name of the file in the folder of secrets."""
    text: str = field(repr=False)


@dataclass(slots=True)
class Draft:
    """What was answered so far."""

    site: Table = field(default_factory=dict)
    storage: Table = field(default_factory=dict)
    api: Table = field(default_factory=dict)
    stations: list[Table] = field(default_factory=list)
    devices: list[Table] = field(default_factory=list)
    upstreams: list[Table] = field(default_factory=list)
    listener: Table = field(default_factory=dict)
    """Empty: no device connects to the gateway itself."""
    broker: Table = field(default_factory=dict)
    """Empty: there is no broker of the site."""

    handed: list[tuple[str, str]] = field(default_factory=list, repr=False)
    """What has to be shown once when all is written: whose it is, and the password or token."""

    def secrets(self) -> list[Secret]:
        """Return every secret that has to be in a file before the configuration can be used."""
        tables = [self.listener, self.broker, self.api, *self.upstreams]
        return [value for table in tables for value in table.values() if isinstance(value, Secret)]

    def text(self, secrets: Path) -> str:
        """Return the file; `secrets` is the folder with those."""
        reference = INSTALLED_REFERENCE if INSTALLED_REFERENCE.exists() else "config/gateway.toml of the program"
        return HEAD.format(reference=reference) + "".join(_Writer(secrets).tables(self))

    @contextmanager
    def rehearsed(self, config: Path) -> Iterator[Settings | tuple[Problem, ...]]:
        """Yield what the loader of `dockline check` makes of it, with the secrets in a folder that is gone afterwards.

        `config` is where the file will be: profiles of the site stand beside it.
        """
        with TemporaryDirectory(prefix=REHEARSAL) as name:
            folder = Path(name)
            for secret in self.secrets():
                path = folder / secret.file
                path.touch(0o600)
                path.write_text(secret.text)
            profiles = config.resolve().parent / "profiles"
            if profiles.is_dir():
                (folder / "profiles").symlink_to(profiles)
            file = folder / "gateway.toml"
            file.write_text(self.text(folder), "utf-8")
            try:
                yield load_settings(file, must_run=False)
            except SettingsError as error:
                yield error.problems


def problems_at(found: Settings | tuple[Problem, ...], place: str) -> list[str]:
    """Return what is wrong at a place such as `device[2]`, a sentence each."""
    if isinstance(found, Settings):
        return []
    # Who owns a secret of ours is settled when it is written to its own place.
    at_place = [
        one
        for one in found
        if one.path.startswith(place) and not ("the service runs as" in one.what and REHEARSAL in one.what)
    ]
    return [_sentence(one, place) for one in at_place]


def _sentence(problem: Problem, place: str) -> str:
    key = problem.path.removeprefix(place).lstrip(".")
    text = f"{key}: {problem.what}" if key else problem.what
    return f"{text}; {problem.suggestion}" if problem.suggestion else text


class _Writer:
    """Writes tables; a key is explained where it stands for the first time."""

    def __init__(self, secrets: Path) -> None:
        self._secrets = secrets
        self._explained: set[tuple[str, str]] = set()

    def tables(self, draft: Draft) -> Iterator[str]:
        yield from self._table("[site]", [SiteSettings], draft.site)
        yield from self._table("[storage]", [StorageSettings], draft.storage)
        for upstream in draft.upstreams:
            kind = str(upstream.get("kind", DEFAULT_UPSTREAM_KIND))
            model = UPSTREAM_KINDS.get(kind, UPSTREAM_KINDS[DEFAULT_UPSTREAM_KIND])
            yield from self._table("[[upstream]]", [model], upstream)
        for station in draft.stations:
            yield from self._table("[[station]]", [StationSettings], station)
        for device in draft.devices:
            yield from self._table("[[device]]", [DeviceCommon, *_driver_models(device)], device)
        if draft.listener:
            yield from self._table("[mqtt.listener]", [ListenerSettings], draft.listener)
        if draft.broker:
            yield from self._table("[mqtt.broker]", [BrokerSettings], draft.broker)
        if draft.api:
            yield from self._table("[api]", [ApiSettings], draft.api)

    def _table(self, head: str, models: Sequence[type[BaseModel]], table: Table) -> Iterator[str]:
        yield f"\n{head}\n"
        for key, value in table.items():
            if _is_tables(value):
                continue
            yield from self._comment(head, models, key)
            yield f"{key} = {self._value(value)}\n"
        for key, value in table.items():
            if _is_tables(value):
                inner = [model for owner in models if (model := _member(owner, key)) is not None]
                for one in value:
                    yield from self._table(f"[{head[1:-1].rstrip(']')}.{key}]]", inner, one)

    def _comment(self, head: str, models: Sequence[type[BaseModel]], key: str) -> Iterator[str]:
        if (head, key) in self._explained:
            return
        self._explained.add((head, key))
        described = [model.model_fields[key].description for model in models if key in model.model_fields]
        for line in textwrap.wrap(" ".join((described[0] or "").split()) if described else "", COMMENT_COLUMNS):
            yield f"# {line}\n"

    def _value(self, value: object) -> str:
        if isinstance(value, Secret):
            return _text(str(self._secrets / value.file))
        if isinstance(value, bool):
            return str(value).lower()
        return str(value) if isinstance(value, int | float) else _text(str(value))


def _is_tables(value: object) -> bool:
    return isinstance(value, list)


def _text(value: str) -> str:
    """A TOML basic string; JSON writes the same but for DEL, which TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _driver_models(device: Table) -> list[type[BaseModel]]:
    try:
        return [load_driver(str(device.get("driver"))).settings_model]
    except LookupError:
        return []


def _member(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """Return the model of the tables a key holds."""
    field_info = model.model_fields.get(key)
    arguments = getattr(field_info.annotation, "__args__", ()) if field_info is not None else ()
    return next((one for one in arguments if isinstance(one, type) and issubclass(one, BaseModel)), None)
