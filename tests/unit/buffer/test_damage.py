"""Hundreds of damages, each opened by the real open.

`make damage` does ten thousand, and so does `make long`, with eight thousand more.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from damage_storm import storm
from fault_plugin import Figure

KEPT = {
    114611: "a cell of zeros where the only position stood: it was taken for no position at all, and what was not yet"
    " delivered would have been skipped",
}
"""Seeds that found something, and what."""
SHARES = 8
SEEDS_A_SHARE = 100
MEMORY = Path("/dev/shm")


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.fault(13, 14)
async def test_whatever_is_damaged_the_start_is_not_refused_and_no_undamaged_entry_is_lost(share: int) -> None:
    """Flipped bits, lost pages and sectors, cut files, in database and log; judged from the bytes of the original."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        counts = await storm(Path(folder), range(share * SEEDS_A_SHARE, (share + 1) * SEEDS_A_SHARE))
    assert counts["damages"] == SEEDS_A_SHARE
    assert counts["salvaged"] > SEEDS_A_SHARE // 2


@pytest.mark.parametrize("seed", KEPT)
@pytest.mark.fault(13, 14)
async def test_what_a_damage_once_showed_stays_mended(seed: int) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        assert (await storm(Path(folder), range(seed, seed + 1)))["damages"] == 1


@pytest.mark.fault(13, 14)
@pytest.mark.long
async def test_ten_thousand_damages_hand_out_no_wrong_event(figure: Figure) -> None:
    """The same with other seeds; ten thousand of them flip bits. `make damage` runs it alone and says what was what."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        counts = await storm(Path(folder), range(100_000, 118_000))
    assert counts["damages"] == 18_000
    flipped = counts["flip"] + counts["flip head"]
    assert flipped >= 10_000
    figure("damaged copies", counts["damages"])
    figure("of these with flipped bits", flipped)
    figure("salvaged", counts["salvaged"])
    figure("wrong events handed out", 0)
    figure("starts refused", 0)
