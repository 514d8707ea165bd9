"""What a consumer sees that takes docs/delivery.md at its word: real processes, real files, SIGKILL."""

from __future__ import annotations

from pathlib import Path

from consumer_site import CAP, EVERYTHING, ConsumerSite, consumer_site, picky

from simulators.network import Network

BIG = "x" * 300


async def test_what_a_full_outbox_gave_up_is_named(tmp_path: Path) -> None:
    """The mirror is down while scans fill the outbox several times over; killed in the middle; then it is up again."""
    upstreams: dict[str, dict[str, object]] = {"centre": {}, "mirror": {"required": False, "batch_events_max": 50}}
    async with consumer_site(tmp_path, upstreams, policies={"mirror": picky()}, bytes_max=CAP) as site:
        await site.post(20, bad={3})
        await site.settled()
        site.lines["mirror"].cut()
        await fill(site, times=2)
        await site.kill()
        await fill(site, times=1)
        await site.lines["mirror"].network.mend()
        await site.settled()
        centre, mirror = site.judge("centre"), site.judge("mirror")
        assert site.acknowledged <= centre.events
        assert mirror.gone("skipped") > 0
        with site.lines["mirror"].broken(reach=EVERYTHING):
            await site.command("replay", "mirror", "--reason", "once more")
        site.judge("mirror")
        await site.judge_books("centre", skipped=0)
        await site.judge_books("mirror", skipped=mirror.gone("skipped"), quarantined=1)


async def test_what_is_given_up_in_mid_flow_is_named(tmp_path: Path) -> None:
    """The mirror is slow and picky, and loses what it is being sent; killed again and again."""
    upstreams: dict[str, dict[str, object]] = {"centre": {}, "mirror": {"required": False, "batch_events_max": 20}}
    async with consumer_site(tmp_path, upstreams, policies={"mirror": picky()}, bytes_max=CAP) as site:
        site.lines["mirror"].network.blow(delay_s=0.15)
        async with site.flow(100, note=BIG, bad={30, 31, 77}):
            await fill(site, times=1)
            for _ in range(2):
                await site.export()
                await site.kill()
                await fill(site, times=1)
        site.lines["mirror"].network.clear_up()
        await site.settled()
        centre, mirror = site.judge("centre"), site.judge("mirror")
        assert site.acknowledged <= centre.events
        assert mirror.gone("skipped") > 0
        assert mirror.gone("quarantined") > 0
        await site.judge_books("centre", skipped=0)
        await site.judge_books("mirror")


async def test_consumers_do_not_hurt_each_other(tmp_path: Path) -> None:
    """One is quick; one is slow, flaps, and refuses some events; one sorts by itself. SIGKILL in between."""
    sorts: dict[str, object] = {"orders_by": "sequence", "in_flight_max": 4, "batch_events_max": 8}
    upstreams: dict[str, dict[str, object]] = {"quick": {}, "slow": {"batch_events_max": 40}, "sorts": sorts}
    async with consumer_site(tmp_path, upstreams, policies={"slow": picky(), "sorts": picky()}) as site:
        quick, slow, sorting = site.lines.values()
        sorting.sorts = True
        slow.network.blow(delay_s=0.03)
        sorting.network.blow(delay_s=0.01, jitter_s=0.05)
        async with site.flow(10, pause_s=0.05, bad={4, 5, 9}):
            for _ in range(2):
                await quick.centre.attempted(len(quick.centre.attempts) + 8)
                slow.cut()
                await quick.centre.holds(len(quick.centre.ledger.by_id) + 60)
                await slow.network.mend()
                await slow.centre.attempted(len(slow.centre.attempts) + 3)
                await site.kill()
        await site.settled()
        assert site.acknowledged <= site.judge("quick").events
        await site.judge_books("quick", quarantined=0)
        for name in ("slow", "sorts"):
            reading, refused = site.judge(name), site.lines[name].refused
            assert reading.gone("quarantined") == len(refused) == len(site.acknowledged - reading.events)
            await site.judge_books(name, quarantined=len(refused))


