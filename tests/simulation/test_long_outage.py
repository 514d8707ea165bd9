"""A centre that is away for three days: a whole gateway, its devices and its clocks, in virtual time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from voyage import Voyage, VoyagePlan, sail
from voyage_faults import Fault
from voyage_judge import judge

HOUR_S = 3600.0
Figure = Callable[[str, int | float | str], None]


class Outage(Voyage):
    """A voyage on which nothing happens but that nobody answers, from the first minute to the last."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.poison = self.centre.policy.poison = ()
        self.faults = [Fault(60.0, "the centre is away", Outage._begin)]
        self.part_interval_s = 300.0
        settings = self.world._settings
        # What an operator has who changed nothing: the waits between two attempts are the ones we ship.
        upstream = settings.upstreams[0].model_copy(update={"timeout_s": 20.0, "backoff_max_s": 75.0})
        plc = next(device for device in settings.devices if device.id == "press-plc")
        slow = replace(plc, link=plc.link.model_copy(update={"poll_interval_s": 60.0}))
        devices = tuple(slow if device is plc else device for device in settings.devices)
        self.world._settings = replace(settings, upstreams=(upstream,), devices=devices)
        self.taken_before = 0

    def _begin(self) -> None:
        self.taken_before = len(self.centre.ledger.by_id)
        self.uplink.refused_until = self.world.loop.time() + self.plan.seconds

    async def _heal(self) -> None:
        assert len(self.centre.ledger.by_id) == self.taken_before, "nothing can have arrived"
        await super()._heal()


def outage(hours: float, scans: int, figure: Figure) -> None:
    voyage = sail(23, VoyagePlan(scans=scans, seconds=hours * HOUR_S), kind=Outage)
    verdict = judge(voyage)
    assert verdict.violations == ()
    ledger = verdict.ledger
    assert ledger.acknowledged == ledger.delivered >= scans
    attempts = voyage.voyage.uplink.turned_away
    figure("virtual hours", hours)
    figure("scans delivered after them, in order", ledger.delivered)
    figure("seconds between two attempts, mean", hours * HOUR_S / attempts)
    assert attempts <= hours * HOUR_S / 30


@pytest.mark.fault(23)
def test_two_hours_without_a_centre(figure: Figure) -> None:
    outage(2, 200, figure)


@pytest.mark.long
@pytest.mark.fault(23)
def test_seventy_two_hours_without_a_centre(figure: Figure) -> None:
    outage(72, 5000, figure)
