"""Loading the configuration for a command, and saying what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.errors import EXIT_CONFIG, Failure

if TYPE_CHECKING:
    from gateway.settings import Settings


def load_or_fail(config: Path, *, must_run: bool) -> Settings:
    """Return the settings; raise Failure (78) that names every problem."""
    from gateway.settings import SettingsError, load_settings

    try:
        return load_settings(config, must_run=must_run)
    except SettingsError as error:
        count = len(error.problems)
        lines = "\n".join(str(problem) for problem in error.problems)
        word = "problem" if count == 1 else "problems"
        raise Failure(f"{lines}\n{count} {word}; nothing was started or changed.", code=EXIT_CONFIG) from None
