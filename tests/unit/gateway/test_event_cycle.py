"""One pass of a tag is one observation, whatever the reads, the commits and the restarts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buffer.entry import StateRow
from gateway.capture.event_cycle import Admission, EventCycle, EventCycleSpec, device_seconds

TAG = bytes.fromhex("3074257bf7194e4000001a85")
RECEIPT = "receipt|PO-1|"
WALL = 1_795_000_000_000


class Disk:
    """What the outbox holds of the cycle: applies the rows of seals that commit."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}

    def apply(self, rows: tuple[StateRow, ...]) -> None:
        for row in rows:
            if row.value is None:
                self.rows.pop(row.key, None)
            else:
                self.rows[row.key] = row.value

    def states(self) -> list[StateRow]:
        return [StateRow(key, value) for key, value in self.rows.items()]

    def passes(self) -> set[str]:
        return {key.rpartition("/")[2] for key in self.rows if not key.endswith("/seen")}


def sight(cycle: EventCycle, now: float, epc: bytes = TAG, meaning: str = RECEIPT, event: str = "e1") -> Admission:
    """One read, as Intake takes it: a first sight gets its event at once."""
    admission = cycle.admits(epc, meaning, now)
    if admission.is_first:
        cycle.cover(epc, event)
    return admission


def save(cycle: EventCycle, now: float, disk: Disk | None = None) -> None:
    """Seal and commit."""
    seal = cycle.seal(now, WALL + round(now * 1000))
    if seal is not None:
        if disk is not None:
            disk.apply(seal.rows)
        cycle.commit(seal.number)


def spec(**keys: float) -> EventCycleSpec:
    return EventCycleSpec(depart_after_s=10.0, **keys)  # type: ignore[arg-type]


def test_a_refresh_that_was_not_stored_is_due_again() -> None:
    """Else the row would say for a minute more that the tag was seen before the disk failed."""
    cycle = EventCycle("dock-3", spec())
    sight(cycle, 0.0)
    save(cycle, 0.0)
    now = cycle.spec.refresh_s + 1
    assert sight(cycle, now, meaning=RECEIPT) is not None
    assert cycle.refresh_due(now)
    seal = cycle.seal(now, WALL)
    assert seal is not None and not cycle.refresh_due(now)
    cycle.rollback(seal.number)
    assert cycle.refresh_due(now)


def test_many_reads_in_one_pass_are_one_observation() -> None:
    """A pallet stands in the portal: 40 reads a second on four antennas."""
    cycle = EventCycle("dock-3", spec())
    kinds = [sight(cycle, n / 40).kind for n in range(2000)]
    assert kinds == ["first"] + ["repeat"] * 1999


def test_reads_keep_a_pass_open_for_as_long_as_they_come() -> None:
    cycle = EventCycle("dock-3", spec())
    kinds = [sight(cycle, n * 9.9).kind for n in range(100)]
    assert kinds.count("first") == 1


@pytest.mark.parametrize(("gap_s", "kind"), [(9.999, "repeat"), (10.0, "repeat"), (10.001, "first")])
def test_a_tag_departs_after_the_time_it_was_given(gap_s: float, kind: str) -> None:
    cycle = EventCycle("dock-3", spec())
    sight(cycle, 0.0)
    assert sight(cycle, gap_s).kind == kind


@pytest.mark.parametrize("apart_s", [0.0, 0.001, 0.002, 0.5])
def test_exact_doubles_within_milliseconds_are_repeat_reads(apart_s: float) -> None:
    """zigbee2mqtt#17984: exact doubles in the same second passed the debounce."""
    cycle = EventCycle("dock-3", spec())
    assert sight(cycle, 100.0).is_first
    assert sight(cycle, 100.0 + apart_s).kind == "repeat"


def test_another_document_is_another_pass() -> None:
    """Spoolman PR#1116: a correction was swallowed as a double. A, then B, then A again: three observations."""
    cycle = EventCycle("dock-3", spec())
    kinds = [sight(cycle, at, meaning=document).kind for at, document in enumerate(["A", "A", "B", "B", "A", "A"])]
    assert kinds == ["first", "repeat", "first", "repeat", "first", "repeat"]


