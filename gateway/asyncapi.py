"""What devices say to the gateway over MQTT and what it delivers to a centre, as an AsyncAPI 3 document.

`dockline schema asyncapi` prints it and docs/asyncapi.yaml is made from it. The topics are those of
`drivers.mqtt_routes`, the messages those of `drivers.scan_schema`; what an RFID reader sends is read from the profiles
that ship. The same topics hold on the built-in listener and on a broker of the site. The delivery is the webhook of
`sync.http_events`; docs/delivery.md has its rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from drivers.mqtt_routes import DEVICE_ID, Routes
from drivers.scan_schema import (
    EXAMPLE_ACKNOWLEDGEMENT,
    EXAMPLE_SCAN,
    acknowledgement_schema,
    one_or_many,
    scan_schema,
)
from drivers.tag_mapping import TagMapping
from gateway.delivery_schema import answer_schema, event_schema, headers_schema
from gateway.settings.document import read_document
from gateway.settings.problem import Problem
from gateway.settings.profiles import SHIPPED, find_profile, profile_names

READER_DRIVER: Final = "rfid-reader"
SITE: Final = "{site}"
DEVICE: Final = "{device}"
JSON: Final = "application/json"
ABOUT: Final = """\
Handhelds publish scans and hear what became of each; RFID readers publish JSON of their own on a topic of their own.
MQTT 5, QoS 1, not retained. On the listener PUBACK means on disk; on a broker of the site it is the broker's word, and
only the acknowledgement on the ack topic is the gateway's. docs/handhelds.md has the rules for authors of apps.
To a centre the gateway delivers events in order, over HTTP; docs/delivery.md has the rules for whoever takes them."""
MQTT: Final = {"mqtt": {"qos": 1, "retain": False, "bindingVersion": "0.2.0"}}


def asyncapi(folders: Sequence[Path] = SHIPPED) -> dict[str, Any]:
    """Return the document; the readers are those that the profiles in `folders` describe."""
    readers = reader_mappings(folders)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Dockline: MQTT topics and deliveries", "version": version("dockline"), "description": ABOUT},
        "defaultContentType": JSON,
        "servers": _servers(),
        "channels": _channels(readers),
        "operations": _operations(readers),
        "components": {
            "schemas": {
                "scan": scan_schema(),
                "acknowledgement": acknowledgement_schema(),
                "event": event_schema(),
                "answer": answer_schema(),
            },
            "messages": _messages(readers),
            "securitySchemes": {
                "password": {
                    "type": "userPassword",
                    "description": "The user name is the device id; users_file has mosquitto_passwd's format.",
                },
                "certificate": {"type": "X509", "description": "Its common name is the device id (client_ca)."},
                "token": {"type": "http", "scheme": "bearer", "description": "token_file of the [[upstream]]."},
            },
        },
    }


def reader_mappings(folders: Sequence[Path]) -> dict[str, TagMapping]:
    """Return where each RFID reader's messages hold what, by the name of its profile."""
    places = {name: find_profile(name, folders) for name in profile_names(folders)}
    found = {name: read_document(path) for name, path in places.items() if path is not None}
    return {
        name: TagMapping.model_validate(_frozen(profile.data["device"]["tags"]))
        for name, profile in found.items()
        if not isinstance(profile, Problem) and profile.data["driver"] == READER_DRIVER
    }


def message_schema(mapping: TagMapping) -> dict[str, Any]:
    """Return the schema of one message of a reader: the values that the gateway reads, everything else being open."""
    message: dict[str, Any] = {"type": "object", "properties": {}}
    record = message
    if mapping.records is not None:
        listed = _at(message, mapping.records)
        record = {"type": "object", "properties": {}}
        listed |= {"type": "array", "items": record}
    for value, told in _values(mapping).items():
        path = getattr(mapping, value)
        if path is not None:
            _at(message if path.startswith("/") else record, path.removeprefix("/")).update(told)
    for match in (*mapping.ignore, *mapping.health):
        what = "says something about the reader" if match in mapping.health else "is no tag"
        place = _at(message, match.path.removeprefix("/"))
        about = f"{', '.join(match.values)}: {what}."
        place["description"] = f"{place['description']} {about}" if "description" in place else about
    return message


def _values(mapping: TagMapping) -> dict[str, dict[str, Any]]:
    time: dict[str, Any] = {"type": "string"} if mapping.time_unit == "rfc3339" else {"type": "number"}
    return {
        "epc_hex": {"type": "string", "description": "EPC, hexadecimal."},
        "epc_base64": {"type": "string", "description": "EPC, base64."},
        "tid_hex": {"type": "string", "description": "Chip number, hexadecimal."},
        "tid_base64": {"type": "string", "description": "Chip number, base64."},
        "antenna": {"type": "integer", "description": "Antenna port."},
        "rssi": {"type": "number", "description": f"Signal strength; times {mapping.rssi_scale:g} it is dBm."},
        "seen_count": {"type": "integer", "description": "Reads that this record sums up."},
        "time": {**time, "description": "The reader's time of the read."},
        "message_id": {"type": ["string", "integer"], "description": "A number the reader never uses twice."},
    }


