"""The quick start: its commands as the page has them, and the page of the run in which they were typed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "quick-start.md"
RUN = ROOT / "docs" / "quick-start-run.md"
LINES_MAX = 40
"""Of what one block said: `status`, asked until all is well, says the same many times."""
Transcript = list[tuple[str, str, str]]
"""Number of the step, what was typed, what was said."""
_HEAD = """\
# The quick start, as it was typed

What the commands of [the quick start](quick-start.md) said on a fresh Debian 12, on {date}.
Written by the test that types them, `DOCKLINE_RECORD=1 make install-test ARGS=tests/system/test_quick_start.py`;
nobody writes in it.
"""


def steps() -> dict[str, list[str]]:
    """Return the blocks of commands by the number of their step."""
    found = re.findall(r"^## (\d)\. .+?\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return {number: re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) for number, text in found}


STEPS = steps()


def version_named() -> str:
    """Return the version of the package that the page installs."""
    (found,) = set(re.findall(r"dockline_([\d.]+)_amd64\.deb", PAGE.read_text()))
    return str(found)


def write_run(record: Transcript) -> None:
    """Write the page of a run."""
    parts = [_HEAD.format(date=datetime.now(UTC).date())]
    for step, commands, said in record:
        parts.append(f"## Step {step}\n\n```sh\n{commands}```\n\n```\n{shortened(said)}\n```\n")
    RUN.write_text("\n".join(parts))


def shortened(said: str) -> str:
    """Return the beginning and the end of what was said, without the progress of apt."""
    lines = [line.rstrip() for line in re.sub(r"\r[^\n]*", "", said).splitlines()]
    kept = [line for line in lines if line and not line.startswith(("(Reading database", "WARNING: apt"))]
    if len(kept) > LINES_MAX:
        left_out = f"... ({len(kept) - LINES_MAX} lines)"
        kept = [*kept[: LINES_MAX // 2], left_out, *kept[-LINES_MAX // 2 :]]
    return "\n".join(kept) or "(nothing)"


def typed_in_run() -> list[str]:
    """Return the blocks of commands that the page of the run has."""
    return re.findall(r"^```sh\n(.*?)^```$", RUN.read_text(), re.MULTILINE | re.DOTALL)
