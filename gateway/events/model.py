"""The canonical events: what Dockline says happened, in the words of GS1, EPCIS and CloudEvents.

Theory of operation. Every event is a CloudEvents 1.0 JSON object whose `data` is one of the models below. The models
are the contract: the JSON Schemas in `schema/` are generated from them (`gateway.events.schema`), and every byte string
the gateway stores must validate against them. They do not stand on the path of a scan: validating and dumping costs
7 us an event, joining prepared JSON text (`gateway.events.cloudevents`) less than 2, and a property test holds the two
together.

`dataschema` is `urn:dockline:schema:<event>:v1`: a name, not an address. A gateway works for days without a network
and a consumer must never have to fetch a schema to understand a scan; a name also cannot rot when a host moves. The
schema files carry it as `$id`. Version 1 grows by optional fields only, so the published schemas are open and a
consumer ignores what it does not know; the models here are closed, so that this program cannot say more than it states.

Quantities are decimal strings (a float cannot hold 0.1) with a UN/ECE Recommendation 20 code. Where nobody states a
unit it is `EA`, "each": one trade item or logistic unit as labelled, which may itself be a case; `H87`, "piece", would
claim single articles.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from gateway.events.check_digit import is_closed

UNIT_EACH: Final = "EA"
"""UN/ECE Recommendation 20: "a unit of count defining the number of items regarded as separate units"."""

Activity = Literal["receipt", "putaway", "pick", "count", "shipment", "return", "transfer"]
ClockQuality = Literal["synchronised", "unsynchronised"]
DeviceState = Literal["up", "down", "silent", "degraded", "gap"]
"""gap: values that should have been polled did not arrive; they are never interpolated."""


def _check_digit(value: str) -> str:
    if not is_closed(value):
        raise ValueError(f"the check digit of {value} is wrong")
    return value


def _instant(value: str) -> str:
    _INSTANT.validate_python(value)
    return value


_INSTANT: TypeAdapter[AwareDatetime] = TypeAdapter(AwareDatetime)

Text = Annotated[str, StringConstraints(min_length=1)]
Instant = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"),
    AfterValidator(_instant),
    Field(json_schema_extra={"format": "date-time"}),
]
"""RFC 3339."""
DateText = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), Field(json_schema_extra={"format": "date"})
]
DecimalText = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?$")]
Gtin = Annotated[str, StringConstraints(pattern=r"^[0-9]{14}$"), AfterValidator(_check_digit)]
Sscc = Annotated[str, StringConstraints(pattern=r"^[0-9]{18}$"), AfterValidator(_check_digit)]


class Closed(BaseModel):
    """A part of an event: frozen, and nothing but what is stated."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Document(Closed):
    """The document the work is done for."""

    id: Text
    """Number of the document as the label or the handheld stated it."""
    type: Text | None = None
    """Kind of document, only when the label says so; never guessed."""
    line: Text | None = None
    """Line of the document, when stated; of an exception the one line that it is about."""


class Item(Closed):
    """What was handled, in as many identifications as its data carrier gave."""

    gtin: Gtin | None = None
    """GTIN in 14 digits (GTIN-8, -12 and -13 with leading zeros); with AI 02 the contained trade item."""
    sku: Text | None = None
    """The site's own item number, when a label pattern of the site says that it is one."""
    sscc: Sscc | None = None
    """Serial shipping container code, 18 digits."""
    epc: Text | None = None
    """EPC pure identity URI, Digital Link URI of a tag of TDS 2.x, or urn:epc:raw for one that could not be decoded."""
    lot: Text | None = None
    """Batch or lot number (AI 10)."""
    serial: Text | None = None
    """Serial number (AI 21)."""
    expiry: DateText | None = None
    """Expiration date (AI 17, 7003); day 00 is the last of the month."""
    best_before: DateText | None = None
    """Best before date (AI 15)."""
    code: Text | None = None
    """The text of a data carrier that is no GS1 key: plain text, or element strings in human readable form."""


