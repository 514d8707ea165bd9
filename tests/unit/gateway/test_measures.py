"""How the work goes, from the drafts of commits alone."""

import json
from collections.abc import Iterator
from datetime import datetime
from random import Random
from typing import Any, cast

import pytest

from buffer import Draft
from gateway.measures import board
from gateway.measures.board import (
    DEVICES_MAX,
    HOUR_MS,
    OPEN_MAX,
    PAUSE_MS,
    STOCK_MAX_MS,
    WAITING_MAX,
    Measures,
)
from gateway.measures.chart import ASSUMED_SHARE, GROUP_READINGS, UNREADABLE_MIN, ControlChart
from gateway.measures.durations import Durations
from gateway.measures.status import measures_status
from gateway.measures.suppliers import OTHERS, SUPPLIERS_MAX
from gateway.measures_service import MeasuresService

START = 490_000 * HOUR_MS
"""On the hour."""


def draft(kind: str, at_s: float = 0, *, device: str = "s-1", station: str = "dock-3", **data: Any) -> Draft:
    payload = json.dumps({"id": "x", "data": data}, separators=(",", ":")).encode()
    return Draft("x", f"dockline.{kind}.v1", station, device, START + int(at_s * 1000), payload)


def item(code: str) -> dict[str, str]:
    return {"gtin": "09521234543213", "lot": code}


def test_dock_to_stock_is_from_receipt_to_putaway_of_the_same_item() -> None:
    measures = Measures(START)
    measures.accept([draft("receipt", 0, item=item("A")), draft("receipt", 60, item=item("B"))])
    measures.accept([draft("receipt", 120, item=item("A"))])
    assert measures.waiting == 3
    measures.accept([draft("putaway", 600, item=item("A")), draft("putaway", 700, item=item("C"))])
    assert measures.dock_to_stock.sum_s == 600, "the oldest receipt goes first"
    measures.accept([draft("putaway", 720, item=item("A"))])
    told = measures_status(measures, START)
    assert (told.dock_to_stock.count, told.dock_to_stock.sum_s) == (2, 600 + 600)
    assert told.dock_to_stock.counts[:2] == (0, 2)
    assert told.waiting_for_stock == 1


def test_an_item_that_waited_for_over_a_week_is_no_figure() -> None:
    measures = Measures(START)
    measures.accept([draft("receipt", 0, item=item("A"))])
    measures.accept([draft("putaway", STOCK_MAX_MS / 1000 + 1, item=item("A"))])
    assert (measures.dock_to_stock.count, measures.waiting) == (0, 0)


@pytest.mark.parametrize(("pause_s", "count"), [(PAUSE_MS / 1000, 1), (PAUSE_MS / 1000 + 1, 0), (-5, 0)])
def test_a_pick_cycle_is_no_break(pause_s: float, count: int) -> None:
    measures = Measures(START)
    measures.accept([draft("pick", 0), draft("pick", pause_s, device="s-2"), draft("pick", pause_s)])
    assert measures.pick_cycle.count == count


def test_scans_are_counted_by_hour_and_station() -> None:
    measures = Measures(START)
    measures.accept([draft("pick", 10), draft("device", 11), draft("receipt", 20, station="dock-4")])
    measures.accept([draft("pick", 3601), draft("pick", 3602)])
    assert measures.scans(START + HOUR_MS) == {"dock-3": (1, 2), "dock-4": (1, 0)}
    assert measures.scans(START + 2 * HOUR_MS) == {"dock-3": (2, 0), "dock-4": (0, 0)}
    assert measures.scans(START + 3 * HOUR_MS) == {"dock-3": (0, 0), "dock-4": (0, 0)}


def test_a_clock_that_had_been_far_ahead_leaves_no_hour_that_never_ends() -> None:
    """Kept over restarts: by the hour of 2099 every scan to come would be one of this hour."""
    measures = Measures(START)
    measures.accept([draft("pick", 10), draft("pick", 73 * 365 * 86_400)])
    later = Measures(START)
    later.load(json.loads(json.dumps(measures.dump())))
    assert later.scans(START) == {"dock-3": (0, 0)}
    later.accept([draft("pick", 20)])
    later.accept([draft("pick", 3601), draft("pick", 3602)])
    assert later.scans(START + HOUR_MS) == {"dock-3": (1, 2)}


def test_exceptions_are_counted_when_they_open() -> None:
    """An exception that is told again with other figures has the id of the event that opened it."""
    measures = Measures(START)
    opened = draft("exception", state="open", code="short_pick", exception="x")
    measures.accept([opened, opened, draft("exception", state="resolved", code="short_pick", exception="x")])
    measures.accept([draft("exception", state="open", code="short_pick", exception="w")])
    assert measures.exceptions == {"short_pick": 2}


def test_what_is_kept_goes_on_after_a_restart_and_says_from_when() -> None:
    measures = Measures(START)
    measures.accept(
        [draft("receipt", 0, item=item("A")), draft("pick", 5), draft("pick", 9), *[draft("unrecognised")] * 9]
    )
    later = Measures(START + 10 * HOUR_MS)
    later.load(json.loads(json.dumps(measures.dump())))
    assert measures_status(later, START) == measures_status(measures, START)
    later.accept([draft("putaway", 300, item=item("A"))])
    assert (later.dock_to_stock.sum_s, later.since_ms) == (300, START)


