"""What an open page hears of a site in which much is wrong at once."""

from typing import Any

from gateway.status import AlarmStatus
from gateway.web.status_summary import ALARMS_MAX, ALIKE_MAX, NAMED_MAX, _alarms


def told(*codes: tuple[str, int]) -> dict[str, Any]:
    return _alarms(
        [AlarmStatus(code, f"{code}-{n}", "no power", "look") for code, count in codes for n in range(count)]
    )


def test_many_alarms_that_are_alike_are_three_and_a_line_of_names() -> None:
    """A switch lost its power: forty notices stood before the stations, three thousand pixels of them."""
    found = told(("storage_full", 1), ("device_down", 40), ("inspect_scanner", 1))
    assert [one["subject"] for one in found["alarms"]] == [
        "storage_full-0", "device_down-0", "device_down-1", "device_down-2", "inspect_scanner-0"]  # fmt: skip
    (more,) = found["alarms_more"]
    assert (more["code"], more["count"], len(more["subjects"])) == ("device_down", 40 - ALIKE_MAX, NAMED_MAX)
    assert more["subjects"][0] == "device_down-3"


def test_few_alarms_are_told_in_full_and_many_kinds_are_bounded() -> None:
    few = told(("a", ALIKE_MAX))
    assert (len(few["alarms"]), few["alarms_more"]) == (ALIKE_MAX, [])
    assert len(told(*((f"c{n}", 1) for n in range(ALARMS_MAX + 9)))["alarms"]) == ALARMS_MAX