class Amount(Closed):
    """Money that a label states: payable (AI 390n, 391n) or the price of an item of variable measure (392n, 393n), with
    the label's decimals. Without a currency (ISO 4217) it is in that of the place where the label is read."""

    value: DecimalText
    kind: Literal["payable", "price"]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None


class Quantity(Closed):
    """How many."""

    value: DecimalText
    """Decimal string, never negative."""
    unit: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{2,3}$")]
    """UN/ECE Recommendation 20 code; EA where nobody stated one."""
    basis: Literal["label", "stated", "stated_with_unit"] | None = None
    """Who said so: the label, in trade items (AI 30, 37; a person may have corrected it); a person, a message or the
    site's own label, without a unit (EA is then what is labelled, or the unit of the document's line) or with one.
    Absent: nobody, it is one as labelled."""


class Measure(Closed):
    """A measure that a label states."""

    value: DecimalText
    unit: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{2,3}$")]
    """UN/ECE Recommendation 20 code."""


class Device(Closed):
    """The device that said it."""

    id: Text
    profile: Text | None = None
    """Product profile the device is configured with."""
    message_id: Text | None = None
    """The device's own number for the message."""


class Evidence(Closed):
    """Exactly what arrived."""

    raw: str | None = None
    """Text of the data carrier without its symbology identifier, or the bytes when they are UTF-8 text."""
    raw_base64: Text | None = None
    """The bytes in base64 (RFC 4648) when they are no UTF-8 text."""
    symbology: Text | None = None
    """AIM symbology identifier (ISO/IEC 15424)."""


class TagRead(Closed):
    """The inventory read that made the event."""

    antenna: int | None = None
    rssi_dbm: float | None = None
    """Signal strength in dBm."""
    tid: Text | None = None
    """Chip number."""
    seen_count: Annotated[int, Field(ge=1)] = 1


class Measurement(Closed):
    """A value a PLC or sensor showed."""

    name: Text
    """Point name from the configuration."""
    value: str
    """Decimal string; for a counter the increment, for a state "true" or "false"."""
    unit: Text | None = None
    """UN/ECE Recommendation 20 code."""
    previous: str | None = None
    """Raw value before, when known."""
    raw: str | None = None
    """Raw value now, as read from the device."""


class EventData(Closed):
    """What every event tells."""

    site: Text
    station: Text
    read_point: Text | None = None
    """EPCIS read point of the station."""
    business_location: Text | None = None
    """Where the objects are after the event; a scanned location where nothing is moved (count,
    observation)."""
    occurred_at: Instant
    """When it happened: by the device's clock when it states one, else when the gateway captured it."""
    captured_at: Instant
    """When the gateway captured it, by its own clock."""
    clock: ClockQuality
    """Whether the system's time service vouches for `captured_at`. Order is the sequence, never a clock."""
    device: Device
    evidence: Evidence | None = None
    possible_redelivery: Literal[True] | None = None
    """The device does not number its messages and may have said this before because it heard no answer."""


class WorkData(EventData):
    """An event with the context that a person's work gives it."""

    operator: Text | None = None
    document: Document | None = None


class ItemData(WorkData):
    """An event about goods."""

    item: Item
    quantity: Quantity | None = None
    net_weight_kg: DecimalText | None = None
    """Net weight in kilograms (AI 310n) as the label states it."""
    measures: tuple[Measure, ...] | None = None
    """Trade measures (net weight, length, area, net volume) of all that the event is about, in the order of the
    label: what an item of variable measure is counted by where its document counts in such a unit."""
    amount: Amount | None = None
    tag_read: TagRead | None = None
    biz_step: Text | None = None
    """CBV business step, bare word."""
    disposition: Text | None = None
    """CBV disposition, bare word."""


class ActivityData(ItemData):
    """Goods were handled in an activity."""

    activity: Activity
    quantity: Quantity
    biz_step: Text


class ReceiptData(ActivityData):
    """Goods were taken in."""

    activity: Literal["receipt"]
    to_location: Text | None = None


class PutawayData(ActivityData):
    """Goods were moved to storage."""

    activity: Literal["putaway"]
    to_location: Text | None = None