@pytest.mark.parametrize("damage", [{}, {"charts": {"s": [1]}}, {"open": {"x": "y"}}])
def test_what_was_kept_and_is_damaged_is_refused_whole(damage: dict[str, Any]) -> None:
    measures = Measures(START)
    kept = {**measures.dump(), **damage} if damage else {}
    with pytest.raises((KeyError, ValueError, TypeError)):
        measures.load(kept)
    assert measures_status(measures, START) == measures_status(Measures(START), START)


def test_nothing_grows_without_bound() -> None:
    measures = Measures(START)
    for number in range(DEVICES_MAX + 50):
        measures.accept([draft("pick", device=f"d-{number}")])
    for number in range(OPEN_MAX + 50):
        measures.accept([draft("receipt", item=item(str(number)))])
    assert len(measures.charts) == DEVICES_MAX
    assert measures.waiting == OPEN_MAX


def test_a_site_that_puts_nothing_away_keeps_no_list_of_all_it_ever_received() -> None:
    """One kind of carton, received all year and never put away here: the newest ones are kept in mind, and no more."""
    measures = Measures(START)
    for number in range(WAITING_MAX + 50):
        measures.accept([draft("receipt", number, item=item("A"))])
    assert measures.waiting == WAITING_MAX
    later = Measures(START)
    later.load(json.loads(json.dumps(measures.dump())))
    assert later.waiting == WAITING_MAX
    later.accept([draft("putaway", WAITING_MAX + 100, item=item("A"))])
    assert later.dock_to_stock.sum_s == WAITING_MAX + 50, "the oldest ones left"
    assert later.waiting == WAITING_MAX - 1


def test_what_an_older_version_kept_without_bound_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    measures = Measures(START)
    monkeypatch.setattr(board, "WAITING_MAX", 10)
    kept = json.loads(json.dumps({**measures.dump(), "open": {"A": list(range(50)), "B": [60]}}))
    measures.load(kept)
    assert measures.waiting == 10


def test_what_nobody_put_away_for_a_week_is_not_waiting_any_more() -> None:
    measures = Measures(START)
    measures.accept([draft("receipt", 0, item=item("A")), draft("receipt", 10, item=item("B"))])
    measures.accept([draft("receipt", STOCK_MAX_MS / 1000 + 5, item=item("C"))])
    assert measures.waiting == 2


def test_of_many_devices_those_heard_last_are_measured_also_after_a_restart() -> None:
    """In some years a site has had more handhelds than are kept; the new ones must not be those that are left out."""
    before = Measures(START)
    for number in range(DEVICES_MAX):
        before.accept([draft("pick", device=f"d-{number}")])
    before.accept([draft("pick", 1, device="d-0")])
    measures = Measures(START)
    measures.load(json.loads(json.dumps(before.dump())))
    for at_s in (2, 12):
        measures.accept([draft("pick", at_s, device="new")])
    assert "new" in measures.charts and "d-0" in measures.charts
    assert "d-1" not in measures.charts, "silent for longest"
    assert measures.pick_cycle.count == before.pick_cycle.count + 1


def read(chart: ControlChart, unreadable: int, groups: int = 1) -> list[bool]:
    """The verdicts that changed, group by group."""
    return [max(list(one_group(chart, unreadable))) for _ in range(groups)]


def one_group(chart: ControlChart, unreadable: int) -> Iterator[bool]:
    for number in range(GROUP_READINGS):
        yield chart.add(is_unreadable=number < unreadable)


def test_a_scanner_that_goes_blind_is_degraded_and_well_again_after_two_groups() -> None:
    chart = ControlChart()
    assert read(chart, 1, groups=10) == [False] * 10
    assert read(chart, 12) == [True]
    assert chart.is_degraded
    assert read(chart, 12) == [False]
    assert (read(chart, 0), chart.is_degraded) == ([False], True)
    assert (read(chart, 0), chart.is_degraded) == ([True], False)


def test_the_limit_is_three_standard_deviations_above_the_device_s_own_share() -> None:
    chart = ControlChart()
    assert chart.centre == ASSUMED_SHARE
    read(chart, 3, groups=10)
    assert chart.centre == 0.06
    assert round(chart.limit, 4) == round(0.06 + 3 * (0.06 * 0.94 / 50) ** 0.5, 4) == 0.1608
    below = int(chart.limit * GROUP_READINGS)
    assert (read(chart, below), chart.is_degraded) == ([False], False)
    assert (read(chart, below + 1), chart.is_degraded) == ([True], True)


def test_groups_out_of_control_do_not_move_the_centre_line() -> None:
    """Else a scanner that goes blind slowly would teach the chart that blind is normal."""
    chart = ControlChart()
    read(chart, 1, groups=8)
    before = chart.centre
    read(chart, 30, groups=50)
    assert (chart.centre, chart.is_degraded) == (before, True)


