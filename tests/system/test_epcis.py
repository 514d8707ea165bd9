"""EPCIS end to end: a real gateway to a simulated repository, and the outbox as a file."""

import asyncio
import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_process import BOUND_S, CONFIG, ROOT, GatewayProcess, gateway, until
from terminal import Terminal

from buffer.connection import open_writer
from gateway.events.epcis import decode
from gateway.export import COLUMNS
from simulators.centre import Centre
from simulators.centre_script import Act

CODE = "]C10109521234543213"
SCANS = 3


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that took three scans and was stopped."""
    with gateway(tmp_path_factory.mktemp("stopped")) as daemon:
        daemon.start()
        for number in range(SCANS):
            scan = {"device": "hh-1", "id": f"n-{number}", "code": CODE, "document": "PL=1", "operator": "\x9b31m"}
            daemon.ask("POST", "/v1/scans", scan)
        assert daemon.stop() == 0
        yield daemon


async def test_scans_reach_a_repository_when_its_jobs_succeed(tmp_path: Path) -> None:
    """One job fails, one is lost, one answer does not come: every scan is there once, and only then delivered."""
    async with Centre() as centre:
        centre.capture_policy.polls = 2
        centre.script.then(Act("job_fails"), Act("job_lost"), Act("answer_lost"))
        upstream = f'kind = "epcis-capture"\nurl = "http://127.0.0.1:{centre.port}/capture"\nevent_ids = "hash"\n'
        config = CONFIG.replace('url = "http://127.0.0.1:9/v1/events"\n', f"{upstream}backoff_max_s = 0.01\n")
        with gateway(tmp_path, config) as daemon:
            await asyncio.to_thread(daemon.start)
            for number in range(SCANS):
                scan = {"device": "hh-1", "id": f"n-{number}", "code": CODE}
                await asyncio.to_thread(daemon.ask, "POST", "/v1/scans", scan)
            async with asyncio.timeout(BOUND_S):
                await centre.until(lambda centre: len(picks(centre)) == SCANS)
            await asyncio.to_thread(until, lambda: is_delivered(daemon), "everything is delivered")
            assert await asyncio.to_thread(daemon.stop) == 0
    assert centre.ledger.conflicts == []
    assert centre.ledger.missing == []
    for one in picks(centre):
        epcis = json.loads(one)["data"]["epcis"]
        assert epcis["eventID"].startswith("ni:///sha-256;")
        assert decode(epcis)["data"]["item"] == {"gtin": "09521234543213"}


def picks(centre: Centre) -> set[str]:
    return {event.body for event in centre.ledger.events if '"dockline.pick.v1"' in event.body}


def is_delivered(daemon: GatewayProcess) -> bool:
    (upstream,) = daemon.ask("GET", "/v1/status", token=daemon.cli_token()).json["upstreams"]
    return upstream["accepted"] > 0 and upstream["delivered"] == upstream["accepted"]


def exported(daemon: GatewayProcess, tmp_path: Path, *words: str) -> str:
    out = tmp_path / "out"
    done = daemon.command("events", "export", "--out", str(out), *words)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "out.part").exists()
    return out.read_text()


def test_the_three_formats_tell_the_same_events(stopped: GatewayProcess, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in exported(stopped, tmp_path, "--format", "ndjson").splitlines()]
    document = json.loads(exported(stopped, tmp_path))
    table = list(csv.DictReader(exported(stopped, tmp_path, "--format", "csv").splitlines()))
    assert [decode(event) for event in document["epcisBody"]["eventList"]] == lines
    assert [(row["id"], json.loads(row["data"])) for row in table] == [(one["id"], one["data"]) for one in lines]
    assert [one["sequence"] for one in lines] == sorted(one["sequence"] for one in lines)
    assert tuple(table[0]) == COLUMNS
    assert [row["document"] for row in table if row["type"] == "dockline.pick.v1"] == ["PL=1"] * SCANS


def test_an_export_can_be_narrowed(stopped: GatewayProcess, tmp_path: Path) -> None:
    narrowed = exported(stopped, tmp_path, "--format", "ndjson", "--type", "pick", "--device", "hh-1", "-n", "2")
    assert [json.loads(line)["type"] for line in narrowed.splitlines()] == ["dockline.pick.v1"] * 2
    assert json.loads(exported(stopped, tmp_path, "--station", "nowhere"))["epcisBody"]["eventList"] == []
    hashed = json.loads(exported(stopped, tmp_path, "--hash-ids", "--type", "pick"))["epcisBody"]["eventList"]
    assert len({event["eventID"] for event in hashed if event["eventID"].startswith("ni:///")}) == SCANS


def test_an_export_goes_to_standard_output(stopped: GatewayProcess) -> None:
    words = ["events", "export", "--format", "csv", "--config", str(stopped.config)]
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *words], cwd=ROOT, capture_output=True, timeout=60, check=True
    )
    assert done.stdout.startswith(b"sequence,source,id,")


@pytest.mark.parametrize("kind", ["export", "bundle"])
def test_a_link_that_waits_in_a_folder_of_many_is_not_written_through(
    kind: str, stopped: GatewayProcess, tmp_path: Path
) -> None:
    """Root exports into a folder that somebody else may write to, too."""
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    for name in ("out.part", "out")[: 1 if kind == "export" else 2]:
        (tmp_path / name).symlink_to(victim)
    out = str(tmp_path / "out")
    words = ("events", "export", "--out", out) if kind == "export" else ("doctor", "--bundle", out)
    assert stopped.command(*words).returncode in {0, 1}
    assert victim.read_text() == "as it was"
    assert (tmp_path / "out").is_file() and not (tmp_path / "out").is_symlink()


async def test_what_a_label_would_tell_a_terminal_is_spelled_out_there(stopped: GatewayProcess) -> None:
    async with Terminal("events", "export", "--format", "csv", "--config", str(stopped.config)) as terminal:
        assert await terminal.ended() == 0
    assert b"sequence,source,id," in terminal.raw
    assert b"\\x9b31m" in terminal.raw
    assert b"\xc2\x9b" not in terminal.raw


def test_a_wrong_export_says_so(stopped: GatewayProcess, tmp_path: Path) -> None:
    done = stopped.command("events", "export", "--format", "csv", "--hash-ids")
    assert (done.returncode, "--hash-ids" in done.stderr) == (64, True)
    done = stopped.command("events", "export", "--out", str(tmp_path / "no" / "where"))
    assert (done.returncode, "Traceback" in done.stderr) == (74, False)


def test_a_damaged_row_is_exported_as_the_gap_it_leaves(tmp_path: Path) -> None:
    """An export must not look complete when it is not."""
    with gateway(tmp_path) as daemon:
        daemon.start()
        daemon.ask("POST", "/v1/scans", {"device": "hh-1", "id": "n-1", "code": CODE})
        assert daemon.stop() == 0
    connection = open_writer(daemon.state / "outbox.db")
    connection.execute("DROP TRIGGER entry_is_never_updated")
    connection.execute("UPDATE entry SET payload = ? WHERE type = 'dockline.pick.v1'", (b'{"edited":true}',))
    connection.commit()
    connection.close()
    lines = [json.loads(line) for line in exported(daemon, tmp_path, "--format", "ndjson").splitlines()]
    assert [one["data"]["reason"] for one in lines if one["type"] == "dockline.gap.v1"] == ["damaged"]
    document = json.loads(exported(daemon, tmp_path))
    assert [decode(event) for event in document["epcisBody"]["eventList"]] == lines
