"""How full the outbox says it is."""

from __future__ import annotations

from outbox_rig import Rig, drafts


async def test_numbers_of_a_filling_outbox(rig: Rig) -> None:
    """A day off-line: the operator reads how much is left."""
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    assert outbox.stats().autonomy_hours is None
    assert outbox.stats().oldest_seq is None
    for hour in range(3):
        await outbox.append(drafts(1 + hour * 1000, 1000, size=500))
        rig.advance(hours=1)
    stats = outbox.stats()
    assert (stats.entries, stats.head_seq, stats.oldest_seq) == (3000, 3000, 1)
    assert stats.oldest_captured_at == drafts(1, 1)[0].captured_at
    assert stats.autonomy_hours is not None
    per_hour = stats.bytes_used / 3
    left = min(stats.bytes_max - stats.bytes_used, stats.disk_free)
    assert 0.5 < stats.autonomy_hours / (left / per_hour) < 2
    await outbox.settle("centre", through=3000)
    assert outbox.stats().autonomy_hours > stats.autonomy_hours  # type: ignore[operator]
    await outbox.close(5)