class PickData(ActivityData):
    """Goods were taken for an order."""

    activity: Literal["pick"]
    from_location: Text | None = None


class CountData(WorkData):
    """Goods were counted."""

    activity: Literal["count"]
    kind: Literal["absolute", "increment"]
    """absolute: what is there (a person, an RFID sweep). increment: what a PLC counter added since the last one."""
    item: Item | None = None
    """Absent for an increment: the point of the PLC stands for the item."""
    quantity: Quantity
    net_weight_kg: DecimalText | None = None
    measures: tuple[Measure, ...] | None = None
    amount: Amount | None = None
    measurement: Measurement | None = None
    """For an increment: the counter it comes from."""
    tag_read: TagRead | None = None
    biz_step: Text | None = None
    """cycle_counting for an absolute count; an increment is no business step."""
    disposition: Text | None = None


class ShipmentData(ActivityData):
    """Goods were loaded or shipped."""

    activity: Literal["shipment"]
    from_location: Text | None = None


class ReturnData(ActivityData):
    """Goods came back."""

    activity: Literal["return"]
    to_location: Text | None = None
    return_disposition: Literal["restock", "refurbish", "vendor_return", "disposal"] | None = None
    """What the person at the station decided shall become of the goods."""


class TransferData(ActivityData):
    """Goods were moved between sites or zones."""

    activity: Literal["transfer"]
    from_location: Text | None = None
    to_location: Text | None = None


class ObservationData(ItemData):
    """Goods were seen, without an activity."""


class ConditionData(EventData):
    """A sensor value or a change of state."""

    measurement: Measurement
    reason: Text | None = None
    """Why this is more than a value, such as a counter that fell in a way no rollover explains."""
    biz_step: Literal["sensor_reporting"]


class DeviceData(EventData):
    """A device went up, down, silent or degraded, or left a gap."""

    state: DeviceState
    reason: Text | None = None


class UnrecognisedData(WorkData):
    """Something arrived that could not be understood."""

    activity: Activity | None = None
    reason: Text
    """Why, in words for a person."""
    evidence: Evidence


class VoidData(WorkData):
    """An operator undid an event."""

    activity: Activity | None = None
    voids: Text
    """Id of the event that is undone."""


CAPTURED: Final[dict[str, type[EventData]]] = {
    "receipt": ReceiptData,
    "putaway": PutawayData,
    "pick": PickData,
    "count": CountData,
    "shipment": ShipmentData,
    "return": ReturnData,
    "transfer": TransferData,
    "observation": ObservationData,
    "condition": ConditionData,
    "device": DeviceData,
    "unrecognised": UnrecognisedData,
    "void": VoidData,
}
"""Model of `data` by event name; the CloudEvents type is `dockline.<name>.v1`."""


class CloudEvent(Closed):
    """The envelope (CloudEvents 1.0, JSON format)."""

    specversion: Literal["1.0"]
    id: Annotated[
        str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
    ]
    """UUIDv7 (RFC 9562), fixed at capture and never made again."""
    source: Annotated[str, StringConstraints(pattern=r"^//[^/]+/[^/]+/[^/]+$")]
    """//<site>/<gateway>/<epoch>."""
    type: Annotated[str, StringConstraints(pattern=r"^dockline\.[a-z]+\.v1$")]
    subject: Text
    """Station."""
    time: Instant
    """As `data.occurred_at`."""
    datacontenttype: Literal["application/json"]
    dataschema: Annotated[str, StringConstraints(pattern=r"^urn:dockline:schema:[a-z]+:v1$")]
    sequence: Annotated[str, StringConstraints(pattern=r"^[0-9]{20}$")] | None = None
    """Gap-free per source, zero padded to sort as text (CloudEvents sequence extension); joined on delivery."""
    data: EventData


def event_type(name: str) -> str:
    """Return the CloudEvents type of an event name."""
    return f"dockline.{name}.v1"


def schema_urn(name: str) -> str:
    """Return the `dataschema` of an event name."""
    return f"urn:dockline:schema:{name}:v1"
