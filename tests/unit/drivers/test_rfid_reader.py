"""The reader as a device: its settings, its profile, what it says about itself."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from drivers.rfid_reader import HEALTH_LINES_MAX, RfidReader, RfidReaderSettings

PROFILES = Path(__file__).parents[3] / "config" / "profiles"
READERS = ("zebra-iot-connector", "zebra-rfd-mqtt", "impinj-r700")


def preset(name: str) -> dict[str, Any]:
    profile = tomllib.loads((PROFILES / f"{name}.toml").read_text())
    assert profile["driver"] == "rfid-reader"
    device: dict[str, Any] = profile["device"]
    return device


@pytest.mark.parametrize("name", READERS)
def test_every_profile_is_enough_to_configure_a_reader(name: str) -> None:
    settings = RfidReaderSettings.model_validate(preset(name))
    assert (settings.depart_after_s, settings.reads_min, settings.rssi_min_dbm) == (10.0, 1, None)


@pytest.mark.parametrize("topic", ["zebra/+/tags", "zebra/#", "", "a\0b"])
def test_a_topic_with_wildcards_is_no_readers_topic(topic: str) -> None:
    with pytest.raises(ValidationError):
        RfidReaderSettings.model_validate({**preset("zebra-iot-connector"), "topic": topic})


@pytest.mark.parametrize(
    ("key", "value"),
    [("depart_after_s", 0), ("tags_max", 0), ("reads_min", 0), ("rssi_min_dbm", 1), ("depart_after", 5)],
)
def test_values_that_make_no_sense_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        RfidReaderSettings.model_validate({**preset("impinj-r700"), key: value})


def test_heartbeats_are_counted_and_errors_remembered() -> None:
    reader = RfidReader("dock-3-portal", RfidReaderSettings.model_validate(preset("zebra-iot-connector")))
    assert reader.parse(b'{"component":"RG","data":{},"eventNum":1,"type":"heartbeat"}') == ([], None, False)
    for number in range(HEALTH_LINES_MAX + 5):
        reader.parse(b'[{"type":"warning","data":{"message":"%d degrees"}}]' % number)
    assert reader.ignored == HEALTH_LINES_MAX + 6
    assert len(reader.health) == HEALTH_LINES_MAX
    assert reader.health[-1] == f"warning: {HEALTH_LINES_MAX + 4} degrees"
