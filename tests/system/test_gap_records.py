"""Every sequence is an event or named by a gap record, as a reader behind the centre sees it. Real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from troubled_site import TroubledSite, troubled_site, until

from simulators.centre import Centre, Policy
from simulators.centre_script import Act
from simulators.ledger import CentreEvent

BAD = "BAD"


def records(site: TroubledSite) -> list[CentreEvent]:
    """Return the gap records in order of arrival, repeats included."""
    return [event for event in site.centre.ledger.events if event.is_gap]


def reason(record: CentreEvent) -> str:
    data = json.loads(record.body)["data"]
    return str(data["reason"])


async def rejected(site: TroubledSite) -> None:
    """Scan what the centre rejects, between events it takes."""
    await site.scan(2)
    await site.scan(1, note=BAD)
    await site.scan(2)
    await site.settled()


def is_explained(site: TroubledSite) -> bool:
    ledger = site.centre.ledger
    return ledger.missing == ledger.late == ledger.conflicts == []


@pytest.mark.parametrize("answer", ["named", "400"])
async def test_a_rejected_event_leaves_no_hole_unexplained(tmp_path: Path, answer: str) -> None:
    """The readers behind a centre hear what it would not take: that it is held, and then that it was discarded."""
    policy = Policy(poison=(BAD,), poison_answer=answer)  # type: ignore[arg-type]
    async with troubled_site(tmp_path, policy=policy) as site:
        await rejected(site)
        await until(lambda: records(site), "the hole is announced")
        (held,) = await site.quarantined()
        assert (records(site)[0].sequence, is_explained(site)) == (held["seq"], True)
        body = {"seqs": [held["seq"]], "reason": "a test label"}
        await site.post("/v1/quarantine/centre/discard", body)
        await until(lambda: len(records(site)) == 2, "the decision is announced")
        assert [reason(record).split(":")[0] for record in records(site)] == ["quarantined", "discarded"]
        assert (site.centre.ledger.redeliveries, is_explained(site)) == (0, True)


async def test_a_repository_that_refused_an_event_holds_its_gap_record(tmp_path: Path) -> None:
    """Its capture job only says that something in a document was wrong: who queries it could not know of the hole."""
    async with Centre(policy=Policy(poison=(BAD,))) as repository:
        url = f"http://127.0.0.1:{repository.port}/capture"
        async with troubled_site(tmp_path, kind="epcis-capture", url=url, job_poll_s=0.05) as site:
            await rejected(site)
            ledger = repository.ledger
            await until(lambda: not ledger.missing and any(event.is_gap for event in ledger.events), "it is told")
            (record,) = [event for event in ledger.events if event.is_gap]
            assert reason(record).startswith("quarantined: ")
            assert (ledger.late, ledger.conflicts) == ([], [])


async def test_a_kill_before_and_while_a_hole_is_announced_leaves_none(tmp_path: Path) -> None:
    """Killed between the rejection and its record, and again between the record and its answer."""
    async with troubled_site(tmp_path, policy=Policy(poison=(BAD,))) as site:
        centre = site.centre
        await site.scan(2)
        await site.settled()
        centre.script.then(None, Act("hang"), Act("applied_hang"))
        await site.scan(1, note=BAD)
        for act in ("hang", "applied_hang"):
            await until(lambda act=act: any(one.act and one.act.act == act for one in centre.attempts), act)
            await site.gateway.kill()
            await site.gateway.start()
        await site.scan(2)
        await site.settled()
        await until(lambda: len(records(site)) == 2, "it is announced again")
        first, second = records(site)
        assert (first.id, first.body) == (second.id, second.body)
        assert is_explained(site)
