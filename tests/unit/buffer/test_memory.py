"""Damaged memory counts as not there, and a person is told."""

from __future__ import annotations

from outbox_rig import Rig, draft, redelivery, state

from buffer import StateRow

KEY = ("hh-7", "hh-7-000001")


async def test_a_damaged_session_is_not_believed_and_a_person_is_told(rig: Rig) -> None:
    """A bit flips in the document of a session: the goods of a whole pallet would be booked on another order."""
    outbox = await rig.open()
    await outbox.append([draft(1)], state=state(a=b"PL-1001", b=b"PL-1002"))
    rig.tamper("UPDATE state SET value = x'504C2D31303131' WHERE key = 'a'")
    assert outbox.states() == [StateRow("b", b"PL-1002")]
    assert outbox.states("a") == []
    await outbox.append([draft(2)])
    (incident,) = await outbox.incidents()
    assert incident.kind == "memory_damaged"
    assert incident.told.memory_lost == 1
    assert "a" in incident.told.reason
    assert rig.query("SELECT key FROM state") == [("b",)]
    assert rig.fatal == []
    await outbox.close(5)


async def test_a_row_written_anew_before_the_damage_was_cleared_is_kept(any_rig: Rig) -> None:
    outbox = await any_rig.open()
    await outbox.append([draft(1)], state=state(a=b"PL-1001"))
    any_rig.tamper("UPDATE state SET value = x'00'")
    new = outbox.append([draft(2)], state=state(a=b"PL-1003"))
    assert outbox.states() in ([], [StateRow("a", b"PL-1003")])
    await new
    await outbox.append([draft(3)])
    assert outbox.states() == [StateRow("a", b"PL-1003")]
    await outbox.close(5)


async def test_a_damaged_answer_is_not_given(rig: Rig) -> None:
    """The kept answer names another event: a handheld would show that another pallet was stored."""
    outbox = await rig.open()
    await outbox.append([draft(1)], redeliveries=[redelivery(1)])
    rig.tamper("UPDATE redelivery SET verdict = x'7632'")
    (found,) = outbox.redeliveries([KEY]).values()
    assert found.is_damaged
    await outbox.append([draft(2)], redeliveries=[redelivery(1)])
    assert not outbox.redeliveries([KEY])[KEY].is_damaged
    (incident,) = await outbox.incidents()
    assert "message hh-7-000001 of hh-7" in incident.told.reason
    await outbox.close(5)


async def test_a_salvage_leaves_damaged_memory_behind_and_counts_it(rig: Rig) -> None:
    outbox = await rig.open()
    await outbox.append([draft(1)], state=state(a=b"PL-1001", b=b"PL-1002"), redeliveries=[redelivery(1)])
    await outbox.close(5)
    rig.tamper("UPDATE state SET value = x'00' WHERE key = 'a'", "UPDATE redelivery SET fingerprint = x'00'")
    (rig.folder / "outbox.damage").write_text("the disk reported errors\n")
    outbox = await rig.open()
    assert outbox.states() == [StateRow("b", b"PL-1002")]
    assert outbox.redeliveries([KEY]) == {}
    (incident,) = await outbox.incidents()
    assert incident.told.memory_lost == 2
    await outbox.close(5)