def test_tags_do_not_cover_each_other() -> None:
    cycle = EventCycle("dock-3", spec())
    assert sight(cycle, 0.0, b"\x01", event="e1").is_first
    assert sight(cycle, 0.0, b"\x02", event="e2").is_first
    assert [sight(cycle, 0.1, epc).event_id for epc in (b"\x01", b"\x02")] == ["e1", "e2"]


def test_a_repeat_read_names_its_event_and_whether_that_is_on_disk() -> None:
    cycle = EventCycle("dock-3", spec())
    sight(cycle, 0.0)
    assert sight(cycle, 0.1) == Admission("repeat", "e1", is_committed=False)
    seal = cycle.seal(0.1, WALL)
    assert seal is not None
    assert not sight(cycle, 0.2).is_committed
    cycle.commit(seal.number)
    assert sight(cycle, 0.3) == Admission("repeat", "e1", is_committed=True)


def test_a_failed_commit_makes_the_next_read_a_first_sight_again() -> None:
    cycle = EventCycle("dock-3", spec())
    sight(cycle, 0.0)
    seal = cycle.seal(0.0, WALL)
    assert seal is not None
    cycle.rollback(seal.number)
    assert sight(cycle, 0.1, event="e2").is_first
    save(cycle, 0.1)
    assert sight(cycle, 0.2).event_id == "e2"


def test_a_failed_commit_undoes_everything_behind_it_and_nothing_before() -> None:
    cycle = EventCycle("dock-3", spec())
    seals = []
    for number in range(4):
        sight(cycle, 0.0, bytes([number]), event=f"e{number}")
        seals.append(cycle.seal(0.0, WALL))
    sight(cycle, 0.0, b"\x04", event="e4")  # not sealed yet
    assert all(seals)
    cycle.commit(seals[0].number)  # type: ignore[union-attr]
    cycle.rollback(seals[2].number)  # type: ignore[union-attr]
    kinds = [sight(cycle, 0.1, bytes([number]), event="new").kind for number in range(5)]
    assert kinds == ["repeat", "repeat", "first", "first", "first"]


def test_an_append_that_was_refused_undoes_only_itself() -> None:
    """The outbox is full: append raises at once, while the append before it is still under way and will succeed."""
    cycle = EventCycle("dock-3", spec())
    sight(cycle, 0.0, b"\x01")
    under_way = cycle.seal(0.0, WALL)
    sight(cycle, 0.0, b"\x02")
    refused = cycle.seal(0.0, WALL)
    assert under_way is not None
    assert refused is not None
    cycle.rollback(refused.number)
    cycle.commit(under_way.number)
    assert sight(cycle, 0.1, b"\x01").is_committed
    assert sight(cycle, 0.1, b"\x02").is_first


def test_appends_that_failed_together_do_not_undo_a_newer_one() -> None:
    """Two takes hear of the same failed commit one after the other; between them a third take was admitted."""
    cycle = EventCycle("dock-3", spec())
    failed = []
    for epc in (b"\x01", b"\x02"):
        sight(cycle, 0.0, epc)
        failed.append(cycle.seal(0.0, WALL))
    cycle.rollback(failed[0].number)  # type: ignore[union-attr]
    assert sight(cycle, 0.1, b"\x02", event="new").is_first
    newer = cycle.seal(0.1, WALL)
    assert newer is not None
    cycle.rollback(failed[1].number)  # type: ignore[union-attr]
    cycle.commit(newer.number)
    assert sight(cycle, 0.2, b"\x02") == Admission("repeat", "new", is_committed=True)


def test_unsealed_admissions_can_be_undone_alone() -> None:
    cycle = EventCycle("dock-3", spec())
    sight(cycle, 0.0, b"\x01")
    seal = cycle.seal(0.0, WALL)
    cycle.admits(b"\x02", RECEIPT, 0.0)  # an error before its event was made
    cycle.rollback()
    assert seal is not None
    assert sight(cycle, 0.1, b"\x01").kind == "repeat"
    assert sight(cycle, 0.1, b"\x02").is_first


