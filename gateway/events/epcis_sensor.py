"""The *how* of EPCIS: sensor elements, and what has no form but that of a sensor report."""

from __future__ import annotations

from typing import Any, Final

from gateway.events.epcis_extension import NAMESPACE, PREFIX
from gateway.events.epcis_number import number_of, text_of
from gateway.events.epcis_uri import private, private_parts
from gateway.events.epcis_vocabulary import MEASUREMENT_TYPES

Json = dict[str, Any]

_REPORTS: Final = {"device": "DeviceState", "unrecognised": "UnrecognisedReading", "gap": "SequenceGap"}


def sensor_element(kind: str, time: str, data: Json, site: str) -> Json:
    """Return what a sensor or a device reported, or what has no other form in EPCIS, as an element of its list."""
    metadata: Json = {"time": time}
    device = data.get("device")
    if isinstance(device, dict) and device.get("id"):
        metadata["deviceID"] = private("device", site, device["id"])
    measurement = data.get("measurement")
    report = _measured(kind, measurement) if isinstance(measurement, dict) else _reported(kind, data)
    return {"sensorMetadata": metadata, "sensorReport": [report]}


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
