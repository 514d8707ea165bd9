"""The message of a handheld as JSON Schema: what it sends, and what it hears.

For whoever writes the app: the API description and the description of the topics both hold these. The parser
(`drivers.scan_message`) is the judge and takes a little more: it ignores keys it does not know and says so.
"""

from __future__ import annotations

from typing import Any, Final, get_args

from drivers.reading import Result
from drivers.scan_message import CODE_CHARACTERS_MAX, ID_CHARACTERS_MAX, SCANS_MAX, TEXT_CHARACTERS_MAX

QUANTITY_PATTERN: Final = r"^[0-9]{1,15}(\.[0-9]{1,9})?$"
EXAMPLE_SCAN: Final[dict[str, Any]] = {
    "id": "hh-7-3fa9c2d1-000123",
    "code": "]C10109521234543213",
    "at": "2026-11-21T08:00:00Z",
    "activity": "pick",
    "document": "PL-1001",
    "location": "A-01-03",
    "quantity": 2,
    "operator": "op7",
}
EXAMPLE_ACKNOWLEDGEMENT: Final[dict[str, Any]] = {
    "id": "hh-7-3fa9c2d1-000123",
    "result": "stored_with_exception",
    "events": ["019aa5b0-1c00-7abc-8def-0123456789ab"],
    "exceptions": [{"code": "expired", "message": "best before 2026-11-01"}],
}


def scan_schema() -> dict[str, Any]:
    """Return the schema of one scan."""
    texts = {
        "at": "Time of the scan by the handheld's clock, RFC 3339. Information; order never depends on it.",
        "activity": "receipt, putaway, pick, count, shipment, return or transfer; else the station decides.",
        "document": "Order, delivery note or count sheet.",
        "location": "Where it was scanned.",
        "unit": "UN/ECE Recommendation 20 code, such as EA, C62 or KGM.",
        "operator": "Badge or user.",
    }
    whole = {"type": "integer", "minimum": 0, "exclusiveMaximum": 10**15}
    decimal = {"type": "number", "minimum": 0, "exclusiveMaximum": 10**15}
    return {
        "type": "object",
        "description": "One scan. Keys with the value null count as absent; unknown keys are ignored and named.",
        "required": ["id", "code"],
        "properties": {
            "id": {
                "type": "string",
                "minLength": 1,
                "maxLength": ID_CHARACTERS_MAX,
                "description": "The handheld's own number of the message: used once and for ever.",
            },
            "code": {
                "type": "string",
                "minLength": 1,
                "maxLength": CODE_CHARACTERS_MAX,
                "description": "What was scanned, with its AIM symbology identifier when the scanner gives one.",
            },
            "quantity": {
                "anyOf": [whole, decimal, {"type": "string", "pattern": QUANTITY_PATTERN}],
                "description": "At most 15 digits before and 9 behind the point, kept digit for digit.",
            },
            **{key: {"type": "string", "maxLength": TEXT_CHARACTERS_MAX, "description": t} for key, t in texts.items()},
        },
        "examples": [EXAMPLE_SCAN],
    }


def acknowledgement_schema() -> dict[str, Any]:
    """Return the schema of the acknowledgement of one scan."""
    exception = {
        "type": "object",
        "required": ["code", "message"],
        "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
    }
    return {
        "type": "object",
        "description": "What became of one scan. It is sent after the commit.",
        "required": ["id", "result", "events", "exceptions"],
        "properties": {
            "id": {"type": ["string", "null"], "description": "As sent; null when no id could be found in the body."},
            "result": {
                "enum": list(get_args(Result)),
                "description": "refused: it will not be stored, and sending it again does not help.",
            },
            "events": {"type": "array", "items": {"type": "string"}, "description": "Ids of the events it became."},
            "exceptions": {"type": "array", "items": exception, "description": "What the operator should hear of."},
            "redelivered": {"const": True, "description": "The message was known; this is its first answer again."},
            "reason": {"type": "string", "description": "Why it was refused."},
            "notice": {"type": "string", "description": "What was ignored: unknown keys, a time that is none."},
        },
        "examples": [EXAMPLE_ACKNOWLEDGEMENT],
    }


def one_or_many(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a body: one, or an array that is stored whole or not at all."""
    return {"oneOf": [schema, {"type": "array", "items": schema, "minItems": 1, "maxItems": SCANS_MAX}]}
