"""Ids in the order in which people look for them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drivers import Reading
from gateway.health import Sightings
from gateway.id_order import id_order


def test_numbers_within_an_id_count_as_numbers() -> None:
    asked = ["hh-10", "hh-9", "dock-2-scanner", "dock-10-scanner", "hh-2", "7", "hh", "dock-2", "hh-02", "10"]
    assert sorted(asked, key=id_order) == [
        "7", "10", "dock-2", "dock-2-scanner", "dock-10-scanner", "hh", "hh-02", "hh-2", "hh-9", "hh-10"
    ]  # fmt: skip


@given(st.sets(st.text(alphabet="a-.0129²٣", max_size=9)))
def test_any_ids_have_one_order(found: set[str]) -> None:
    assert sorted(found, key=id_order) == sorted(sorted(found, reverse=True), key=id_order)
    assert len({tuple(id_order(one)) for one in found}) == len(found)


def test_a_number_longer_than_python_reads_is_no_trouble() -> None:
    assert sorted(["9" * 5000, "1" + "0" * 5000], key=id_order)[0] == "9" * 5000


def test_devices_that_were_heard_are_told_in_this_order() -> None:
    sightings = Sightings()
    sightings.note([Reading(device, "scan", b"x") for device in ("hh-10", "hh-2", "hh-1")], 1.0)
    assert [one.device for one in sightings.all()] == ["hh-1", "hh-2", "hh-10"]