def test_a_rolled_back_change_of_document_gives_the_old_pass_back() -> None:
    cycle = EventCycle("dock-3", spec())
    sight(cycle, 0.0, meaning="A", event="a")
    save(cycle, 0.0)
    sight(cycle, 8.0, meaning="B", event="b")
    seal = cycle.seal(8.0, WALL)
    assert seal is not None
    cycle.rollback(seal.number)
    assert sight(cycle, 16.0, meaning="A") == Admission("repeat", "a", is_committed=True)


def test_two_changes_in_one_append_roll_back_to_the_beginning() -> None:
    cycle = EventCycle("dock-3", spec())
    sight(cycle, 0.0, meaning="A", event="a")
    save(cycle, 0.0)
    for document in "BCA":
        sight(cycle, 1.0, meaning=document, event=document)
    cycle.rollback()
    assert sight(cycle, 2.0, meaning="A").event_id == "a"


def test_memory_is_bounded_and_departed_tags_go_first() -> None:
    cycle = EventCycle("dock-3", spec(tags_max=100))
    for number in range(100):
        sight(cycle, 0.0, number.to_bytes(2))
    save(cycle, 0.0)
    assert len(cycle) == 100
    for number in range(50, 100):
        sight(cycle, 11.0 - 2.0, number.to_bytes(2))  # the first fifty are not seen again
    for number in range(100, 150):
        sight(cycle, 11.0, number.to_bytes(2))
        assert len(cycle) <= 100
    assert cycle.forced_out == 0
    assert all(sight(cycle, 11.1, number.to_bytes(2)).kind == "repeat" for number in range(50, 150))


def test_at_the_bound_the_tag_unseen_for_longest_is_forgotten_and_counted() -> None:
    cycle = EventCycle("dock-3", spec(tags_max=3))
    for number in range(3):
        sight(cycle, number * 0.1, bytes([number]))
    sight(cycle, 0.5, b"\x00")
    sight(cycle, 0.6, b"\x03")
    assert (len(cycle), cycle.forced_out) == (3, 1)
    assert [sight(cycle, 0.7, bytes([number])).kind for number in (0, 2, 3)] == ["repeat"] * 3
    assert sight(cycle, 0.8, b"\x01").is_first


def test_a_million_strangers_leave_no_trace() -> None:
    """Every tag new, two hundred a second: neither memory nor rows to delete pile up."""
    disk, cycle = Disk(), EventCycle("dock-3", spec(tags_max=500))
    for number in range(20_000):
        sight(cycle, number / 200, number.to_bytes(4))
        if number % 10 == 0:
            save(cycle, number / 200, disk)
    assert len(cycle) <= 500
    assert len(cycle._departed) <= 500
    assert len(disk.rows) <= 1_100
    assert not cycle._frames


def test_a_restart_in_mid_pass_does_not_report_the_pass_again() -> None:
    disk, before = Disk(), EventCycle("dock-3", spec())
    sight(before, 1000.0)
    save(before, 1000.0, disk)
    after = EventCycle("dock-3", spec())
    after.restore(disk.states(), 5.0, WALL + 1_002_000)
    assert sight(after, 5.1) == Admission("repeat", "e1", is_committed=True)
    assert sight(after, 5.2, meaning="B").is_first


def test_a_long_outage_ends_every_pass() -> None:
    """Two hours dark; the pallet that comes back is another pass."""
    disk, before = Disk(), EventCycle("dock-3", spec())
    sight(before, 0.0)
    save(before, 0.0, disk)
    after = EventCycle("dock-3", spec())
    after.restore(disk.states(), 5.0, WALL + 7_200_000)
    assert sight(after, 5.1, event="e2").is_first
    save(after, 5.1, disk)
    assert disk.rows[f"event_cycle/dock-3/{TAG.hex()}"].startswith(b"e2 ")


