"""The pump between the real outbox on disk and a real centre over a real socket."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
from outbox_rig import Rig, draft
from upstream_scripted import ScriptedUpstream

from buffer import Draft, Limits, Outbox, OutboxFull
from simulators.centre import Centre, Policy
from simulators.centre_ledger import CentreLedger
from simulators.centre_script import Act
from simulators.network import Network
from sync import HttpEventsSettings, OutboxPort, Pump, UpstreamUnavailable
from sync.http_events import HttpEvents
from sync.position import PositionFinder

BOUND_S = 60.0
UPSTREAM = "centre"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.shutdown()


def events(outbox: Outbox, first: int, count: int, *, note: str = "") -> list[Draft]:
    made = []
    for number in range(first, first + count):
        plain = draft(number)
        body = {
            "specversion": "1.0",
            "id": plain.id,
            "source": outbox.source,
            "type": plain.type,
            "data": {"n": number, "note": note},
        }
        made.append(plain._replace(payload=json.dumps(body).encode()))
    return made


@contextlib.asynccontextmanager
async def pumping(
    outbox: Outbox, centre: Centre, *, is_killed: bool = False, with_position: bool = False, **settings: object
) -> AsyncIterator[Pump]:
    """A pump at work; `is_killed` ends it without waiting for what is in flight."""
    made = HttpEventsSettings.model_validate(
        {
            "name": UPSTREAM,
            "url": centre.url,
            "timeout_s": 5,
            "backoff_base_s": 0.001,
            "backoff_max_s": 0.005,
            "hold_retry_s": 0.005,
            "position_url": centre.position_url if with_position else None,
            **settings,
        }
    )
    await outbox.register(UPSTREAM, required=True, start="retained")
    upstream = HttpEvents(made, wall=lambda: 1_795_248_000_000)
    port: OutboxPort = outbox
    pump = Pump(port, upstream, made, rng=Random(1), monotonic=asyncio.get_running_loop().time)
    running = asyncio.ensure_future(pump.run())
    try:
        async with asyncio.timeout(BOUND_S):
            yield pump
        if not is_killed:
            pump.stop()
            await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await upstream.aclose()


async def settled(outbox: Outbox, seq: int) -> None:
    """The centre has it before we have its answer on disk; wait for the latter, too."""
    while await outbox.cursor(UPSTREAM) < seq:
        await outbox.alive()


async def test_what_was_committed_arrives_once_in_order_and_gap_free(rig: Rig) -> None:
    outbox = await rig.open()
    async with Centre() as centre:
        await outbox.append(events(outbox, 1, 500))
        async with pumping(outbox, centre, batch_events_max=64):
            await centre.holds(500)
            await outbox.append(events(outbox, 501, 100))
            await centre.holds(600)
            await settled(outbox, 600)
        assert centre.ledger.through(outbox.source) == 600
        assert (centre.ledger.late, centre.ledger.missing, centre.ledger.conflicts) == ([], [], [])
        census = await outbox.census(UPSTREAM, fresh=True)
        assert (census.accepted, census.delivered, census.pending, census.imbalance) == (600, 600, 0, 0)
    await outbox.close(5)


async def test_a_full_outbox_empties_into_a_centre_it_never_met(rig: Rig) -> None:
    """Scans were refused for days; then the line is up, and the centre behind it was set up anew meanwhile."""
    outbox = await rig.open(limits=Limits(bytes_max=600_000, disk_reserve_bytes=0))
    await outbox.register(UPSTREAM, required=True, start="retained")
    accepted = 0
    with pytest.raises(OutboxFull):
        while True:
            await outbox.append(events(outbox, accepted + 1, 100, note="x" * 200))
            accepted += 100
    async with Centre(policy=Policy(instance="new")) as centre:
        async with pumping(outbox, centre, with_position=True):
            await centre.holds(accepted)
            await settled(outbox, accepted)
        assert [row.value for row in outbox.states(f"sync/{UPSTREAM}/")] == [b"new"]
    await outbox.append(events(outbox, accepted + 1, 1))
    await outbox.close(5)


async def test_the_head_of_the_journal_travels_with_the_delivery(rig: Rig) -> None:
    outbox = await rig.open()
    async with Centre() as centre:
        await outbox.append(events(outbox, 1, 10))
        async with pumping(outbox, centre):
            await centre.holds(10)
            await settled(outbox, 10)
        head = await outbox.head_of_chain()
        assert centre.ledger.sources[outbox.source].chain == (10, head.chain_hex)
    await outbox.close(5)


async def test_poison_lands_in_quarantine_and_a_retry_brings_it_under_its_old_sequence(rig: Rig) -> None:
    outbox = await rig.open()
    async with Centre(Policy(poison=("poison",), poison_answer="422")) as centre:
        await outbox.append([*events(outbox, 1, 30), *events(outbox, 31, 1, note="poison"), *events(outbox, 32, 30)])
        async with pumping(outbox, centre) as pump:
            await centre.holds(60)
            await settled(outbox, 61)
            (held,) = await outbox.quarantine_list(UPSTREAM)
            assert held.seq == 31
            assert "422" in held.reason
            centre.policy.poison = ()
            await outbox.quarantine_retry(UPSTREAM, [31], actor="op7")
            pump.nudge()
            await centre.holds(61)
            while (await outbox.quarantine_list(UPSTREAM))[0].state != "delivered":
                await outbox.alive()
        last = centre.ledger.events[-1]
        assert (last.sequence, last.id) == (31, draft(31).id)
        census = await outbox.census(UPSTREAM, fresh=True)
        assert (census.delivered, census.quarantined, census.imbalance) == (61, 0, 0)
    await outbox.close(5)


async def test_a_damaged_row_is_announced_as_a_gap_and_the_rest_arrives(rig: Rig) -> None:
    """Fault matrix 13: SQLite does not see a flipped bit in a payload; the digest does."""
    outbox = await rig.open()
    await outbox.append(events(outbox, 1, 9))
    rig.tamper(
        "DROP TRIGGER entry_is_never_updated",
        """UPDATE entry SET payload = CAST(replace(payload, '"n": 5', '"n": 4') AS BLOB) WHERE seq = 5""",
    )
    async with Centre() as centre:
        async with pumping(outbox, centre):
            await centre.holds(9)
            await settled(outbox, 9)
        record = centre.ledger.sources[outbox.source]
        assert record.gaps == {5: "damaged"}
        assert sorted(record.ids) == [1, 2, 3, 4, 6, 7, 8, 9]
        assert centre.ledger.missing == []
        census = await outbox.census(UPSTREAM, fresh=True)
        assert (census.delivered, census.quarantined, census.imbalance) == (8, 1, 0)
    await outbox.close(5)


async def test_a_restart_in_the_middle_repeats_at_most_what_was_in_flight(rig: Rig) -> None:
    """The process dies after the centre took a batch and before the cursor moved."""
    outbox = await rig.open()
    await outbox.append(events(outbox, 1, 100))
    async with Centre() as centre:
        centre.script.then(None, None, Act("applied_hang"))
        async with pumping(outbox, centre, is_killed=True, batch_events_max=10):
            await centre.attempted(3)
            await settled(outbox, 20)
        await outbox.close(5)
        outbox = await rig.open()
        async with pumping(outbox, centre, batch_events_max=10):
            await centre.holds(100)
            await settled(outbox, 100)
        assert centre.ledger.redeliveries == 10
        assert (centre.ledger.late, centre.ledger.missing, centre.ledger.conflicts) == ([], [], [])
    await outbox.close(5)


async def test_a_restored_centre_is_filled_up_again_and_the_rewind_is_on_record(rig: Rig) -> None:
    outbox = await rig.open()
    await outbox.append(events(outbox, 1, 40))
    async with Centre(Policy(instance="before")) as centre, pumping(outbox, centre, with_position=True):
        await centre.holds(40)
        await settled(outbox, 40)
    async with Centre(Policy(instance="after")) as restored:
        async with pumping(outbox, restored, with_position=True):
            await restored.holds(40)
            await settled(outbox, 40)
        assert restored.ledger.through(outbox.source) == 40
        assert "upstream_rewound" in [record.action for record in await outbox.audit_list()]
        census = await outbox.census(UPSTREAM, fresh=True)
        assert (census.delivered, census.imbalance) == (40, 0)
    await outbox.close(5)


async def test_what_reaches_a_restored_centre_before_it_was_asked_hides_nothing(rig: Rig) -> None:
    """Restored between two requests, from a backup that never saw this source: it must not begin with the next scan."""
    outbox = await rig.open()
    await outbox.append(events(outbox, 1, 40))
    async with Centre(Policy(instance="before")) as centre, pumping(outbox, centre, with_position=True):
        await settled(outbox, 40)
        centre.ledger, centre.policy.instance = CentreLedger(), "after"
        await outbox.append(events(outbox, 41, 1))
        await settled(outbox, 41)
        assert sorted(centre.ledger.sources[outbox.source].ids) == [*range(1, 42)]
        assert (centre.ledger.late, centre.ledger.missing) == ([], [])
        census = await outbox.census(UPSTREAM, fresh=True)
        assert (census.delivered, census.imbalance) == (41, 0)
    await outbox.close(5)


async def test_who_looks_at_rejected_events_stands_in_the_quarantine(rig: Rig) -> None:
    outbox = await rig.open()
    await outbox.append([*events(outbox, 1, 3), *events(outbox, 4, 1, note="POISON"), *events(outbox, 5, 3)])
    async with Centre(Policy(poison=("POISON",))) as centre:
        async with pumping(outbox, centre, quarantine_owner="quality"):
            await settled(outbox, 7)
        (held,) = await outbox.quarantine_list(UPSTREAM)
        assert (held.seq, held.owner) == (4, "quality")
    await outbox.close(5)


async def roll_back(rig: Rig, centre: Centre) -> str:
    """Make an image of 20 events, deliver those and 20 more, put the image back; return the source of all of them."""
    outbox = await rig.open()
    await outbox.append(events(outbox, 1, 20))
    await outbox.close(5)
    image = {path.name: path.read_bytes() for path in rig.folder.iterdir()}
    outbox = await rig.open()
    source = outbox.source
    await outbox.append(events(outbox, 21, 20))
    async with pumping(outbox, centre, with_position=True):
        await settled(outbox, 40)
    await outbox.close(5)
    for name, octets in image.items():
        (rig.folder / name).write_bytes(octets)
    return source


async def test_a_disk_that_was_rolled_back_goes_on_at_once_under_a_new_source(rig: Rig) -> None:
    """Somebody put back last night's image. What is scanned now must not bear numbers that the centre has."""
    async with Centre() as centre:
        old = await roll_back(rig, centre)
        outbox = await rig.open()
        assert outbox.source == old
        async with pumping(outbox, centre, with_position=True):
            await settled(outbox, 20)
            assert outbox.source != old
            await outbox.append(events(outbox, 101, 5))
            await settled(outbox, 25)
        assert centre.ledger.conflicts == []
        assert (centre.ledger.through(old), centre.ledger.through(outbox.source)) == (40, 25)
        assert len(centre.ledger.by_id) == 45
        (incident,) = await outbox.incidents()
        assert incident.kind == "epoch_changed"
        assert (await outbox.verify()).problems == ()
    await outbox.close(5)


