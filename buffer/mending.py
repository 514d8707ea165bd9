"""Broken links of the chain: which one of two rows that disagree is wrong, as far as a third one can say."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Sequence

from buffer.digest import CHAIN_START, chain_of
from buffer.wreck import Values


def mended(
    new: sqlite3.Connection, anchors: Sequence[tuple[int, int, bytes]], ledger: Values | None
) -> tuple[list[tuple[int, bytes]], list[int]]:
    """Return the entries whose stored chain is wrong, with the right one, and those where it can only be said wrong.

    The digest does not cover the chain, so a row can be whole and its link broken. Of two that disagree, the next link
    says which one is wrong.
    """
    fixed: list[tuple[int, bytes]] = []
    broken: list[int] = []
    ends = {last: chain for _, last, chain in anchors}
    rows = itertools.chain(new.execute("SELECT seq, digest, chain FROM entry ORDER BY seq"), [None])
    before_seq, before = 0, CHAIN_START
    current: tuple[int, bytes, bytes] | None = next(rows)
    while current is not None:
        following = next(rows)
        seq, digest, chain = current
        if seq - 1 in ends:
            before_seq, before = seq - 1, ends[seq - 1]
        if seq == before_seq + 1 and (right := chain_of(before, seq, digest)) != chain:
            if following is not None and following[0] == seq + 1:
                is_wrong = chain_of(right, following[0], following[1]) == following[2]
            else:
                is_wrong = ledger is not None and ledger[1] == seq and ledger[2] == right
            if is_wrong:
                fixed.append((seq, right))
                chain = right
            else:
                broken.append(before_seq)
        before_seq, before, current = seq, chain, following
    return fixed, broken
