"""What a technician writes, and what he hears when it cannot be meant so."""

from typing import Any

import pytest
from pydantic import ValidationError

from drivers.modbus_settings import ModbusPollerSettings, Target, parse_target

POINT = {"name": "good", "address": 0, "type": "uint32", "means": "count", "rollover": 4294967296}


def settings(**more: Any) -> ModbusPollerSettings:
    return ModbusPollerSettings.model_validate({"url": "modbus-tcp://10.0.0.20", "points": [POINT], **more})


def test_the_line_of_the_design_is_understood() -> None:
    read = settings(url="modbus-tcp://10.0.0.20:502?unit=1", poll_interval_s=0.1)
    assert read.target == Target("tcp", host="10.0.0.20", port=502, unit_id=1)
    assert read.points[0].name == "good"


def test_a_serial_line_is_understood() -> None:
    target = parse_target("modbus-rtu:///dev/ttyUSB0?unit=17&baudrate=9600&parity=n&stopbits=1")
    assert target == Target("rtu", path="/dev/ttyUSB0", unit_id=17, baudrate=9600, parity="N", stopbits=1)


def test_a_serial_line_is_as_the_standard_says_when_nothing_is_said() -> None:
    assert parse_target("modbus-rtu:///dev/ttyUSB0") == Target(
        "rtu", path="/dev/ttyUSB0", unit_id=1, baudrate=19200, parity="E", stopbits=1
    )
    assert parse_target("modbus-rtu:///dev/ttyUSB0?parity=N").stopbits == 2


def test_an_address_of_version_6_is_understood() -> None:
    assert parse_target("modbus-tcp://[fd00::1]:1502").host == "fd00::1"


@pytest.mark.parametrize(
    ("baudrate", "silence_s"), [(9600, 3.5 * 11 / 9600), (19200, 3.5 * 11 / 19200), (115200, 0.00175)]
)
def test_a_serial_line_is_silent_between_frames_as_long_as_the_standard_says(baudrate: int, silence_s: float) -> None:
    assert parse_target(f"modbus-rtu:///dev/ttyUSB0?baudrate={baudrate}").silence_s == silence_s


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("10.0.0.20", "must begin with"),
        ("modbus-tcp://", "must look like"),
        ("modbus-tcp://10.0.0.20/x", "must look like"),
        ("modbus-tcp://10.0.0.20:99999", "Port"),
        ("modbus-tcp://10.0.0.20?uint=1", 'did you mean "unit"'),
        ("modbus-tcp://10.0.0.20?baudrate=1", "unknown option"),
        ("modbus-tcp://10.0.0.20?unit=256", "from 0 to 255"),
        ("modbus-tcp://10.0.0.20?unit=one", "from 0 to 255"),
        ("modbus-rtu://ttyUSB0", "must look like"),
        ("modbus-rtu:///dev/ttyUSB0?unit=0", "from 1 to 247"),
        ("modbus-rtu:///dev/ttyUSB0?parity=X", "E, O or N"),
    ],
)
def test_a_url_that_is_wrong_says_how(url: str, part: str) -> None:
    with pytest.raises(ValidationError, match=part):
        settings(url=url)


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ({"points": []}, "at least 1"),
        ({"points": [POINT, POINT]}, "two points are called good"),
        ({"poll_interval": 1}, "Extra inputs"),
        ({"poll_interval_s": 0.001}, "greater than"),
        ({"url": "modbus-rtu:///dev/x", "points": [{**POINT, "unit_id": 250}]}, "from 1 to 247"),
    ],
)
def test_a_device_that_is_wrong_says_how(more: dict[str, Any], part: str) -> None:
    with pytest.raises(ValidationError, match=part):
        settings(**more)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        settings().timeout_s = 5  # type: ignore[misc]


def test_every_key_is_described() -> None:
    for model in (ModbusPollerSettings, type(settings().points[0])):
        assert all(info.description for info in model.model_fields.values())
