"""docs/quick-start.md, typed by a person who trusts it: all of its commands, in their order, on a fresh Debian."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from debian_root import DebianRoot, until
from package_builds import build

pytestmark = [pytest.mark.install, pytest.mark.long]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "quick-start.md").read_text()
STEPS = {
    title: re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for title, text in re.findall(r"^## (\d)\. .+?\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
"""The blocks of commands by the number of their step."""
VERSION = "0.1.0"
"""The one the page names."""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DebianRoot]:
    """A Debian 12 on which nobody has done anything, with the package in the folder of root."""
    packages = tmp_path_factory.mktemp("packages")
    package = build(packages, VERSION)
    made = DebianRoot(tmp_path_factory.mktemp("fresh"), packages)
    try:
        shutil.copy(package, made.root / "root" / package.name)
        yield made
    finally:
        made.close()


def typed(machine: DebianRoot, step: str) -> str:
    """Type the next block of a step as it stands; a command that fails ends it. Return what was said."""
    done = machine.run("sh", "-ec", f"cd /root\n{STEPS[step].pop(0)}")
    return done.stdout + done.stderr


def picks(machine: DebianRoot) -> list[str]:
    """Return the ids of the picks in the ledger of the trial's centre, in the order in which they came."""
    lines = (machine.root / "srv/trial/ledger.ndjson").read_text().splitlines()
    events = [line for line in map(json.loads, lines) if line["kind"] == "event"]
    return [event["id"] for event in events if "dockline.pick.v1" in event["body"]]


def books(machine: DebianRoot) -> dict[str, int]:
    """Return the books of the centre."""
    (upstream,) = machine.status()["upstreams"]
    return upstream  # type: ignore[no-any-return]


def all_delivered(machine: DebianRoot) -> bool:
    found = books(machine)
    return found["pending"] == 0 and found["imbalance"] == 0 and found["delivered"] == found["accepted"]


def test_the_page_leads_from_a_fresh_debian_to_a_delivered_scan_and_over_a_full_outbox(fresh: DebianRoot) -> None:
    told = typed(fresh, "1")
    assert f"dockline {VERSION}" in told and "active" in told
    typed(fresh, "2")
    assert fresh.status()["ready"]
    typed(fresh, "3")
    assert "hh-7" in typed(fresh, "4")
    typed(fresh, "5")
    until(lambda: all_delivered(fresh), "it is delivered")
    assert len(picks(fresh)) == len(set(picks(fresh))) == 3

    pid = fresh.main_pid()
    typed(fresh, "6")
    assert fresh.main_pid() != pid, "the package was installed anew"
    assert books(fresh)["pending"] >= 505 and books(fresh)["imbalance"] == 0
    typed(fresh, "6")
    until(lambda: all_delivered(fresh), "all is delivered")
    assert len(picks(fresh)) == len(set(picks(fresh))) == 508
    typed(fresh, "7")
    assert not any(STEPS.values()), "a block of the page was not typed"
