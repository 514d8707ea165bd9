"""A product's settings as a file: config/profiles/<name>.toml, one product each, no code.

    product = "Zebra DS3608 series, RS-232"     for people
    driver = "serial-scanner"                   what the product is read with
    notes = "..."                               how to set the product up, for people

    [device]                                    keys of the driver
    terminator = "\\r"

A device that names a profile takes these keys; the keys the device itself writes win. The settings model of the driver
checks the result, so a profile cannot say what a device could not. Other tables (`[tags]` of an RFID reader) are for
whoever knows them.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FOR_PEOPLE = ("product", "notes")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class ProfileError(ValueError):
    """A profile is missing or cannot be read."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile file says."""

    name: str
    driver: str
    keys: dict[str, Any]
    """Settings of the driver: `[device]`."""
    tables: dict[str, Any]
    """The other tables of the file."""
    product: str = ""
    notes: str = ""

    def overlaid(self, device_keys: Mapping[str, Any]) -> dict[str, Any]:
        """Return the profile's keys with the device's own over them."""
        return {**self.keys, **device_keys}


def profile_names(folder: Path) -> list[str]:
    """Return the profiles in `folder`, sorted."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def load_profile(folder: Path, name: str) -> Profile:
    """Read one profile. Raises ProfileError in words for the person who named it."""
    if not _NAME.fullmatch(name):
        raise ProfileError(f'"{name}" is not a profile name', hint="small letters, digits and hyphens")
    path = folder / f"{name}.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        names = profile_names(folder)
        near = difflib.get_close_matches(name, names, 1)
        hint = f'did you mean "{near[0]}"?' if near else f"in {folder} there are: {', '.join(names) or 'none'}"
        raise ProfileError(f'no profile is called "{name}"', hint=hint) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{path}: {error}") from error
    return _profile(path, name, content)


def _profile(path: Path, name: str, content: dict[str, Any]) -> Profile:
    driver = content.pop("driver", None)
    if not isinstance(driver, str):
        raise ProfileError(f"{path}: driver is missing", hint='for example driver = "serial-scanner"')
    for_people = {key: content.pop(key, "") for key in _FOR_PEOPLE}
    for key, text in for_people.items():
        if not isinstance(text, str):
            raise ProfileError(f"{path}: {key} is text")
    for key, table in content.items():
        if not isinstance(table, dict):
            near = difflib.get_close_matches(key, ("driver", *_FOR_PEOPLE), 1)
            hint = f'did you mean "{near[0]}"?' if near else f"keys of the driver belong below [device], {key} too"
            raise ProfileError(f'{path}: unknown key "{key}"', hint=hint)
    return Profile(name, driver, keys=content.pop("device", {}), tables=content, **for_people)
