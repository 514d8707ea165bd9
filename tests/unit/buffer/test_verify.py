"""The proof, and what it finds."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from outbox_rig import Rig, drafts

from buffer import OutboxReader


async def filled(rig: Rig) -> None:
    """Leave an outbox with anchors, held entries and an audit."""
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 10))
    await outbox.settle("centre", through=10, rejected=[(4, "no")])
    rig.advance(hours=24 * 15)
    body = json.dumps({"specversion": "1.0", "source": outbox.source}, separators=(",", ":")).encode()
    await outbox.append([one._replace(payload=body) for one in drafts(11, 10)])
    await outbox.close(5)


def problems(rig: Rig) -> tuple[str, ...]:
    reader = OutboxReader.open(rig.folder)
    told: list[tuple[int, int]] = []
    try:
        verification = reader.verify(lambda seq, head: told.append((seq, head)))
    finally:
        reader.close()
    assert told[-1][0] in (17, 20)
    assert {head for _, head in told} == {20}
    assert verification.is_whole == (verification.problems == ())
    return verification.problems


async def test_a_whole_journal_is_proved(rig: Rig) -> None:
    await filled(rig)
    assert problems(rig) == ()


@pytest.mark.parametrize(
    ("forgery", "found"),
    [
        ("UPDATE entry SET payload = x'00' WHERE seq = 15", "entry 15 does not match its digest"),
        ("UPDATE entry SET digest = zeroblob(16) WHERE seq = 15", "entry 15 does not match the chain"),
        ("UPDATE entry SET chain = zeroblob(16) WHERE seq = 15", "entry 16 does not match the chain"),
        ("DELETE FROM entry WHERE seq = 15", "entries 15 to 15 are missing"),
        ("DELETE FROM entry WHERE seq = 4", "entries 4 to 4 are missing"),
        ("DELETE FROM entry WHERE seq >= 18", "entries 18 to 20 are missing"),
        ("DELETE FROM purged WHERE first_seq = 5", "entries 5 to 10 are missing"),
        ("UPDATE purged SET last_chain = zeroblob(16) WHERE first_seq = 5", "entry 11 does not match the chain"),
        ("UPDATE purged SET last_seq = 11 WHERE first_seq = 5", "were removed, the anchors cover"),
        ("UPDATE ledger SET head_chain = zeroblob(16)", "the chain does not end at the head"),
        ("UPDATE ledger SET accepted = 21", "21 entries were accepted"),
        ("UPDATE audit SET actor = 'nobody' WHERE number = 2", "audit record 2 does not match the chain"),
        ("DELETE FROM audit WHERE number = 2", "audit records 2 to 2 are missing"),
        ("UPDATE epoch SET reason = 'restored'", "audit record 1 tells of is not there as it was told"),
        ("UPDATE epoch SET opened_at = 0", "audit record 1 tells of is not there as it was told"),
        ("DELETE FROM epoch", "audit record 1 tells of is not there as it was told"),
        ("UPDATE epoch SET first_seq = 16", "entry 11 names another source"),
        ("UPDATE epoch SET source = '//dc07/dock-pc-1/other'", "entry 11 names another source"),
        ("UPDATE audit SET number = CASE number WHEN 2 THEN 1000 ELSE number END", "audit records 2 to 2 are missing"),
    ],
)
async def test_forgery_is_found(rig: Rig, forgery: str, found: str) -> None:
    """Somebody with a database tool and time."""
    await filled(rig)
    rig.tamper(
        "DROP TRIGGER entry_is_never_updated",
        "DROP TRIGGER audit_is_never_updated",
        "DROP TRIGGER audit_is_never_deleted",
        forgery,
    )
    assert any(found in problem for problem in problems(rig)), problems(rig)


async def test_an_edit_with_its_digest_recomputed_breaks_the_chain(rig: Rig) -> None:
    """Digest and payload are edited together: the next link does not fit."""

    from buffer.digest import digest_of

    await filled(rig)
    reader = OutboxReader.open(rig.folder)
    entry = reader.entry(15)
    reader.close()
    assert entry is not None
    digest = digest_of(entry._replace(payload=b"forged")).hex()
    rig.tamper(
        "DROP TRIGGER entry_is_never_updated",
        f"UPDATE entry SET payload = CAST('forged' AS BLOB), digest = x'{digest}' WHERE seq = 15",
    )
    assert problems(rig) == ("entry 15 does not match the chain",)


async def test_problems_are_listed_up_to_a_hundred(rig: Rig) -> None:
    outbox = await rig.open()
    await outbox.append(drafts(1, 300))
    await outbox.close(5)
    rig.tamper("DROP TRIGGER entry_is_never_updated", "UPDATE entry SET payload = x'00'")
    reader = OutboxReader.open(rig.folder)
    assert len(reader.verify().problems) == 100
    reader.close()


async def test_heads_held_elsewhere(rig: Rig) -> None:
    """A centre kept the heads it saw: all of them must be links of this journal, removed ones are told apart."""
    outbox = await rig.open()
    kept = []
    for number in range(1, 4):
        await outbox.append(drafts(number, 1))
        kept.append(await outbox.head_of_chain())
    await outbox.close(5)
    reader = OutboxReader.open(rig.folder)
    assert reader.verify(heads=kept).problems == ()
    forged = replace(kept[1], chain_hex="0" * 32)
    assert reader.verify(heads=[forged]).problems == (
        "the journal up to entry 2 is not the one whose head is held elsewhere",
    )
    assert "a tail was cut off" in reader.verify(heads=[replace(kept[2], seq=9)]).problems[0]
    assert "the head held elsewhere says" in reader.verify(heads=[replace(kept[2], source="//x/y/z")]).problems[0]
    reader.close()


@pytest.mark.parametrize(
    ("forgery", "found"),
    [
        ("DELETE FROM audit WHERE number = (SELECT max(number) FROM audit)", "are missing"),
        ("UPDATE epoch SET linked_chain = x'00000000000000000000000000000001'", "epoch 1 is not linked"),
        ("INSERT INTO entry VALUES (99, 'x', 'x', 'x', 'x', 0, x'', x'', x'')", "1 entries lie outside the journal"),
    ],
)
async def test_further_forgery_is_found(rig: Rig, forgery: str, found: str) -> None:
    await filled(rig)
    rig.tamper("DROP TRIGGER audit_is_never_deleted", forgery)
    reader = OutboxReader.open(rig.folder)
    assert any(found in problem for problem in reader.verify().problems)
    reader.close()


@pytest.mark.parametrize("column", ["at", "operating_ms", "actor", "action", "upstream", "seq", "detail", "chain"])
@pytest.mark.parametrize("number", [1, 2, 3])
async def test_no_column_of_no_audit_record_can_be_changed(rig: Rig, number: int, column: str) -> None:
    await filled(rig)
    new = {"chain": "zeroblob(16)", "seq": "coalesce(seq, 0) + 1"}.get(column, f"{column} || '1'")
    if column in ("at", "operating_ms"):
        new = f"{column} + 1"
    rig.tamper("DROP TRIGGER audit_is_never_updated", f"UPDATE audit SET {column} = {new} WHERE number = {number}")
    assert problems(rig)


@pytest.mark.parametrize("table", ["entry", "audit"])
async def test_rows_that_traded_places_are_found(rig: Rig, table: str) -> None:
    """Two whole rows, each with its own digest, in the other's place."""
    await filled(rig)
    key, one, other = ("seq", 14, 15) if table == "entry" else ("number", 2, 3)
    rig.tamper(
        f"DROP TRIGGER {table}_is_never_updated",
        f"UPDATE {table} SET {key} = 9000 WHERE {key} = {one}",
        f"UPDATE {table} SET {key} = {one} WHERE {key} = {other}",
        f"UPDATE {table} SET {key} = {other} WHERE {key} = 9000",
    )
    assert problems(rig)
