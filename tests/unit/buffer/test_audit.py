"""What people and the outbox did."""

from __future__ import annotations

import sqlite3

import pytest
from outbox_rig import Rig


async def test_records_are_numbered_timed_and_kept(rig: Rig) -> None:
    outbox = await rig.open()
    rig.advance(seconds=1)
    await outbox.record("outbox_inspected", actor="op7", upstream="centre", detail="by hand")
    await outbox.close(5)
    outbox = await rig.open()
    records = await outbox.audit_list()
    assert [(one.number, one.actor, one.action) for one in records] == [
        (1, "outbox", "epoch_opened"),
        (2, "op7", "outbox_inspected"),
    ]
    assert (records[1].at, records[1].operating_ms) == (rig.wall_ms, 1000)
    assert (await outbox.audit_list(after=1, limit=1)) == records[1:]
    assert (await outbox.audit_list(limit=1)) == records[1:], "the newest"
    assert (await outbox.audit_list(after=0, limit=1)) == records[:1], "the first"
    await outbox.close(5)


@pytest.mark.parametrize("edit", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
async def test_the_audit_cannot_be_edited_in_passing(rig: Rig, edit: str) -> None:
    await (await rig.open()).close(5)
    with pytest.raises(sqlite3.IntegrityError, match="never"):
        rig.tamper(edit)
