"""A canonical event in the words of EPCIS 2.0, and the canonical members those words tell.

`to_words` chooses the event type and fills the standard's fields; `from_words` reads them back. They need not agree on
everything: what `from_words` does not give again is kept in extension fields by `gateway.events.epcis`. What is said
wrongly here is therefore still not lost, only told to those who know our namespace alone.

The dimensions: *what* is a list of instances or a quantity of a class, or a parent with its contents when an SSCC label
states them; *when* is the time as the event states it; *where* is the station's read point; *why* is step, disposition,
document, source and destination; *how* is what a sensor or a device reported. Something without a *what* (a device
that went down, a label nobody can read, a sequence that will not come) is told as a sensor report of a type of our
namespace: EPCIS has nothing nearer, and a repository must not refuse it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote

from gateway.events.epcis_extension import NAMESPACE
from gateway.events.epcis_number import number_of, text_of
from gateway.events.epcis_sensor import UNIT_CODE, is_none, read_sensor, sensor_element
from gateway.events.epcis_uri import (
    class_uri,
    escape,
    instance_uri,
    is_uri,
    place_text,
    place_uri,
    private,
    private_parts,
    read_item,
    sscc_uri,
)
from gateway.events.epcis_vocabulary import (
    BIZ_STEPS,
    DISPOSITIONS,
    DOCUMENT_TYPES,
    PERSISTENT,
    PLAIN_TRANSACTION_TYPES,
    TRANSACTION_TYPES,
)
from gateway.events.model import UNIT_EACH
from gateway.events.unit import MEASURES, PIECES

Json = dict[str, Any]

UNKNOWN_TIME: Final = "1970-01-01T00:00:00.000Z"
"""Event time of a gap whose entry is too damaged to have one: the same at every retry."""
_COUNTED: Final = frozenset({"receipt", "putaway", "pick", "count", "shipment", "return", "transfer"})
"""Events that always state a quantity."""
_OFFSET: Final = re.compile(r"[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00)$")
_DOCUMENT_TYPE: Final = f"{NAMESPACE}document-type/"


def kind_of(event: Json) -> str:
    """Return the name of an event: "receipt" of dockline.receipt.v1."""
    return str(event.get("type", "")).removeprefix("dockline.").removesuffix(".v1")


def site_of(event: Json) -> str:
    """Return the site of an event or gap record; empty when it says none."""
    parts = str(event.get("source", "")).split("/")
    return str(event.get("data", {}).get("site") or (parts[2] if len(parts) > 2 else ""))


def to_words(event: Json) -> Json:
    """Return the EPCIS event without its id and without extension fields."""
    kind, data, site = kind_of(event), event.get("data", {}), site_of(event)
    time = str(event.get("time") or UNKNOWN_TIME)
    words: Json = {
        "type": "ObjectEvent",
        **_when(time),
        **_what(kind, data, site),
        "action": "OBSERVE",
        **_why(kind, data, site),
        "readPoint": {"id": _read_point(event, data, site)},
    }
    if data.get("business_location") and not (kind == "exception" and _is_elsewhere(data)):
        words["bizLocation"] = {"id": place_uri("location", site, data["business_location"])}
    if kind == "tally":
        _as_transaction(words, data)
    elif not words.keys() & {"epcList", "quantityList", "parentID"} or "measurement" in data:
        words["sensorElementList"] = [sensor_element(kind, words["eventTime"], data, site)]
    return words


def from_words(words: Json, kind: str) -> Json:
    """Return the members of the canonical event that the words tell."""
    event: Json = {} if words["eventTime"] == UNKNOWN_TIME else {"time": words["eventTime"]}
    data: Json = {} if kind == "gap" else {"occurred_at": words["eventTime"]}
    _read_where(words, event, data)
    for word, member in (("bizStep", "biz_step"), ("disposition", "disposition")):
        if word in words:
            data[member] = words[word]
    persistent = words.get("persistentDisposition", {})
    for lasting in (*persistent.get("set", ()), *persistent.get("unset", ())):
        data["disposition"] = lasting
    for transaction in words.get("bizTransactionList", ()):
        data["document"] = _read_document(transaction)
    for word, end, member in (
        ("sourceList", "source", "from_location"),
        ("destinationList", "destination", "to_location"),
    ):
        for place in words.get(word, ()):
            data[member] = place_text("location", place[end])
    if kind != "tally":
        _read_what(words, kind, data)
    for element in words.get("sensorElementList", ()):
        read_sensor(element, kind, data)
    event["data"] = data
    return event


# -- when


def _when(time: str) -> Json:
    """An offset that neither EPCIS nor XML Schema has (beyond 14 hours) is told in UTC."""
    offset = _OFFSET.search(time)
    if offset is None and time[-1:] not in "zZ":
        # Of the first and the last day there may be no UTC.
        with suppress(OverflowError):
            moment = datetime.fromisoformat(time).astimezone(UTC)
            time = moment.isoformat().replace("+00:00", "Z")
    return {"eventTime": time, "eventTimeZoneOffset": offset[0] if offset else "+00:00"}


# -- what


def _what(kind: str, data: Json, site: str) -> Json:
    item = data.get("item")
    if not isinstance(item, dict):
        return _contents(kind, data, site)
    quantity = _measure(data) or data.get("quantity") or _observed(data)
    is_pallet = item.get("sscc") and (item.get("gtin") or item.get("code")) and not item.get("epc")
    if is_none(quantity):
        if kind != "exception":
            # The label of a pallet was read, whatever is on it; of anything else nothing was seen.
            return {"epcList": [sscc_uri(item["sscc"])]} if is_pallet else {}
        quantity = None
    if is_pallet:
        return {"type": "AggregationEvent", "parentID": sscc_uri(item["sscc"]), **_children(item, quantity, site)}
    instance = instance_uri(item, site)
    if instance is not None:
        return {"epcList": [instance]}
    identified = class_uri(item, site)
    return {} if identified is None else {"quantityList": [_quantity(identified, quantity)]}


def _contents(kind: str, data: Json, site: str) -> Json:
    """What an event without an item is about: the lines of a document, or the point of a PLC."""
    lines = [line for line in data.get("lines") or () if isinstance(line.get("item"), dict)]
    if kind == "tally":
        # It declares that these belong to the document now. What nobody saw does not.
        lines = [line for line in lines if not _is_missing(line)]
    # Two lines may be about the same object, and an epcList names each once.
    instances = list(dict.fromkeys(uri for line in lines if (uri := instance_uri(line["item"], site)) is not None))
    classes = [
        _quantity(uri, _seen(line))
        for line in lines
        if instance_uri(line["item"], site) is None and (uri := class_uri(line["item"], site)) is not None
    ]
    if kind == "count" and "measurement" in data:
        point = private(
            "point", site, str(data.get("device", {}).get("id", "")), str(data["measurement"].get("name", ""))
        )
        classes = [] if is_none(data.get("quantity")) else [_quantity(point, data.get("quantity"))]
    return {**({"epcList": instances} if instances else {}), **({"quantityList": classes} if classes else {})}


def _measure(data: Json) -> Json | None:
    """The measure of an item of variable measure: EPCIS gives such a class in a unit of measure, not in instances
    (section 7.3.3.3). What somebody weighed stands in `quantity` itself, and then the event has no measures."""
    measures = data.get("measures")
    first = measures[0] if isinstance(measures, list) and measures else None
    is_usable = isinstance(first, dict) and first.get("unit") in MEASURES and not is_none(first)
    return first if is_usable else None


def _observed(data: Json) -> Json | None:
    variance = data.get("variance")
    return _seen(variance) if isinstance(variance, dict) else None


def _seen(line: Json) -> Json | None:
    """How much of a line was seen; None when nothing was."""
    return None if _is_missing(line) else {"value": line.get("observed"), "unit": line.get("unit")}


def _is_missing(line: Json) -> bool:
    return number_of(line.get("observed")) == 0


def _is_elsewhere(data: Json) -> bool:
    """Whether nobody can say that the objects of an exception are here now: one of them is missing, or it was seen when
    the exception began and this is what became of that. EPCIS takes a bizLocation for where things are from then on."""
    lines = [data.get("variance") or {}, *(data.get("lines") or ())]
    return _is_decision("exception", data) or any(_is_missing(line) for line in lines)


def _children(item: Json, quantity: Json | None, site: str) -> Json:
    child = {name: value for name, value in item.items() if name != "sscc"}
    instance = instance_uri(child, site)
    if instance is not None:
        return {"childEPCs": [instance]}
    return {"childQuantityList": [_quantity(str(class_uri(child, site)), quantity)]}


def _quantity(uri: str, quantity: Json | None) -> Json:
    element: Json = {"epcClass": uri}
    value = number_of((quantity or {}).get("value"))
    if value is None:
        return element
    element["quantity"] = value
    unit = str((quantity or {}).get("unit", ""))
    # Without a unit a quantity counts instances, which is what EA, C62 and the other words for a piece say.
    if unit not in PIECES and UNIT_CODE.fullmatch(unit):
        element["uom"] = unit
    return element


def _read_what(words: Json, kind: str, data: Json) -> None:
    instances = words.get("epcList") or words.get("childEPCs")
    classes = words.get("quantityList") or words.get("childQuantityList")
    if instances:
        data["item"] = read_item(instances[0])
        if kind in _COUNTED:
            data["quantity"] = {"value": "1", "unit": UNIT_EACH}
    elif classes:
        point = private_parts(classes[0]["epcClass"], "point")
        if point is None:
            data["item"] = read_item(classes[0]["epcClass"])
        elif len(point) == 3:
            data["device"] = {"id": point[1]}
        if kind != "exception" and "quantity" in classes[0]:
            data["quantity"] = {"value": text_of(classes[0]["quantity"]), "unit": classes[0].get("uom", UNIT_EACH)}
    if "parentID" in words:
        data["item"] = {**read_item(words["parentID"]), **data.get("item", {})}


# -- why


def _why(kind: str, data: Json, site: str) -> Json:
    why: Json = {}
    if data.get("biz_step") in BIZ_STEPS or is_uri(str(data.get("biz_step", ""))):
        why["bizStep"] = data["biz_step"]
    disposition = data.get("disposition")
    if disposition in DISPOSITIONS and str(disposition).startswith(PERSISTENT) and kind == "exception":
        # Only an ObjectEvent can carry it, and an exception is never encoded as anything else.
        why["persistentDisposition"] = {"unset" if data.get("state") == "resolved" else "set": [disposition]}
    elif (disposition in DISPOSITIONS or is_uri(str(disposition or ""))) and not _is_decision(kind, data):
        why["disposition"] = disposition
    document = data.get("document")
    if isinstance(document, dict) and document.get("id"):
        why["bizTransactionList"] = [_transaction(document, site)]
    for member, word, end in (
        ("from_location", "sourceList", "source"),
        ("to_location", "destinationList", "destination"),
    ):
        if data.get(member):
            why[word] = [{"type": "location", end: place_uri("location", site, data[member])}]
    return why


def _is_decision(kind: str, data: Json) -> bool:
    """Whether this tells what became of an exception: nobody saw then that the goods are damaged, or still are."""
    return kind == "exception" and data.get("state") != "open"


def _transaction(document: Json, site: str) -> Json:
    ours = document.get("type")
    # The type first: there are programs that take the order of the text for the event hash id.
    stated = {"type": _transaction_type(ours)} if ours else {}
    return {**stated, "bizTransaction": place_uri("document", site, document["id"])}


def _transaction_type(ours: str) -> str:
    """The word of CBV, in whichever case a label says ours or its own ("ASN", "po"); else a type of our namespace."""
    word = ours.lower()
    plain = word if word in PLAIN_TRANSACTION_TYPES else None
    return TRANSACTION_TYPES.get(word) or plain or _DOCUMENT_TYPE + escape(ours)


def _read_document(transaction: Json) -> Json:
    document = {"id": place_text("document", transaction["bizTransaction"])}
    word = transaction.get("type")
    if word in DOCUMENT_TYPES:
        document["type"] = DOCUMENT_TYPES[word]
    elif word and word.startswith(_DOCUMENT_TYPE):
        document["type"] = unquote(word.removeprefix(_DOCUMENT_TYPE))
    return document


def _as_transaction(words: Json, data: Json) -> None:
    """A closed document: what was observed for it belongs to it from now on; a later closing confirms that."""
    words["type"] = "TransactionEvent"
    words["action"] = "ADD" if data.get("number", 1) == 1 else "OBSERVE"
    if not words.keys() & {"epcList", "quantityList"}:
        words["epcList"] = []


# -- where


def _read_point(event: Json, data: Json, site: str) -> str:
    if data.get("read_point"):
        return place_uri("location", site, data["read_point"])
    station = data.get("station") or event.get("subject")
    if station:
        return private("station", site, station)
    return private("gateway", site, *str(event.get("source", "")).split("/")[3:4])


def _read_where(words: Json, event: Json, data: Json) -> None:
    read_point = words["readPoint"]["id"]
    station = private_parts(read_point, "station")
    if station is not None and len(station) == 2:
        event["subject"] = station[1]
        # A gap record has no data of its own about the place.
        if "occurred_at" in data:
            data.update(site=station[0], station=station[1])
    elif private_parts(read_point, "gateway") is None:
        data["read_point"] = place_text("location", read_point)
    if "bizLocation" in words:
        data["business_location"] = place_text("location", words["bizLocation"]["id"])
