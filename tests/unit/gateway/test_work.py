"""The work a scan is part of: kept as long as nothing of it changed."""

from dataclasses import replace

from drivers.reading import ScanContext
from gateway.capture.quantity import ONE
from gateway.capture.site_map import Station
from gateway.capture.station import EMPTY
from gateway.capture.work import WORKS_KEPT_MAX, Works

DOCK = Station("dock-3", "receipt", location="D3")
SAID = ScanContext("pick", "PL-1", "A-01", "2", None, "op7")


def test_what_message_session_and_station_say_is_put_together_once() -> None:
    works = Works()
    work = works.work(DOCK, SAID, EMPTY)
    assert (work.problem, work.activity, work.quantity.value) == (None, "pick", "2")
    assert work.parts == ',"operator":"op7","document":{"id":"PL-1"}'
    assert work.quantity_and_location == ',"quantity":{"value":"2","unit":"EA","basis":"stated"},"from_location":"A-01"'
    assert works.work(DOCK, ScanContext(*SAID), EMPTY) is work


def test_another_session_station_or_message_is_another_work() -> None:
    works = Works()
    silent = ScanContext()
    first = works.work(DOCK, silent, EMPTY)
    assert (first.activity, first.quantity, first.location) == ("receipt", ONE, ',"to_location":"D3"')
    told = replace(EMPTY, document="ASN-1", quantity="4")
    assert works.work(DOCK, silent, told).parts == ',"document":{"id":"ASN-1"}'
    assert works.work(DOCK, silent, told).quantity.value == "4"
    assert works.work(DOCK, silent, EMPTY).parts == "", "and the old session is not answered with the new one's work"
    assert works.work(Station("gate"), silent, EMPTY).activity is None
    assert works.work(DOCK, SAID, EMPTY).activity == "pick"


def test_what_a_message_states_wrongly_is_said_every_time() -> None:
    works = Works()
    for _ in range(2):
        assert works.work(DOCK, ScanContext("steal"), EMPTY).problem == '"steal" is not an activity'


def test_works_are_kept_within_bounds() -> None:
    works = Works()
    for number in range(2 * WORKS_KEPT_MAX + 1):
        works.work(DOCK, ScanContext(location=str(number)), EMPTY)
        assert len(works._kept) <= WORKS_KEPT_MAX
