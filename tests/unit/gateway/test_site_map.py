"""Where a device belongs."""

import pytest

from gateway.capture import site_map
from gateway.capture.site_map import DeviceEntry, SiteMap, Station

STATIONS = [Station("floor", "pick"), Station("dock-3", "receipt")]


def built(*devices: DeviceEntry) -> SiteMap:
    return SiteMap("dc07", "dock-pc-1", STATIONS, devices)


def test_an_exact_id_goes_before_the_longest_pattern() -> None:
    site = built(
        DeviceEntry("hh-*", "floor", "handheld"),
        DeviceEntry("hh-dock-*", "dock-3", "handheld", "tc52"),
        DeviceEntry("hh-7", "dock-3", "handheld"),
    )
    found = {device: site.route(device) for device in ("hh-1", "hh-dock-1", "hh-7")}
    assert {device: route.station.id for device, route in found.items() if route} == {
        "hh-1": "floor",
        "hh-dock-1": "dock-3",
        "hh-7": "dock-3",
    }
    assert found["hh-dock-1"] is site.route("hh-dock-1"), "a route is found once"


@pytest.mark.parametrize("device", ["", "xx-1", "hh", "hh-\ud800", "hh-1\n", "hh-/", "hh-" + "x" * 61, "HH-1"])
def test_what_is_not_configured_or_no_id_has_no_route(device: str) -> None:
    assert built(DeviceEntry("hh-*", "floor", "handheld")).route(device) is None


def test_a_device_that_is_carried_has_a_session_of_its_own() -> None:
    """Two handhelds at one station must not set each other's location."""
    site = built(DeviceEntry("hh-*", "floor", "handheld"), DeviceEntry("s-1", "dock-3", "serial-scanner"))
    assert [route.session_key for device in ("hh-1", "hh-2", "s-1") if (route := site.route(device))] == [
        "floor/hh-1",
        "floor/hh-2",
        "dock-3",
    ]


def test_the_site_says_whose_session_a_device_uses() -> None:
    """A handheld that helps at a packing table, and two scanners of one dock that serve two lorries."""
    site = built(
        DeviceEntry("hh-1", "dock-3", "handheld", session="station"),
        DeviceEntry("s-1", "dock-3", "serial-scanner", session="own"),
    )
    routes = [route for device in ("hh-1", "s-1") if (route := site.route(device))]
    assert [route.session_key for route in routes] == ["dock-3", "dock-3/s-1"]
    assert [route.logical_reader for route in routes] == ["dock-3/hh-1", "dock-3"], "tags are told apart as ever"


def test_a_station_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="dock-9"):
        built(DeviceEntry("s-1", "dock-9", "serial-scanner"))


def test_remembered_routes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_map, "ROUTES_MAX", 10)
    site = built(DeviceEntry("hh-*", "floor", "handheld"))
    for number in range(100):
        assert site.route(f"hh-{number}") is not None
        assert len(site._routes) <= 10


def test_unknown_devices_are_not_remembered() -> None:
    site = built()
    site.route("stranger")
    assert site._routes == {}