@pytest.mark.parametrize("wall", [0, WALL - 400 * 86_400_000])
def test_a_clock_set_back_over_a_restart_doubles_nothing(wall: int) -> None:
    disk, before = Disk(), EventCycle("dock-3", spec())
    sight(before, 0.0)
    save(before, 0.0, disk)
    after = EventCycle("dock-3", spec())
    after.restore(disk.states(), 0.0, wall)
    assert sight(after, 0.1).kind == "repeat"
    assert sight(after, 10.2).is_first
    unseen = EventCycle("dock-3", spec())
    unseen.restore(disk.states(), 0.0, wall)
    assert sight(unseen, 10.1).is_first


def test_what_was_not_committed_is_not_restored() -> None:
    disk, before = Disk(), EventCycle("dock-3", spec())
    sight(before, 0.0, b"\x01")
    save(before, 0.0, disk)
    sight(before, 0.0, b"\x02")
    before.seal(0.0, WALL)  # the power fails before the commit
    after = EventCycle("dock-3", spec())
    after.restore(disk.states(), 0.0, WALL)
    assert sight(after, 0.1, b"\x01").kind == "repeat"
    assert sight(after, 0.1, b"\x02").is_first


def test_only_first_sights_write() -> None:
    """Target row 15: 4,000 reads a second must not become 4,000 rows a second."""
    disk, cycle = Disk(), EventCycle("dock-3", spec())
    rows = 0
    for step in range(240):  # a minute, four appends a second, 100 tags standing there
        now = step / 4
        for number in range(100):
            sight(cycle, now, bytes([number]))
        seal = cycle.seal(now, WALL)
        if seal is not None:
            rows += len(seal.rows)
            disk.apply(seal.rows)
            cycle.commit(seal.number)
    assert rows == 100 + 12  # every tag once, and the time of the last read every five seconds


def test_rows_of_departed_tags_are_deleted_bit_by_bit() -> None:
    disk, cycle = Disk(), EventCycle("dock-3", spec())
    for number in range(1200):
        sight(cycle, 0.0, number.to_bytes(2))
    save(cycle, 0.0, disk)
    assert len(disk.passes()) == 1200
    left = []
    for step in range(4):
        sight(cycle, 20.0 + step, b"new" + bytes([step]))
        save(cycle, 20.0 + step, disk)
        left.append(len([name for name in disk.passes() if len(name) == 4]))
    assert left == [700, 200, 0, 0]


def test_a_tag_that_comes_back_keeps_its_row_while_others_are_deleted() -> None:
    """Its old row waits behind hundreds of deletions; the row of its new pass must not be taken for it."""
    disk, cycle = Disk(), EventCycle("dock-3", spec())
    for number in range(1100):
        sight(cycle, 0.0, number.to_bytes(2))
    save(cycle, 0.0, disk)
    sight(cycle, 20.0, b"new")
    save(cycle, 20.0, disk)
    last = (1099).to_bytes(2)
    sight(cycle, 21.0, last, event="again")
    save(cycle, 21.0, disk)
    sight(cycle, 22.0, b"newer")
    save(cycle, 22.0, disk)
    assert disk.passes() == {b"new".hex(), b"newer".hex(), last.hex()}
    assert disk.rows[f"event_cycle/dock-3/{last.hex()}"].startswith(b"again ")


def test_a_tag_forced_out_before_it_was_sealed_leaves_no_row() -> None:
    disk, cycle = Disk(), EventCycle("dock-3", spec(tags_max=1))
    sight(cycle, 0.0, b"\x01")
    sight(cycle, 0.1, b"\x02")
    save(cycle, 0.1, disk)
    assert disk.passes() == {"02"}


def test_a_deletion_that_was_not_committed_is_tried_again() -> None:
    disk, cycle = Disk(), EventCycle("dock-3", spec())
    sight(cycle, 0.0)
    save(cycle, 0.0, disk)
    sight(cycle, 20.0, b"\x01")
    lost = cycle.seal(20.0, WALL)
    assert lost is not None
    cycle.rollback(lost.number)
    sight(cycle, 20.1, b"\x01")
    save(cycle, 20.1, disk)
    assert disk.passes() == {"01"}


