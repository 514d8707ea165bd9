"""A flipped bit in a row that has no digest is noticed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from outbox_rig import Rig, drafts, redelivery, state

from buffer.connection import open_writer
from buffer.errors import OutboxDamaged
from buffer.migrate import migrate
from buffer.row_check import CHECKS, cursor_crc, position_row, position_rows, redelivery_crc, seal_cursor, state_crc

ANSWER = ("hh-7", "hh-7-000001", b"fingerprint", b"stored\x1f0190", 1_234)
POSITION = ("centre", 8841, 1, 0, 8840, 1, 1_790_000_000_000, 0)


@pytest.fixture
def connection(tmp_path) -> Iterator[sqlite3.Connection]:  # type: ignore[no-untyped-def]
    made = open_writer(tmp_path / "outbox.db")
    migrate(made)
    yield made
    made.close()


def test_every_single_flipped_bit_of_an_answer_changes_its_check() -> None:
    right = redelivery_crc(*ANSWER)
    for column in (2, 3):
        for bit in range(len(ANSWER[column]) * 8):
            octets = bytearray(ANSWER[column])  # type: ignore[arg-type]
            octets[bit // 8] ^= 1 << bit % 8
            assert redelivery_crc(*ANSWER[:column], bytes(octets), *ANSWER[column + 1 :]) != right  # type: ignore[arg-type]
    assert {redelivery_crc(*ANSWER[:4], ANSWER[4] ^ 1 << bit) for bit in range(40)}.isdisjoint({right})


def test_columns_cannot_trade_bytes() -> None:
    assert redelivery_crc("d", "m", b"ab", b"c", 1) != redelivery_crc("d", "m", b"a", b"bc", 1)
    assert cursor_crc("centre", 1, 23) != cursor_crc("centre", 12, 3)
    assert state_crc("session/dock-3", b"PL-1") != state_crc("session/dock-4", b"PL-1")


def test_sql_computes_what_python_does(connection: sqlite3.Connection) -> None:
    """Migrations seal old rows in SQL; a scan seals its rows in Python."""
    given = {"state": ("session/dock-3", b"PL-1"), "redelivery": ANSWER, "cursor": POSITION}
    for table, check in CHECKS.items():
        values = given[table]
        (found,) = connection.execute(f"SELECT {table}_crc({','.join('?' * len(values))})", values).fetchone()
        assert found == check(*values)


@pytest.mark.parametrize("column", ["seq", "required", "accepted_before", "delivered", "skipped", "lost"])
def test_a_position_that_was_changed_behind_our_back_is_not_believed(
    connection: sqlite3.Connection, column: str
) -> None:
    """A bit in the cursor flips from 8841 to 25225: sixteen thousand events would never be sent."""
    connection.execute("INSERT INTO cursor VALUES (?,?,?,?,?,?,?,?,0)", POSITION)
    seal_cursor(connection)
    assert position_row(connection, "centre") == POSITION
    changed = "1 - required" if column == "required" else f"{column} | 16384"
    connection.execute(f"UPDATE cursor SET {column} = {changed}")
    with pytest.raises(OutboxDamaged):
        position_row(connection, "centre")
    with pytest.raises(OutboxDamaged):
        position_rows(connection)


async def test_a_flipped_position_delivers_again_and_skips_nothing(rig: Rig) -> None:
    """The position says 60 and was 40: the start puts it back, keeps the file, and tells a person."""
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 100), state=state(session=b"PL-1"), redeliveries=[redelivery(1)])
    await outbox.settle("centre", through=40)
    await outbox.close(5)
    rig.tamper("UPDATE cursor SET seq = 60, delivered = 60")
    outbox = await rig.open()
    assert await outbox.cursor("centre") == 0
    assert (await outbox.census("centre")).imbalance == 0
    (incident,) = await outbox.incidents()
    assert "position of upstream 'centre'" in incident.told.reason
    assert incident.told.positions_lost
    assert outbox.states()[0].value == b"PL-1"
    assert (await outbox.verify()).problems == ()
    await outbox.close(5)


async def test_a_position_that_flips_while_we_run_ends_the_run_before_it_is_used(rig: Rig) -> None:
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 100))
    rig.tamper("UPDATE cursor SET seq = 60, delivered = 60")
    with pytest.raises(OutboxDamaged):
        await outbox.cursor("centre")
    assert rig.fatal
    await outbox.close(5)
    outbox = await rig.open()
    assert await outbox.cursor("centre") == 0
    await outbox.close(5)