async def test_a_rolled_back_disk_is_found_out_whatever_was_scanned_first(rig: Rig) -> None:
    """The image is put back where there is no network, and tried out, and switched off. On its first day at the site it
    has made more than the centre names; what the centre names it was never sent from here."""
    async with Centre() as centre:
        old = await roll_back(rig, centre)
        outbox = await rig.open()
        await outbox.append(events(outbox, 101, 15))
        unreached = ScriptedUpstream()
        unreached.told = UpstreamUnavailable("no route")
        with pytest.raises(UpstreamUnavailable):
            await PositionFinder(outbox, unreached, UPSTREAM).find(0)
        await outbox.close(5)
        outbox = await rig.open()
        await outbox.append(events(outbox, 116, 15))
        assert (outbox.newest, outbox.source) == (50, old)
        async with pumping(outbox, centre, with_position=True):
            await settled(outbox, 50)
            assert outbox.source != old
            await outbox.append(events(outbox, 131, 5))
            await settled(outbox, 55)
        assert len(centre.ledger.by_id) == 75
        assert centre.ledger.through(outbox.source) == 55
    await outbox.close(5)


async def test_a_network_that_flaps_loses_and_doubles_nothing(rig: Rig) -> None:
    outbox = await rig.open()
    async with Centre() as centre, Network(centre.host, centre.port, seed=11) as network:
        url = f"http://127.0.0.1:{network.port}/v1/events"
        async with pumping(outbox, centre, url=url, batch_events_max=7, timeout_s=0.5):
            for step in range(12):
                network.blow(cut_probability=0.2, loses_answers=step % 3 == 0)
                await outbox.append(events(outbox, step * 10 + 1, 10))
                if step % 4 == 3:
                    network.cut()
                    await asyncio.sleep(0)
                    await network.mend()
            network.clear_up()
            await centre.holds(120)
            await settled(outbox, 120)
        assert (centre.ledger.late, centre.ledger.missing, centre.ledger.conflicts) == ([], [], [])
        assert len(centre.ledger.by_id) == 120
    await outbox.close(5)
