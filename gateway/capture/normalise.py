"""A reading and its context become a canonical event.

Theory of operation. One reading becomes one event, or none when it only sets context (a document, a location label) or
state (a counter's baseline). What the event is depends on the activity: the handheld's message says it, else the
station session, else the station's role; without one it is an observation.

    activity   event        business step    a location is
    receipt    receipt      receiving        to_location
    putaway    putaway      storing          to_location
    pick       pick         picking          from_location
    count      count        cycle_counting   business_location (nothing moves)
    shipment   shipment     shipping         from_location
    return     return       receiving        to_location, disposition "returned"
    transfer   transfer     storing          to_location
    none       observation  none             business_location

How much it is: see `gateway.capture.quantity`. Nothing here is a guess: a quantity that is no number, an activity
nobody knows or a label with a problem makes an `unrecognised` event with what arrived, and a remark for the operator.

Evidence of a scan is the text of its data carrier, not the message around it: an array of five hundred scans would
otherwise be stored five hundred times.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping
from typing import Final

from buffer.entry import Draft
from drivers.reading import Measurement, Reading, Remark, ScanContext, TagRead
from drivers.stated_time import stated_time
from drivers.symbology import with_separators
from gateway.capture.captured import Captured, Moment, item_text
from gateway.capture.command import CommandUnknown, CommandVain, obey
from gateway.capture.decimal_text import decimal_text, is_unit
from gateway.capture.label import LabelItem, split_symbology
from gateway.capture.label_reader import LabelReader
from gateway.capture.quantity import ONE, captured_quantity, quantity_part
from gateway.capture.site_map import ROUTES_MAX, Route, SiteMap, Station
from gateway.capture.station import ACTIVITIES, Done, Session, followed, told, used
from gateway.capture.tag import decode_tag
from gateway.capture.work import Works, location_part, work_parts
from gateway.events.cloudevents import EventIds, Template, part, quote
from gateway.events.model import UNIT_EACH, DeviceState

EVIDENCE_BYTES_MAX: Final = 65_536
"""Of something that could not be understood; what is longer is noise, and its first part tells that."""

_BIZ_STEP: Final[Mapping[str, str]] = {
    "receipt": "receiving",
    "putaway": "storing",
    "pick": "picking",
    "count": "cycle_counting",
    "shipment": "shipping",
    "return": "receiving",
    "transfer": "storing",
    "condition": "sensor_reporting",
}
_NO_CONTEXT: Final = ScanContext()
_POSSIBLE_REDELIVERY: Final = ',"possible_redelivery":true'
_INCREMENT: Final = "increment"
"""Key of the template for count events of a PLC counter; the others are named after their event."""


class Normaliser:
    """Makes the events of one site under one source. Holds no state of devices, only prepared text."""

    def __init__(self, site: SiteMap, source: str, ids: EventIds, labels: LabelReader) -> None:
        self._site = site
        self._source = source
        self._ids = ids
        self._labels = labels
        self._templates: dict[tuple[str, str], Template] = {}
        self._devices: dict[str, str] = {}
        self._works = Works()

    def capture(self, route: Route, reading: Reading, session: Session, at: Moment, *, is_repeat: bool) -> Captured:
        """Return what the reading became. `is_repeat` flags an event that may be a redelivery."""
        match reading.kind:
            case "scan":
                return self._scan(route, reading, session, at, is_repeat=is_repeat)
            case "tag":
                return self._tag(route, reading, session, at)
            case "count":
                return self._increment(route, reading, session, at)
            case "condition":
                return Captured(self._condition(route, reading, at), session)
            case "counter_reset":
                reason = reading.reason or "the counter fell in a way no rollover explains"
                remark = Remark("counter_reset", reason)
                return Captured(self._condition(route, reading, at, reason), session, (remark,))
            case "gap":
                parts = f"{part('state', 'gap')}{part('reason', reading.reason or 'values did not arrive')}"
                return Captured(self._draft(route, reading, "device", parts, at), session)
            case "baseline":
                return Captured(None, session)
            case "unreadable":
                remark = Remark("unreadable", reading.reason or "the message could not be understood")
                return self._unrecognised(route, reading, session, at, remark, is_repeat=is_repeat)

    def device(self, route: Route, state: DeviceState, reason: str | None, at: Moment) -> Draft:
        """Return the event of a device that went up, down, silent or degraded."""
        parts = part("state", state) + (part("reason", reason) if reason else "")
        return self._draft(route, Reading(route.device, "condition", b""), "device", parts, at)

    def activity(self, route: Route, reading: Reading, session: Session) -> str | None:
        """Return what is being done: the message's word, else the session's, else the station's role."""
        context = reading.context
        return (context and context.activity) or session.activity or route.station.activity

    def _scan(self, route: Route, reading: Reading, session: Session, at: Moment, *, is_repeat: bool) -> Captured:
        code, symbology = reading.code, reading.symbology
        if route.group_separator is not None:
            code, symbology = split_symbology(code, symbology)
            code = with_separators(code, symbology, route.group_separator)
        label = self._labels.read(code, symbology)
        if label.kind == "problem":
            remark = Remark(label.problem or "unreadable", label.text)
            return self._unrecognised(route, reading, session, at, remark, is_repeat=is_repeat)
        if label.kind == "command":
            return self._command(route, reading, session, at, label.text, is_repeat=is_repeat)
        if label.kind != "item":
            return Captured(None, told(session, label))
        context = reading.context or _NO_CONTEXT
        work = self._works.work(route.station, context, session)
        if work.problem is not None:
            remark = Remark("unreadable", work.problem)
            return self._unrecognised(route, reading, session, at, remark, is_repeat=is_repeat)
        activity, quantity, behind = work.activity, work.quantity, work.quantity_and_location
        if label.quantity is not None or label.measures:
            quantity = captured_quantity(context, session, label)
            behind = (quantity_part(quantity) if work.is_told(quantity) else "") + work.location
        item = item_text(label.item)
        parts = f'{work.parts},"item":{item}{behind}{_evidence_part(reading)}'
        if label.net_weight_kg is not None:
            parts += f',"net_weight_kg":"{label.net_weight_kg}"'
        if label.amount is not None:
            value, kind, currency = label.amount
            parts += f',"amount":{{"value":"{value}","kind":"{kind}"{part("currency", currency) if currency else ""}}}'
        if session.damaged:
            parts += ',"disposition":"damaged"'
        elif activity == "return":
            parts += ',"disposition":"returned"'
        if activity == "return" and session.return_disposition:
            parts += part("return_disposition", session.return_disposition)
        if is_repeat:
            parts += _POSSIBLE_REDELIVERY
        remarks = (Remark("barcode_mismatch", label.remark),) if label.remark else ()
        draft = self._draft(route, reading, activity or "observation", parts, at)
        after = used(session)
        if self._site.command_prefix is not None:
            after = followed(after, Done(route.device, draft.id, activity, context.document or session.document))
        return Captured(draft, after, remarks, None, None, label.item, quantity, item)

    def _command(
        self, route: Route, reading: Reading, session: Session, at: Moment, words: str, *, is_repeat: bool
    ) -> Captured:
        context = reading.context or _NO_CONTEXT
        try:
            activity = context.activity or session.activity or route.station.activity
            session, undone, closes = obey(session, words, route.device, activity, context.document)
        except CommandUnknown as unknown:
            remark = Remark("unreadable", str(unknown))
            return self._unrecognised(route, reading, session, at, remark, is_repeat=is_repeat)
        except CommandVain as vain:
            return Captured(None, session, (Remark(vain.code, str(vain)),))
        if undone is None:
            return Captured(None, session, closes=closes)
        other = None if undone.document == session.document else undone.document
        work = work_parts(context._replace(document=other), session)
        flag = _POSSIBLE_REDELIVERY if is_repeat else ""
        was = part("activity", undone.activity) if undone.activity else ""
        parts = f"{was}{work}{part('voids', undone.event)}{_evidence_part(reading)}{flag}"
        return Captured(self._draft(route, reading, "void", parts, at), session, voids=undone.event)

    def _tag(self, route: Route, reading: Reading, session: Session, at: Moment) -> Captured:
        tag = reading.tag
        assert tag is not None, "a tag reading carries its tag"
        identity = decode_tag(tag.epc)
        work = self._works.work(route.station, reading.context or _NO_CONTEXT, session)
        if work.problem is not None:
            return self._unrecognised(route, reading, session, at, Remark("unreadable", work.problem), is_repeat=False)
        activity = work.activity
        item = LabelItem(gtin=identity.gtin, sscc=identity.sscc, epc=identity.epc, serial=identity.serial or None)
        text = item_text(item)
        quantity = quantity_part(ONE) if activity else ""
        disposition = ',"disposition":"returned"' if activity == "return" else ""
        parts = (
            f'{work.parts},"item":{text}{quantity}{disposition}{work.location}'
            f'{_tag_part(tag)},"evidence":{{"raw":"{tag.epc.hex()}"}}'
        )
        draft = self._draft(route, reading, activity or "observation", parts, at)
        return Captured(draft, session, item=item, item_text=text)

    def _increment(self, route: Route, reading: Reading, session: Session, at: Moment) -> Captured:
        measurement = reading.measurement
        assert measurement is not None, "a count carries its measurement"
        value = decimal_text(measurement.value)
        if value is None:
            remark = Remark("unreadable", f"{measurement.name}: {measurement.value} is no increment")
            return self._unrecognised(route, reading, session, at, remark, is_repeat=False)
        unit = measurement.unit if measurement.unit and is_unit(measurement.unit) else UNIT_EACH
        parts = (
            f"{work_parts(_NO_CONTEXT, session)}{_measurement_part(measurement)}"
            f',"quantity":{{"value":"{value}","unit":"{unit}"}}'
            f"{location_part(_NO_CONTEXT, session, route.station, None)}"
        )
        return Captured(self._draft(route, reading, _INCREMENT, parts, at), session)

    def _condition(self, route: Route, reading: Reading, at: Moment, reason: str | None = None) -> Draft:
        measurement = reading.measurement
        assert measurement is not None, "a condition carries its measurement"
        parts = _measurement_part(measurement) + (part("reason", reason) if reason else "")
        return self._draft(route, reading, "condition", parts, at)

    def _unrecognised(
        self, route: Route, reading: Reading, session: Session, at: Moment, remark: Remark, *, is_repeat: bool
    ) -> Captured:
        activity = self.activity(route, reading, session)
        flag = _POSSIBLE_REDELIVERY if is_repeat else ""
        parts = (
            f"{part('activity', activity) if activity in ACTIVITIES else ''}"
            f"{work_parts(reading.context or _NO_CONTEXT, session)}{part('reason', remark.message)}"
            f"{_evidence_part(reading)}{flag}"
        )
        return Captured(self._draft(route, reading, "unrecognised", parts, at), session, (remark,))

    def _draft(self, route: Route, reading: Reading, shape: str, parts: str, at: Moment) -> Draft:
        station = route.station
        template = self._templates.get((station.id, shape)) or self._template(station, shape)
        device = self._devices.get(route.device) or self._device(route)
        if reading.message_id:
            device = f'{device},"message_id":{quote(reading.message_id)}}}'
        else:
            device += "}"
        event_id = self._ids(at.ms)
        occurred_at = at.text if reading.at is None else stated_time(reading.at) or at.text
        payload = template.encode(event_id, occurred_at, at.parts, device, parts)
        return Draft(event_id, template.type, station.id, route.device, at.ms, payload)

    def _template(self, station: Station, shape: str) -> Template:
        name = "count" if shape == _INCREMENT else shape
        constants = {
            "activity": name if name in ACTIVITIES else None,
            "kind": None if name != "count" else "increment" if shape == _INCREMENT else "absolute",
            "site": self._site.site,
            "station": station.id,
            "read_point": station.read_point,
            "biz_step": _BIZ_STEP.get(shape),
        }
        template = Template(name, source=self._source, subject=station.id, constants=constants)
        self._templates[station.id, shape] = template
        return template

    def _device(self, route: Route) -> str:
        profile = f',"profile":{quote(route.profile)}' if route.profile else ""
        text = f',"device":{{"id":{quote(route.device)}{profile}'
        if len(self._devices) >= ROUTES_MAX:
            self._devices.clear()
        self._devices[route.device] = text
        return text