def test_a_late_batch_of_two_passes_stays_two_passes() -> None:
    """The reader was cut off for minutes and hands in everything at once; its own clock tells the passes apart."""
    cycle = EventCycle("dock-3", spec())
    kinds = []
    for device_s in (0.0, 1.0, 60.0, 61.0):
        kinds.append(cycle.admits(TAG, RECEIPT, 500.0, device_s=device_s).kind)
        if kinds[-1] == "first":
            cycle.cover(TAG, f"e{device_s}")
    assert kinds == ["first", "repeat", "first", "repeat"]


def test_a_readers_clock_alone_keeps_no_pass_open() -> None:
    cycle = EventCycle("dock-3", spec())
    for now, device_s, kind in ((0.0, 100.0, "first"), (1.0, 50.0, "repeat"), (12.0, 51.0, "first")):
        admission = cycle.admits(TAG, RECEIPT, now, device_s=device_s)
        if admission.is_first:
            cycle.cover(TAG, "e")
        assert admission.kind == kind


def test_a_filter_for_strays_is_off_until_asked_for() -> None:
    cycle = EventCycle("dock-3", spec())
    assert cycle.admits(TAG, RECEIPT, 0.0, rssi_dbm=-110.0).is_first


def test_weak_reads_are_as_if_not_heard() -> None:
    cycle = EventCycle("dock-3", spec(rssi_min_dbm=-70.0))
    assert cycle.admits(TAG, RECEIPT, 0.0, rssi_dbm=-70.1).kind == "weak"
    assert cycle.admits(TAG, RECEIPT, 0.0, rssi_dbm=-70.0).is_first
    cycle.cover(TAG, "e1")
    assert cycle.admits(TAG, RECEIPT, 9.0, rssi_dbm=-80.0).kind == "weak"
    assert cycle.admits(TAG, RECEIPT, 11.0).is_first  # the weak read did not keep it; no strength is not weak


def test_few_reads_are_kept_out_and_summed_reads_count() -> None:
    cycle = EventCycle("dock-3", spec(reads_min=3))
    assert [cycle.admits(TAG, RECEIPT, at).kind for at in (0.0, 0.1, 0.2)] == ["few", "few", "first"]
    cycle.cover(TAG, "e1")
    assert cycle.admits(TAG, RECEIPT, 0.3).event_id == "e1"
    assert cycle.admits(b"\x02", RECEIPT, 0.3, seen_count=3).is_first


def test_few_reads_long_apart_never_add_up() -> None:
    cycle = EventCycle("dock-3", spec(reads_min=2))
    assert [cycle.admits(TAG, RECEIPT, at).kind for at in (0.0, 11.0, 22.0)] == ["few"] * 3


def test_a_rolled_back_admission_keeps_the_reads_that_led_to_it() -> None:
    """The message that completed the three reads was not stored and comes again, alone."""
    cycle = EventCycle("dock-3", spec(reads_min=3))
    for at in (0.0, 0.1):
        cycle.admits(TAG, RECEIPT, at)
    assert sight(cycle, 0.2).is_first
    seal = cycle.seal(0.2, WALL)
    assert seal is not None
    cycle.rollback(seal.number)
    assert sight(cycle, 0.3).is_first


def test_a_first_sight_must_be_covered_before_it_is_sealed() -> None:
    cycle = EventCycle("dock-3", spec())
    cycle.admits(TAG, RECEIPT, 0.0)
    with pytest.raises(AssertionError, match="covered"):
        cycle.seal(0.0, WALL)


def test_rows_that_make_no_sense_do_not_stop_the_start() -> None:
    cycle = EventCycle("dock-3", spec())
    rows = [
        StateRow("event_cycle/dock-3/no hex", b"?"),
        StateRow("event_cycle/dock-3/seen", b"yesterday"),
        StateRow("event_cycle/dock-33/01", b"e9 x"),
        StateRow(f"event_cycle/dock-3/{TAG.hex()}", b"\xff"),
    ]
    cycle.restore(rows, 0.0, WALL)
    assert len(cycle) == 1