def _at(node: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the schema of what is at a path, made when it is not there yet."""
    for key in path.split("."):
        node.setdefault("type", "object")
        node = node.setdefault("properties", {}).setdefault(key, {})
    return node


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _servers() -> dict[str, Any]:
    who = [{"$ref": "#/components/securitySchemes/password"}, {"$ref": "#/components/securitySchemes/certificate"}]
    return {
        "listener": {
            "host": "127.0.0.1:1884",
            "protocol": "mqtt",
            "protocolVersion": "5",
            "description": "[mqtt.listener]: devices connect to the gateway itself. Off loopback it is mqtts.",
            "security": who,
        },
        "broker": {
            "host": "127.0.0.1:1883",
            "protocol": "mqtt",
            "protocolVersion": "5",
            "description": "[mqtt.broker]: a broker of the site, on which the gateway subscribes.",
            "security": who,
        },
        "centre": {
            "host": "wms.example",
            "pathname": "/v1/events",
            "protocol": "https",
            "description": "[[upstream]] url: whatever takes the events.",
            "security": [{"$ref": "#/components/securitySchemes/token"}],
        },
    }


def _channels(readers: Mapping[str, TagMapping]) -> dict[str, Any]:
    device = {"description": f"Id of the device: {DEVICE_ID.pattern}"}
    parameters = {"site": {"description": "Id of the site, [site] id."}, "device": device}
    scan = Routes(SITE).filters[0].replace("+", DEVICE)
    ack = Routes(SITE).ack_topic(DEVICE)
    over_mqtt = {"servers": [{"$ref": "#/servers/listener"}, {"$ref": "#/servers/broker"}]}
    return {
        "scan": {
            **over_mqtt,
            "address": scan,
            "description": "What a handheld says.",
            "parameters": parameters,
            "messages": {"scans": {"$ref": "#/components/messages/scans"}},
        },
        "ack": {
            **over_mqtt,
            "address": ack,
            "description": "What it hears, unless its message names a response topic below this one.",
            "parameters": parameters,
            "messages": {"acknowledgements": {"$ref": "#/components/messages/acknowledgements"}},
        },
        "tags": {
            **over_mqtt,
            "address": "{topic}",
            "description": "What an RFID reader says, in the shape of its profile.",
            "parameters": {"topic": {"description": "The topic of the reader, `topic` of its [[device]]."}},
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in readers},
        },
        "delivery": {
            "servers": [{"$ref": "#/servers/centre"}],
            "address": None,
            "description": "Events on their way to a centre; the address is the url of the [[upstream]].",
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in ("batch", "answer")},
        },
    }


def _operations(readers: Mapping[str, TagMapping]) -> dict[str, Any]:
    acknowledged = {"$ref": "#/channels/ack/messages/acknowledgements"}
    return {
        "takeScans": {
            "action": "receive",
            "channel": {"$ref": "#/channels/scan"},
            "summary": "The gateway stores scans and answers after the commit.",
            "messages": [{"$ref": "#/channels/scan/messages/scans"}],
            "bindings": MQTT,
            "reply": {"channel": {"$ref": "#/channels/ack"}, "messages": [acknowledged]},
        },
        "acknowledge": {
            "action": "send",
            "channel": {"$ref": "#/channels/ack"},
            "summary": "What became of each scan. QoS 0: whoever misses it sends the scan again.",
            "messages": [acknowledged],
            "bindings": {"mqtt": {**MQTT["mqtt"], "qos": 0}},
        },
        "takeTags": {
            "action": "receive",
            "channel": {"$ref": "#/channels/tags"},
            "summary": "The gateway stores tag reads; there is no answer but PUBACK.",
            "messages": [{"$ref": f"#/channels/tags/messages/{name}"} for name in readers],
            "bindings": MQTT,
        },
        "deliver": {
            "action": "send",
            "channel": {"$ref": "#/channels/delivery"},
            "summary": "Events in order, again and again until the answer names them.",
            "messages": [{"$ref": "#/channels/delivery/messages/batch"}],
            "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
            "reply": {
                "channel": {"$ref": "#/channels/delivery"},
                "messages": [{"$ref": "#/channels/delivery/messages/answer"}],
            },
        },
    }


def _messages(readers: Mapping[str, TagMapping]) -> dict[str, Any]:
    one_scan, one_answer = {"$ref": "#/components/schemas/scan"}, {"$ref": "#/components/schemas/acknowledgement"}
    found: dict[str, Any] = {
        "scans": {
            "title": "A scan, or an array of them",
            "contentType": JSON,
            "payload": one_or_many(one_scan),
            "examples": [{"payload": EXAMPLE_SCAN}],
        },
        "acknowledgements": {
            "title": "The acknowledgement, or an array of them in the same order",
            "contentType": JSON,
            "payload": one_or_many(one_answer),
            "examples": [{"payload": EXAMPLE_ACKNOWLEDGEMENT}],
        },
        "batch": {
            "title": "A batch of events, in the order of their sequence",
            "contentType": "application/cloudevents-batch+json",
            "headers": headers_schema(),
            "payload": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/event"}},
        },
        "answer": {
            "title": "What the centre has taken",
            "contentType": JSON,
            "payload": {"$ref": "#/components/schemas/answer"},
            "examples": [{"payload": {"accepted_through": 1204}}],
        },
    }
    for name, mapping in readers.items():
        schema = message_schema(mapping)
        found[name] = {
            "title": f"A message of a reader with the profile {name}, or an array of them",
            "contentType": JSON,
            "payload": {"oneOf": [schema, {"type": "array", "items": schema}]},
        }
    return found
