"""What a delivery to a centre holds, and the answer it wants, as JSON Schema for the descriptions of interfaces."""

from __future__ import annotations

from typing import Any, Final

from gateway.events.json_schema import schemas

IDS: Final[dict[str, Any]] = {"type": "array", "items": {"type": "string"}}


def event_schema() -> dict[str, Any]:
    """Return the schema of an event as it is delivered; the schema of its type, `dataschema`, describes its data."""
    envelope = schemas()["event"]
    return {
        "type": "object",
        "description": "A CloudEvent, as it is delivered. docs/events.md describes the data of each type.",
        "required": [*envelope["required"], "sequence"],
        "properties": envelope["properties"],
    }


def headers_schema() -> dict[str, Any]:
    """Return the schema of the headers a consumer may look at."""
    texts = {
        "Idempotency-Key": "Source, sequences and digest of the body. Never dedupe by it: batches can be cut anew.",
        "Dockline-Chain": "Head of the journal: keep the last one of each source.",
        "Dockline-Centre-Instance": "The instance of the centre that is meant; another one answers 412.",
        "webhook-id": "Standard Webhooks, when a signing secret is configured.",
        "webhook-timestamp": "Time of the attempt, in seconds since 1970 UTC.",
        "webhook-signature": "HMAC-SHA256 over id, time and body.",
    }
    return {"type": "object", "properties": {name: {"type": "string", "description": t} for name, t in texts.items()}}


def answer_schema() -> dict[str, Any]:
    """Return the schema of an acknowledgement: only what it names counts as delivered."""
    refused = {
        "type": "object",
        "required": ["id", "reason"],
        "properties": {"id": {"type": "string"}, "reason": {"type": "string"}},
    }
    return {
        "type": "object",
        "description": "Either form, or both. What it does not name stays pending; rejected goes before the rest.",
        "properties": {
            "accepted_through": {"type": "integer", "minimum": 0, "description": "Everything up to this sequence."},
            "accepted": {**IDS, "description": "Ids of events."},
            "rejected": {"type": "array", "items": refused, "description": "Quarantined with this reason."},
        },
        "anyOf": [{"required": ["accepted_through"]}, {"required": ["accepted"]}, {"required": ["rejected"]}],
    }
