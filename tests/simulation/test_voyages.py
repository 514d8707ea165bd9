"""Random bad days from seeds: whatever happens on the way, every promise holds when the devices have been answered."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from voyage import sail
from voyage_fleet import processors, sail_many
from voyage_judge import judge

ROOT = Path(__file__).parents[2]
SEEDS = range(1, 61)
"""A sample; `make voyages` sails a thousand, and with SEEDS= and FIRST= as many others as there is time for."""

STORIES = {
    120: "Put back without a network, the disk had soon made as much as the centre named, and nobody was surprised.",
    283: "A restored centre took the newest event before it was asked where it is, and seemed to lack nothing of it.",
    354: "The backup of the centre was older than the present source; the events of the one before never came again.",
    370: "A restored centre had what came since its backup of the new source, seemed complete, and was not rewound.",
    388: "Killed before the ACK byte; the repeat was cut after a byte, whose record hid that the next was a repeat.",
    471: "A person had an event retried; the restored centre lacked it, and only its gap record was in its position.",
    491: "A clock before 1970 left event ids without chance, so that two processes made the same ones.",
    535: "Put back by night, the centre had forgotten an event that came late, after somebody had it tried again.",
    658: "The centre refuses an event, takes those behind it, and wants the first one after all: late, not lost.",
    1012: "The clock jumped a month, the gateway restarted, and the delivery note scanned a minute ago was forgotten.",
    30044: "A salvage had begun a new source right behind the image: nothing was taken, yet the judge wanted another.",
    40357: "Killed before the ACK byte of a delivery note, then refused: it held, though the last beep was an error.",
    41059: "The image was of a damaged disk, though its log hid that: a salvage began the source the judge blamed.",
}
"""Every seed that ever failed, and what had happened. A seed means the same voyage only as long as nothing draws
otherwise; each story has a test of its own beside the code that it was about."""


def test_every_promise_holds_on_random_bad_days() -> None:
    failed = {one.seed: one.violations[:5] for one in sail_many(SEEDS, processors()) if one.violations}
    assert failed == {}


@pytest.mark.parametrize("seed", STORIES)
def test_what_once_went_wrong_goes_well(seed: int) -> None:
    verdict = judge(sail(seed))
    assert verdict.holds, (verdict.violations, verdict.faults)


def test_a_voyage_is_large_and_bad_enough_to_mean_something() -> None:
    verdict = judge(sail(7))
    assert verdict.ledger.injected >= 200
    assert len(verdict.faults) >= 5


def test_equal_seeds_give_equal_voyages() -> None:
    """In another process, with other hashes and addresses: the same voyage, byte by byte; another seed is another."""
    program = "import sys; from voyage import sail; print(sail(7).trace, sail(8).trace)"
    environ = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}"}
    told = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    elsewhere = told.stdout.split()
    assert elsewhere == [sail(7).trace, sail(8).trace]
    assert len(set(elsewhere)) == 2
