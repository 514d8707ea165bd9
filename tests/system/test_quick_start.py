"""docs/quick-start.md, typed by a person who trusts it: all of its commands, in their order, on a fresh Debian.

With DOCKLINE_RECORD=1 what was typed and said becomes docs/quick-start-run.md.
"""

import json
import os
import shutil
from collections.abc import Iterator

import pytest
from debian_root import DebianRoot, until
from package_builds import build
from quick_start import STEPS, Transcript, version_named, write_run

pytestmark = [pytest.mark.install, pytest.mark.long]

VERSION = version_named()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DebianRoot]:
    """A Debian 12 on which nobody has done anything, with the package in /srv."""
    packages = tmp_path_factory.mktemp("packages")
    package = build(packages, VERSION)
    made = DebianRoot(tmp_path_factory.mktemp("fresh"), packages)
    try:
        shutil.copy(package, made.root / "srv" / package.name)
        yield made
    finally:
        made.close()


def typed(machine: DebianRoot, step: str, record: Transcript) -> str:
    """Type the next block of a step as it stands; a command that fails ends it. Return what was said."""
    commands = STEPS[step].pop(0)
    done = machine.run("sh", "-ec", f"cd /srv\nexec 2>&1\n{commands}")
    record.append((step, commands, done.stdout))
    return done.stdout


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
    record: Transcript = []
    told = typed(fresh, "1", record)
    assert f"dockline {VERSION}" in told and "active" in told
    typed(fresh, "2", record)
    assert fresh.status()["ready"]
    typed(fresh, "3", record)
    assert "hh-7" in typed(fresh, "4", record)
    typed(fresh, "5", record)
    until(lambda: all_delivered(fresh), "it is delivered")
    assert len(picks(fresh)) == len(set(picks(fresh))) == 3

    pid = fresh.main_pid()
    typed(fresh, "6", record)
    assert fresh.main_pid() != pid, "the package was installed anew"
    assert books(fresh)["pending"] >= 505 and books(fresh)["imbalance"] == 0
    typed(fresh, "6", record)
    until(lambda: all_delivered(fresh), "all is delivered")
    assert len(picks(fresh)) == len(set(picks(fresh))) == 508
    typed(fresh, "7", record)
    assert not any(STEPS.values()), "a block of the page was not typed"
    if os.environ.get("DOCKLINE_RECORD"):
        write_run(record)