def _evidence_part(reading: Reading) -> str:
    if reading.kind == "scan" and (reading.code.isascii() or _is_unicode(reading.code)):
        text, symbology = reading.code, reading.symbology
        if symbology is not None or text.startswith("]"):
            text, symbology = split_symbology(text, symbology)
        carrier = f',"symbology":{quote(symbology)}' if symbology else ""
        return f',"evidence":{{"raw":{quote(text)}{carrier}}}'
    raw = reading.raw[:EVIDENCE_BYTES_MAX]
    try:
        return f',"evidence":{{"raw":{quote(raw.decode())}}}'
    except UnicodeDecodeError:
        return f',"evidence":{{"raw_base64":"{b64encode(raw).decode()}"}}'


def _is_unicode(text: str) -> bool:
    return text.encode("utf-8", "replace").decode() == text


def _tag_part(tag: TagRead) -> str:
    stated = {"antenna": tag.antenna, "rssi_dbm": tag.rssi_dbm, "tid": tag.tid or None, "seen_count": tag.seen_count}
    return f',"tag_read":{{{_members(stated)}}}'


def _measurement_part(measurement: Measurement) -> str:
    stated = {
        "name": measurement.name,
        "value": measurement.value,
        "unit": measurement.unit or None,
        "previous": measurement.previous,
        "raw": measurement.raw,
    }
    return f',"measurement":{{{_members(stated)}}}'


def _members(stated: Mapping[str, str | float | None]) -> str:
    """Return what is stated as members; a number that JSON cannot hold (NaN) is not stated."""
    return ",".join(
        f'"{name}":{quote(value) if isinstance(value, str) else value}'
        for name, value in stated.items()
        if value is not None and (isinstance(value, str) or math.isfinite(value))
    )