async def test_a_changed_upstream_in_mid_flow_repeats_little_and_loses_nothing(tmp_path: Path) -> None:
    """Another address, another token, smaller and larger requests, while scans come; then SIGKILL right behind one."""
    token = tmp_path / "centre.token"
    token.write_text("old")
    token.chmod(0o600)
    keys: dict[str, object] = {"token_file": str(token), "batch_events_max": 30}
    async with consumer_site(tmp_path, {"centre": keys}) as site:
        line = site.lines["centre"]
        line.centre.policy.token = "old"
        async with site.flow(20, pause_s=0.05), Network(line.centre.host, line.centre.port, seed=9) as other:
            line.network.blow(delay_s=0.02)
            for change in ({"batch_events_max": 7}, {"batch_events_max": 500}, {"linger_s": 0.01}):
                await line.centre.attempted(len(line.centre.attempts) + 6)
                line.keys |= change
                await site.reload()
            await line.centre.attempted(len(line.centre.attempts) + 6)
            line.network, before = other, line.network
            await site.reload()
            before.cut()
            await line.centre.attempted(len(line.centre.attempts) + 6)
            (tmp_path / "new.token").write_text("new")
            (tmp_path / "new.token").chmod(0o600)
            line.centre.policy.token, line.keys["token_file"] = "new", str(tmp_path / "new.token")
            await site.reload()
            await line.centre.attempted(len(line.centre.attempts) + 6)
            line.keys["batch_events_max"] = 25
            await site.reload()
            await site.kill()
            await line.centre.attempted(len(line.centre.attempts) + 6)
            line.network = before
            await before.mend()
            await site.reload()
        await site.settled()
        assert site.acknowledged <= site.judge("centre").events
        await site.judge_books("centre", skipped=0, quarantined=0)


async def test_an_upstream_added_beside_one_far_behind_begins_where_its_setting_says(tmp_path: Path) -> None:
    """The centre refused an event, which is kept; the mirror is down; what both do not need has left. Two more come."""
    optional: dict[str, object] = {"required": False}
    policies = {"centre": picky()}
    async with consumer_site(tmp_path, {"centre": {}, "mirror": optional}, policies=policies, bytes_max=CAP) as site:
        await site.post(20, bad={3})
        await site.settled()
        site.lines["mirror"].cut()
        await fill(site, times=1)
        await site.settled("centre")
        oldest, newest = site.rows("SELECT min(seq), max(seq) FROM entry")[0]
        await site.add("kept", {**optional, "start": "retained"})
        await site.add("fresh", {**optional, "start": "now"})
        await site.reload()
        before = set(site.acknowledged)
        await site.post(20, bad={5})
        await site.kill()
        await site.post(20)
        await site.settled("centre", "kept", "fresh")
        await fill(site, times=1)
        await site.lines["mirror"].network.mend()
        await site.settled()
        owed = {"centre": None, "mirror": None, "kept": site.acknowledged - before, "fresh": site.acknowledged - before}
        readings = {name: site.judge(name, owed=ids) for name, ids in owed.items()}
        firsts = {name: next(iter(reading.sources.values())).first for name, reading in readings.items()}
        assert (firsts["centre"], firsts["mirror"], firsts["kept"]) == (1, 1, oldest)
        assert firsts["fresh"] > newest
        assert readings["kept"].gone("skipped") > 0
        for name in readings:
            await site.judge_books(name)
        exported = await site.export()
        ((held,),) = site.rows("SELECT min(seq) FROM entry")
        (source,) = exported.sources.values()
        assert (source.first, exported.gone("skipped") > 0) == (held, True)


async def test_a_centre_restored_from_before_retention_hears_what_nobody_can_give_it(tmp_path: Path) -> None:
    """Its backup ends at the fifteenth event; most of what followed was delivered, and has left the small outbox."""
    async with consumer_site(tmp_path, {"centre": {}}, bytes_max=CAP) as site:
        line = site.lines["centre"]
        line.keys["position_url"] = f"http://127.0.0.1:{line.network.port}/v1/position"
        await site.reload()
        await site.post(20)
        while site.rows("SELECT min(seq) FROM entry")[0][0] < 100:
            await site.post(100, note=BIG)
            await site.settled()
        line.cut()
        with line.broken(reach=EVERYTHING):
            line.restore(15)
            await line.network.mend()
            await site.post(20)
            await site.settled()
        reading = site.judge("centre")
        (source,) = reading.sources.values()
        assert source.first == 1
        assert reading.gone("skipped") >= 80
        await site.judge_books("centre", skipped=0)


async def fill(site: ConsumerSite, *, times: int) -> None:
    """Scan until the outbox has given up what the mirror does not have, so often."""
    for _ in range(times):
        before = (await site.upstream("mirror"))["skipped"]
        while (await site.upstream("mirror"))["skipped"] == before:
            await site.post(100, note=BIG)
