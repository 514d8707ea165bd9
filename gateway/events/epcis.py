"""Canonical events as EPCIS 2.0, and back, without loss.

Theory of operation. `to_words` says in the standard's fields what the standard has words for. Then the words are read
back, and whatever the canonical event has beyond that becomes extension fields in the namespace `urn:dockline:epcis/`
(prefix `dockline`). So nothing can be forgotten: `decode(encode(event)) == event` for every event, also for one with
members that this module has never heard of. docs/epcis.md has the tables.

    eventID            urn:uuid:<id>, or with `hash_ids` the CBV 2.0 event hash id of the content
    dockline:event     id, type, source, sequence of the CloudEvent: what dedupes, orders and shows gaps
    dockline:<member>  a member of `data` that has no EPCIS word, or whose exact text a word does not keep ("1.50")

An operator's void becomes what EPCIS has for it: the voided event once more, with the same eventID and an
`errorDeclaration` in which the void stands as an extension. For that the voided event is needed; where it is no longer
there, the void is told as a report of its own, with the id of what it voids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from gateway.events.epcis_extension import NAMESPACE, PREFIX, difference, merged, prefixed, unprefixed
from gateway.events.epcis_hash import event_hash_id
from gateway.events.epcis_words import from_words, kind_of, to_words
from gateway.events.model import schema_urn

CONTEXT: Final = ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld", {"dockline": NAMESPACE}]
"""JSON-LD context of a document: the standard's and ours."""
NAMESPACES: Final = {"dockline": NAMESPACE}
_UUID: Final = "urn:uuid:"
_UUID_TEXT: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OTHER: Final = "urn:dockline:event:"
"""Before an id that is no UUID: that of a gap record."""

Json = dict[str, Any]


def encode(event: Json, *, voided: Json | None = None, hash_ids: bool = False) -> Json:
    """Return a CloudEvent of ours (an event or a gap record, as delivered) as an EPCIS 2.0 event.

    `voided` is the event that a void is about, as it was delivered; None when it is not known any more. Raises
    ValueError when it is no CloudEvent.
    """
    if not _is_cloud_event(event):
        raise ValueError("not a CloudEvent with an id and data")
    if kind_of(event) == "void" and voided is not None:
        return _as_error_declaration(event, encode(voided, hash_ids=hash_ids))
    words = to_words(event)
    rest, absent = difference(event, {**from_words(words, kind_of(event)), **_implied(event)})
    data, envelope = rest.pop("data", {}), rest
    if absent:
        envelope["absent"] = absent
    encoded = {**words, **prefixed({"event": envelope, **data})}
    return {"eventID": _event_id(event, encoded, hash_ids=hash_ids), **encoded}


def decode(encoded: Json) -> Json:
    """Return the CloudEvent that `encode` was given. Raises ValueError when the event is none of ours."""
    declaration = encoded.get("errorDeclaration", {})
    if f"{PREFIX}void" in declaration:
        return dict(unprefixed(declaration[f"{PREFIX}void"]))
    if f"{PREFIX}event" not in encoded:
        raise ValueError("an EPCIS event without dockline:event is none of ours")
    extension = {name: value for name, value in encoded.items() if name.startswith(PREFIX)}
    data = unprefixed(extension)
    envelope = data.pop("event")
    absent = envelope.pop("absent", [])
    kind = kind_of(envelope)
    return merged({**from_words(encoded, kind), **_implied(envelope)}, {**envelope, "data": data}, absent)


def document(events: Sequence[bytes], created: str) -> bytes:
    """Return the EPCISDocument that holds the encoded events. `created` is RFC 3339."""
    head = {"@context": CONTEXT, "type": "EPCISDocument", "schemaVersion": "2.0", "creationDate": created}
    return json.dumps(head)[:-1].encode() + b',"epcisBody":{"eventList":[' + b",".join(events) + b"]}}"


def _is_cloud_event(event: Json) -> bool:
    return isinstance(event.get("data"), dict) and isinstance(event.get("id"), str)


def _implied(envelope: Json) -> Json:
    """Return the members of the envelope that follow from its type."""
    kind = kind_of(envelope)
    constant = {"specversion": "1.0", "datacontenttype": "application/json"}
    return constant if kind == "gap" else {**constant, "dataschema": schema_urn(kind)}


def _event_id(event: Json, encoded: Json, *, hash_ids: bool) -> str:
    if hash_ids:
        return event_hash_id(encoded, NAMESPACES)
    event_id: str = event["id"]
    return (_UUID if _UUID_TEXT.fullmatch(event_id) else _OTHER) + event_id


def _as_error_declaration(void: Json, voided: Json) -> Json:
    """The voided event again, under its own id: nothing but the declaration differs, as the standard asks."""
    declared = {"declarationTime": void["time"], "reason": "did_not_occur", f"{PREFIX}void": prefixed(void)}
    return {"eventID": voided["eventID"], "errorDeclaration": declared, **voided}
