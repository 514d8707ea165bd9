"""`make soak`: a short one here, its judge with histories made up, and leaks planted in the real program."""

import asyncio
import sys
import threading
from pathlib import Path

import pytest
import soak_judge
from soak import Soak, SoakPlan, told
from soak_judge import SAMPLES_MIN, SECONDS_MIN, Sample, TooShort, judge

from simulators.site import Site, SitePlan

PLANTED = str(Path(__file__).parents[1] / "support" / "planted_gateway.py")
LOOKS = 400


def history(seconds: float = 3600.0, looks: int = LOOKS, **grown: float) -> list[Sample]:
    """Samples of a process that fills its caches in the first fifth, moves a little, and grows by so much in all."""
    found = []
    for number in range(looks):
        share = number / looks
        warming = min(share / 0.2, 1.0) * 20
        found.append(
            Sample(
                at_s=share * seconds,
                rss_mb=60 + warming + (number % 7) * 0.2 + share * grown.get("rss_mb", 0.0),
                descriptors=int(30 + number % 3 + share * grown.get("descriptors", 0.0)),
                threads=int(8 + share * grown.get("threads", 0.0)),
                wal_mb=2 + share * grown.get("wal_mb", 0.0),
                outbox_mb=10.0,
                cpu_s=number * 1.0,
            )
        )
    return found


def test_a_process_that_fills_its_caches_and_stays_so_has_not_grown() -> None:
    assert all(finding.holds for finding in judge(history()))


@pytest.mark.parametrize(
    ("leak", "what"),
    [
        ({"rss_mb": 16.0}, "resident memory"),
        ({"descriptors": 8.0}, "file descriptors"),
        ({"threads": 8.0}, "threads"),
        ({"wal_mb": 100.0}, "largest write-ahead log"),
    ],
    ids=["memory", "descriptors", "threads", "log"],
)
def test_what_grows_is_named(leak: dict[str, float], what: str) -> None:
    assert [finding.what for finding in judge(history(**leak)) if not finding.holds] == [what]


@pytest.mark.parametrize("short", [{"seconds": SECONDS_MIN * 0.9}, {"looks": SAMPLES_MIN}], ids=["minutes", "looks"])
def test_a_short_run_is_not_judged_by_its_size(short: dict[str, float]) -> None:
    with pytest.raises(TooShort):
        judge(history(**short))  # type: ignore[arg-type]


async def test_a_quarter_of_a_minute_keeps_every_promise(tmp_path: Path) -> None:
    outcome = await Soak(tmp_path, SoakPlan(minutes=0.25)).run()
    assert outcome.holds, told(outcome)
    assert outcome.ledger.injected > 300 and outcome.ledger.redeliveries
    assert {"reload with a change", "a scanner is unplugged", "a captive portal"} <= set(outcome.disturbances)
    assert "too short" in told(outcome)


async def test_the_loop_goes_on_beside_the_last_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an hour it takes seconds; a PLC that answers nobody meanwhile would keep its last parts."""
    loop_goes_on = threading.Event()
    monkeypatch.setattr(Soak, "_is_complete", lambda _: loop_goes_on.wait(5))
    soak = Soak(tmp_path, SoakPlan())
    async with Site(tmp_path, SitePlan(scanners=0, handhelds=0), listener_port=1) as soak._site:
        asyncio.get_running_loop().call_later(0.01, loop_goes_on.set)
        await asyncio.wait_for(soak._settled(), 60)


@pytest.mark.long
@pytest.mark.parametrize(
    ("program", "grown"),
    [
        (("-m", "gateway"), []),
        ((PLANTED, "keep-payloads"), ["resident memory"]),
        ((PLANTED, "keep-sockets"), ["file descriptors"]),
    ],
    ids=["as it is", "keep-payloads", "keep-sockets"],
)
async def test_a_leak_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: tuple[str, ...], grown: list[str]
) -> None:
    """In minutes, so the leaks are large ones, and a gateway that is still warming up has room for that."""
    for name, value in (("WARM_S", 60.0), ("SECONDS_MIN", 170.0), ("GROWN_MB", 30.0)):
        monkeypatch.setattr(soak_judge, name, value)
    outcome = await Soak(tmp_path, SoakPlan(minutes=3, program=(sys.executable, *program))).run()
    assert outcome.promises_hold, told(outcome)
    assert [finding.what for finding in outcome.findings if not finding.holds] == grown, told(outcome)