def test_a_smear_on_a_device_that_never_fails_is_no_fault() -> None:
    chart = ControlChart()
    read(chart, 0, groups=20)
    assert read(chart, UNREADABLE_MIN - 1) == [False]


def test_false_alarms_are_rare() -> None:
    """A steady 5 % of unreadable labels for 2,000 groups: three standard deviations let few pass."""
    chart, rng = ControlChart(), Random(7)
    alarms = sum(
        chart.add(is_unreadable=rng.random() < 0.05) and chart.is_degraded for _ in range(2000 * GROUP_READINGS)
    )
    assert alarms < 2000 * 0.02


@pytest.mark.parametrize("size", [1, 7, 300])
def test_it_makes_no_difference_how_events_fall_into_commits(size: int) -> None:
    """A commit of many counts them together; only the order of readings within one commit is not looked at."""
    drafts = [draft("pick", number, item=item("A")) for number in range(300)]
    drafts += [draft("unrecognised", 300 + number) for number in range(60)]
    together, alone = Measures(START), Measures(START)
    for first in range(0, len(drafts), size):
        together.accept(drafts[first : first + size])
    for one in drafts:
        alone.accept([one])
    assert measures_status(together, START) == measures_status(alone, START)
    assert list(together.changed) == list(alone.changed) == ["s-1"]


def test_durations_fall_into_their_buckets() -> None:
    durations = Durations((1.0, 5.0))
    for seconds in (0.5, 1.0, 3.0, 9.0):
        durations.add(seconds)
    assert (durations.counts, durations.count, durations.mean_s) == ([2, 1, 1], 4, 3.4)
    other = Durations((1.0,))
    other.load(durations.dump())
    assert other.count == 0


def test_exceptions_by_supplier_have_a_rate() -> None:
    measures = Measures(START)
    odd = 'Müller "& Söhne\\'
    for supplier, count in (("4012345000009", 3), (odd, 1)):
        opened = draft("exception", state="open", code="receiving_variance", supplier=supplier, exception="x")
        measures.accept([opened] * count)
    measures.accept([draft("exception", state="open", code="unreadable", exception="x")])
    measures.accept([draft("tally", supplier="4012345000009", final=True)] * 2)
    measures.accept([draft("tally", supplier="4012345000009", final=False), draft("tally", final=True)])
    told = measures_status(measures, START).suppliers
    assert [(one.supplier, one.opened, one.documents_closed, one.per_document) for one in told] == [
        ("4012345000009", {"receiving_variance": 3}, 2, 1.5),
        (odd, {"receiving_variance": 1}, 0, None),
    ]


def test_how_long_an_exception_took_is_kept_by_code() -> None:
    measures = Measures(START)
    raised = "2025-11-24T16:00:00.000Z"
    took = datetime.fromisoformat(raised).timestamp() - START / 1000
    measures.accept([draft("exception", took + 600, state="resolved", code="expired", raised_at=raised)])
    measures.accept([draft("exception", took - 600, state="resolved", code="expired", raised_at=raised)])
    assert measures.suppliers.resolution["expired"].sum_s == 600, "a clock that was set back counts none"


def test_suppliers_do_not_grow_with_what_documents_say() -> None:
    measures = Measures(START)
    for number in range(SUPPLIERS_MAX + 3):
        measures.accept([draft("exception", state="open", code="expired", supplier=f"S{number}", exception="x")])
    found = {one.supplier: one.opened for one in measures_status(measures, START).suppliers}
    assert (len(found), found[OTHERS]) == (SUPPLIERS_MAX + 1, {"expired": 3})


def test_supplier_counts_outlive_a_restart_and_an_older_version_had_none() -> None:
    measures = Measures(START)
    measures.accept([draft("exception", state="open", code="expired", supplier="S1"), draft("tally", supplier="S2")])
    measures.accept([draft("exception", 60, state="resolved", code="expired", raised_at="2020-01-01T00:00:00Z")])
    kept = json.loads(json.dumps(measures.dump()))
    again = Measures(START)
    again.load(kept)
    assert measures_status(again, START) == measures_status(measures, START)
    del kept["suppliers"]
    older = Measures(START)
    older.load(kept)
    assert measures_status(older, START).suppliers == ()


async def test_a_device_that_left_before_it_could_be_told_of_is_passed_over() -> None:
    """The disk was full while its chart changed, and a thousand other devices came by."""
    told: list[str] = []

    class Intake:
        async def device_event(self, device: str, state: str, reason: str) -> str:
            told.append(device)
            return "id"

    service = MeasuresService.__new__(MeasuresService)
    service.measures = Measures(START)
    for device in ("s-1", "s-2"):
        for _ in range(10):
            service.measures.accept([draft("unrecognised", device=device)] * GROUP_READINGS)
    assert list(service.measures.changed) == ["s-1", "s-2"]
    del service.measures.charts["s-1"]
    await service._tell(cast(Any, Intake()))
    assert told == ["s-2"]
    assert not service.measures.changed
