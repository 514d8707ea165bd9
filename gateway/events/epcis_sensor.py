"""The *how* of EPCIS: sensor elements, and what has no form but that of a sensor report."""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.events.epcis_extension import NAMESPACE, PREFIX
from gateway.events.epcis_number import number_of, text_of
from gateway.events.epcis_uri import private, private_parts
from gateway.events.epcis_vocabulary import MEASUREMENT_TYPES
from gateway.events.unit import PIECES

Json = dict[str, Any]

UNIT_CODE: Final = re.compile(r"[A-Z0-9]{2,3}")
"""What EPCIS takes for a unit of measure: the shape of a code of UN/ECE Recommendation 20."""
_REPORTS: Final = {"device": "DeviceState", "unrecognised": "UnrecognisedReading", "gap": "SequenceGap"}


def sensor_element(kind: str, time: str, data: Json, site: str) -> Json:
    """Return what a sensor or a device reported, or what has no other form in EPCIS, as an element of its list."""
    metadata: Json = {"time": time}
    device = data.get("device")
    if isinstance(device, dict) and device.get("id"):
        metadata["deviceID"] = private("device", site, device["id"])
    measurement = data.get("measurement")
    quantity = data.get("quantity")
    if isinstance(measurement, dict):
        report = _measured(kind, measurement)
    elif isinstance(quantity, dict) and is_none(quantity) and kind != "exception":
        report = _counted_none(str(quantity.get("unit", "")))
    else:
        report = _reported(kind, data)
    return {"sensorMetadata": metadata, "sensorReport": [report]}


def is_none(quantity: Json | None) -> bool:
    """Whether a quantity says that there is nothing: a QuantityElement has a positive one (EPCIS 2.0, 7.3.3.3)."""
    return quantity is not None and number_of(quantity.get("value")) == 0


def _counted_none(unit: str) -> Json:
    if unit in PIECES or not UNIT_CODE.fullmatch(unit):
        return {"type": "Count", "value": 0}
    return {"type": MEASUREMENT_TYPES.get(unit) or f"{NAMESPACE}Measurement", "value": 0, "uom": unit}


def _measured(kind: str, measurement: Json) -> Json:
    unit, value = measurement.get("unit"), str(measurement.get("value", ""))
    known = "Count" if kind == "count" else MEASUREMENT_TYPES.get(str(unit))
    report: Json = {"type": known or f"{NAMESPACE}Measurement"}
    number = number_of(value)
    if number is not None:
        report["value"] = number
    elif value in ("true", "false"):
        report["booleanValue"] = value == "true"
    else:
        report["stringValue"] = value
    if unit:
        report["uom"] = unit
    return {**report, f"{PREFIX}name": measurement.get("name", "")}


def _reported(kind: str, data: Json) -> Json:
    """What is no measurement: a state, or a trouble in words."""
    told = data.get("state") if kind == "device" else data.get("reason") or data.get("message") or data.get("voids")
    report: Json = {
        "type": NAMESPACE + _REPORTS.get(kind, kind.capitalize() or "Event"),
        "stringValue": str(told or kind),
    }
    if kind != "device" or told != "up":
        report["exception"] = "ERROR_CONDITION"
    return report


def read_sensor(element: Json, kind: str, data: Json) -> None:
    """Put the members that a sensor element tells into the data of an event."""
    device = private_parts(element.get("sensorMetadata", {}).get("deviceID", ""), "device")
    if device is not None and len(device) == 2:
        data["device"] = {"id": device[1]}
    report = element["sensorReport"][0]
    if f"{PREFIX}name" in report:
        measurement = {"name": report[f"{PREFIX}name"], "value": _measured_text(report)}
        data["measurement"] = {**measurement, **({"unit": report["uom"]} if "uom" in report else {})}
    elif kind in _REPORTS:
        data["state" if kind == "device" else "reason"] = report["stringValue"]


def _measured_text(report: Json) -> str:
    if "value" in report:
        return text_of(report["value"])
    return str(report["booleanValue"]).lower() if "booleanValue" in report else str(report["stringValue"])
