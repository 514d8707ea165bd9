"""Digest and chain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outbox_rig import drafts

from buffer import Entry
from buffer.digest import CHAIN_START, chain_of, digest_of, is_whole, seal


def sealed(count: int = 3) -> list[Entry]:
    rows, _ = seal(drafts(1, count), 1, CHAIN_START)
    return [Entry(*row) for row in rows]


def test_rows_are_numbered_and_linked() -> None:
    rows, chain = seal(drafts(1, 3), 41, b"previous chain!!")
    assert [row[0] for row in rows] == [41, 42, 43]
    expected = b"previous chain!!"
    for row in rows:
        entry = Entry(*row)
        assert digest_of(entry) == entry.digest
        expected = chain_of(expected, entry.seq, entry.digest)
        assert entry.chain == expected
    assert chain == expected


def test_one_group_or_three_make_the_same_chain() -> None:
    whole, end = seal(drafts(1, 3), 1, CHAIN_START)
    chain = CHAIN_START
    for number in (1, 2, 3):
        rows, chain = seal(drafts(number, 1), number, chain)
        assert rows[0] == whole[number - 1]
    assert chain == end


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 2},
        {"id": "x"},
        {"type": "x"},
        {"station": "x"},
        {"device": "x"},
        {"captured_at": 0},
        {"payload": b"x"},
        {"digest": bytes(16)},
        {"payload": "text"},
        {"id": "\udc80"},
    ],
)
def test_every_column_is_covered(change: dict[str, object]) -> None:
    entry = sealed()[0]
    assert is_whole(entry)
    assert not is_whole(entry._replace(**change))  # type: ignore[arg-type]


@given(st.integers(min_value=0))
def test_any_bit_of_the_payload_matters(bit: int) -> None:
    entry = sealed()[0]
    payload = bytearray(entry.payload)
    bit %= len(payload) * 8
    payload[bit // 8] ^= 1 << bit % 8
    assert not is_whole(entry._replace(payload=bytes(payload)))


def test_text_cannot_move_between_columns() -> None:
    """`dock-3` + `a` is not `dock-3a` + nothing."""
    (first,), _ = seal([drafts(1, 1)[0]._replace(station="dock-3", device="a")], 1, CHAIN_START)
    (second,), _ = seal([drafts(1, 1)[0]._replace(station="dock-3a", device="")], 1, CHAIN_START)
    assert first[7] != second[7]


def test_the_known_answer() -> None:
    """Stored digests must be understood by every later version."""
    entry = sealed(1)[0]
    assert (entry.digest.hex(), entry.chain.hex()) == KNOWN


KNOWN = ("483f81cff6c637fc7edafd170660d7a0", "78b8880cbce3c50753bf6c92226a0257")
