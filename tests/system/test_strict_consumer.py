"""What a consumer sees that takes docs/delivery.md at its word: real processes, real files, SIGKILL."""

from __future__ import annotations

from pathlib import Path

from consumer_site import ConsumerSite, consumer_site, picky

CAP = 1048576
"""The smallest cap there is; some seven hundred scans fill it."""
BIG = "x" * 300
EVERYTHING = 10**9
"""All requests may come again: somebody wants that."""


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
        assert mirror.gone("skipped") > 500
        site.lines["mirror"].note_break(reach=EVERYTHING)
        await site.command("replay", "mirror", "--reason", "once more")
        site.judge("mirror")
        await site.judge_books("centre", skipped=0)
        await site.judge_books("mirror", skipped=mirror.gone("skipped"), quarantined=1)


async def fill(site: ConsumerSite, *, times: int) -> None:
    """Scan until the outbox has given up what the mirror does not have, so often."""
    for _ in range(times):
        before = (await site.upstream("mirror"))["skipped"]
        while (await site.upstream("mirror"))["skipped"] == before:
            await site.post(100, note=BIG)