def test_present_counts_tags_that_have_not_departed() -> None:
    cycle = EventCycle("dock-3", spec())
    sight(cycle, 0.0, b"\x01")
    sight(cycle, 8.0, b"\x02")
    assert [cycle.present(at) for at in (8.0, 10.0, 10.1, 19.0)] == [2, 2, 1, 0]


@pytest.mark.parametrize(
    ("at", "seconds"),
    [
        ("1970-01-01T00:00:10Z", 10.0),
        ("1970-01-01T02:00:10.500+02:00", 10.5),
        ("1970-01-01T00:00:10", 10.0),
        ("soon", None),
        (None, None),
    ],
)
def test_a_readers_time_becomes_seconds(at: str | None, seconds: float | None) -> None:
    assert device_seconds(at) == seconds


@given(st.text(max_size=40))
def test_no_time_raises(at: str) -> None:
    device_seconds(at)


Step = tuple[str, int, str, int]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["read", "read", "read", "seal", "commit", "fail", "restart"]),
            st.integers(0, 5),
            st.sampled_from("AB"),
            st.integers(0, 12),
        ),
        max_size=80,
    )
)
def test_every_pass_is_reported_and_what_is_promised_is_on_disk(steps: list[Step]) -> None:
    """Random reads, commits, failures and restarts, against a model that knows only what was committed.

    A repeat read that claims a committed event must find it among the committed events with the same tag and meaning;
    a committed tag that is read on within its time is never a first sight again.
    """
    disk, cycle, now, events = Disk(), EventCycle("dock-3", spec(tags_max=4)), 0.0, 0
    committed: dict[str, tuple[bytes, str]] = {}
    waiting: list[tuple[int, tuple[StateRow, ...], dict[str, tuple[bytes, str]]]] = []
    unsealed: dict[str, tuple[bytes, str]] = {}
    for what, number, meaning, later in steps:
        now += later / 4
        epc = bytes([number])
        match what:
            case "read":
                admission = cycle.admits(epc, meaning, now)
                if admission.is_first:
                    events += 1
                    unsealed[f"e{events}"] = (epc, meaning)
                    cycle.cover(epc, f"e{events}")
                else:
                    assert admission.event_id is not None
                    pending = {**unsealed, **{key: value for *_, made in waiting for key, value in made.items()}}
                    known = committed if admission.is_committed else pending
                    assert known[admission.event_id] == (epc, meaning)
            case "seal":
                seal = cycle.seal(now, WALL + round(now * 1000))
                assert seal is not None or not unsealed
                if seal is not None:
                    waiting.append((seal.number, seal.rows, unsealed))
                    unsealed = {}
            case "commit" if waiting:
                seal_number, rows, made = waiting.pop(0)
                disk.apply(rows)
                committed.update(made)
                cycle.commit(seal_number)
            case "fail":
                cycle.rollback(waiting[0][0] if waiting else None)
                waiting, unsealed = [], {}
            case "restart":
                cycle = EventCycle("dock-3", spec(tags_max=4))
                cycle.restore(disk.states(), now, WALL + round(now * 1000))
                waiting, unsealed = [], {}
        assert len(cycle) <= 4


@given(st.integers(0, 2**32))
def test_no_repeat_read_is_reported_while_the_tag_stands_there(seed: int) -> None:
    """Twenty tags read at random within their time, commits failing at random: one committed event a tag, no more."""
    rng = random.Random(seed)
    cycle, now = EventCycle("dock-3", spec()), 0.0
    reported: dict[bytes, int] = {}
    for batch in range(30):
        tentative: list[bytes] = []
        for number in range(20):
            epc = bytes([number])
            if sight(cycle, now, epc, event=f"{batch}-{number}").is_first:
                tentative.append(epc)
        now += rng.random() * 9
        seal = cycle.seal(now, WALL)
        if seal is None:
            continue
        if rng.random() < 0.5:
            cycle.rollback(seal.number)
            continue
        cycle.commit(seal.number)
        for epc in tentative:
            reported[epc] = reported.get(epc, 0) + 1
    assert set(reported.values()) <= {1}
