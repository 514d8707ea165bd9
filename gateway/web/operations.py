"""What each address of the local API takes, gives, and asks of the caller: the table behind the API description.

The routes stand in `gateway.web.app`, the roles and the keys of actions in the handlers; tests hold this table against
both, and real answers against the schemas it names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, get_args

from buffer import QuarantineState
from gateway.andon.board import DAY
from gateway.web.auth import Role
from gateway.web.exceptions import STATES
from gateway.web.guard import Kind

Schema = dict[str, Any]
SEQUENCE: Final[Schema] = {"type": "integer", "minimum": 0}
TEXT: Final[Schema] = {"type": "string"}
TEXTS: Final[Schema] = {"type": "array", "items": TEXT}
KINDS: Final[dict[Kind, Schema]] = {
    "text": {"type": "string", "minLength": 1, "maxLength": 500},
    "number": SEQUENCE,
    "numbers": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 1000},
    "flag": {"type": "boolean"},
}
MOMENT: Final[Schema] = {"type": "string", "format": "date-time"}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    about: str
    """Heading it stands under."""
    summary: str
    gives: str | Schema
    """Schema of the answer: the name of a component, or the schema itself; for another media type than JSON the text
    type, such as "text/plain"."""
    role: Role | None = "viewer"
    """The least role; None: anybody who reaches the address."""
    query: tuple[tuple[str, Schema, str], ...] = ()
    """Name, schema and meaning of what may stand behind the question mark."""
    action: dict[str, Kind] | None = None
    """Keys of the JSON object an action takes, all of them needed."""
    takes: str | Schema | None = None
    """Schema of another JSON body."""
    status: int = 200
    also: tuple[tuple[int, str], ...] = ()
    """Further answers: status and meaning."""


def limit(most: int, default: int) -> tuple[str, Schema, str]:
    """Return the parameter that bounds a list."""
    return "limit", {"type": "integer", "minimum": 0, "maximum": most, "default": default}, "How many at most."


def members(name: str, component: str, **more: Schema) -> Schema:
    """Return the schema of an answer that lists things under a name."""
    listed: Schema = {"type": "array", "items": {"$ref": f"#/components/schemas/{component}"}}
    return {"type": "object", "required": [name, *more], "properties": {name: listed, **more}}


def plain(**members: Schema) -> Schema:
    """Return the schema of an object with exactly these members, all of them there."""
    return {"type": "object", "required": list(members), "properties": members}


TYPE = ("type", TEXT, 'Event type, "pick" or "dockline.pick.v1".')
STATION = ("station", TEXT, "Only events of this station.")
DEVICE = ("device", TEXT, "Only events of this device.")
FROM = ("from", MOMENT, "Captured at this time or later (RFC 3339 with its zone).")
TO = ("to", MOMENT, "Captured before this time.")
UNKNOWN = (404, "There is no such thing here.")
REFUSED = (409, "It cannot be done now; the body says why.")
TOO_MANY = (429, "The device has too many requests under way: wait for their answers, come back after Retry-After.")
NO_STORAGE = (503, "Storage is unavailable: keep what you have and come back after Retry-After.")

PROCESS: Final = (
    Operation("GET", "/healthz", "The process", "The process lives and its loop turns.", "text/plain", None),
    Operation("GET", "/readyz", "The process", "Scans are taken.", "text/plain", None,
              also=((503, "Scans are not taken; the text says why."),)),
    Operation("GET", "/metrics", "The process", "The numbers, in the text format of Prometheus.", "text/plain"),
    Operation("GET", "/v1/openapi.json", "The process", "This description.", {"type": "object"}),
    Operation("GET", "/v1/status", "The process", "Everything, as `dockline status --json`.", "Status"),
)  # fmt: skip
SESSIONS: Final = (
    Operation("POST", "/v1/session", "Sessions of the page", "Begin a session: the cookie is in the answer.", "Caller",
              None, action={"token": "text"}, also=((401, "Nobody, or a device, has that token."),)),
    Operation("GET", "/v1/session", "Sessions of the page", "Who asks, and the word that actions have to repeat.",
              "Caller", None, also=((401, "Nobody: there is neither token nor session."),)),
    Operation("DELETE", "/v1/session", "Sessions of the page", "End the session of the cookie.", {}, None, status=204),
)  # fmt: skip
EVENTS: Final = (
    Operation("GET", "/v1/events", "Events", "Events, newest first.",
              members("events", "StoredEvent", next_before={"type": ["integer", "null"]}),
              query=(TYPE, STATION, DEVICE, FROM, TO, ("after", SEQUENCE, "Only sequences above this one."),
                     ("before", SEQUENCE, "Only sequences below this one: `next_before` of the answer before."),
                     ("text", TEXT, "Only with this text in the event, letter by letter."),
                     ("document", TEXT, "Only about this document; not together with `text`."), limit(1000, 100))),
    Operation("GET", "/v1/events/tail", "Events", "Events as they are committed, as server-sent events.",
              "text/event-stream",
              query=(("after", SEQUENCE, "Begin behind this sequence; a Last-Event-ID header goes before it."),
                     TYPE, STATION, DEVICE, ("document", TEXT, "Only about this document."),
                     ("code", TEXT, "Only about this GTIN, SSCC, item number or scanned text.")),
              also=((503, "Too many tails are open."),)),
    Operation("GET", "/v1/events/{id}", "Events", "One event, by id or sequence.", "StoredEvent", also=(UNKNOWN,)),
    Operation("GET", "/v1/events/{id}/steps", "Events", "The same, and what became of it, step by step.",
              "EventJourney", also=(UNKNOWN,)),
)  # fmt: skip
QUARANTINE: Final = (
    Operation("GET", "/v1/quarantine", "Quarantine", "Events that an upstream would not take.",
              members("quarantine", "Quarantined", total=SEQUENCE,
                      reasons={"type": "array", "items": plain(upstream=TEXT, reason=TEXT, count=SEQUENCE)}),
              query=(("upstream", TEXT, "Only of this upstream."),
                     ("state", {"enum": list(get_args(QuarantineState))}, "Only in this state."),
                     ("reason", TEXT, "Only with this reason."), ("after", SEQUENCE, "Only sequences above this one."),
                     limit(1000, 100))),
    Operation("GET", "/v1/quarantine/{upstream}/{seq}", "Quarantine", "One of them, with its event and history.",
              "QuarantineCase", also=(UNKNOWN,)),
    Operation("POST", "/v1/quarantine/{upstream}/retry", "Quarantine", "Send quarantined events again.",
              plain(retried=KINDS["numbers"]), "operator", action={"seqs": "numbers", "reason": "text"},
              also=(UNKNOWN, REFUSED)),
    Operation("POST", "/v1/quarantine/{upstream}/discard", "Quarantine",
              "Decide that an upstream never gets these events.", plain(discarded=KINDS["numbers"]), "technician",
              action={"seqs": "numbers", "reason": "text"}, also=(UNKNOWN, REFUSED)),
)  # fmt: skip
REPLAY: Final = (
    Operation("GET", "/v1/replay", "Replay", "Replays that run and the last that are over.",
              members("replays", "Replay")),
    Operation("POST", "/v1/replay", "Replay", "Begin a replay; with `dry_run` only count (status 200).", "Replay",
              "operator", takes="ReplayOrder", status=202, also=((200, "The count asked for with `dry_run`."),
              REFUSED)),
    Operation("GET", "/v1/replay/{id}", "Replay", "One replay.", "Replay",
              query=(("wait", {"type": "integer", "minimum": 0, "maximum": 10},
                      "Seconds to wait for it to go on before answering."),), also=(UNKNOWN,)),
    Operation("POST", "/v1/replay/{id}/cancel", "Replay", "End a replay where it is.", "Replay", "operator",
              action={"reason": "text"}, also=(UNKNOWN, REFUSED)),
)  # fmt: skip
UPSTREAMS: Final = (
    Operation("GET", "/v1/upstreams", "Upstreams", "Every position, with its books and whether it is configured.",
              members("upstreams", "Position")),
    Operation("POST", "/v1/upstreams/{name}/rewind", "Upstreams", "Deliver again what is kept behind a sequence.",
              plain(name=TEXT, settled_through=SEQUENCE, kept_behind=SEQUENCE), "technician",
              action={"to": "number", "reason": "text"}, also=(UNKNOWN, REFUSED)),
    Operation("POST", "/v1/upstreams/{name}/rename", "Upstreams", "Give a position to another name.", plain(name=TEXT),
              "admin", action={"name": "text", "replace": "flag", "reason": "text"}, also=(UNKNOWN, REFUSED)),
    Operation("POST", "/v1/upstreams/{name}/remove", "Upstreams", "Forget a position.", plain(removed=TEXT), "admin",
              action={"reason": "text"}, also=(UNKNOWN, REFUSED)),
)  # fmt: skip
CHECKS: Final = (
    Operation("GET", "/v1/expectations", "Expected documents", "The documents that are expected, by id.",
              members("expectations", "ExpectationSummary", next_after={"type": ["string", "null"]}),
              query=(("after", TEXT, "Only documents behind this id."), limit(10_000, 1000))),
    Operation("GET", "/v1/expectations/{id}", "Expected documents", "One, with its lines and the work on it here.",
              "ExpectationShown", query=(limit(10_000, 1000),), also=(UNKNOWN,)),
    Operation("PUT", "/v1/expectations/{id}", "Expected documents", "Keep a document, or a newer version of it.",
              "ExpectationSummary", "operator", takes="ExpectedDocument",
              also=((201, "It was not known before."), (422, "It is no expected document; the body says why."))),
    Operation("DELETE", "/v1/expectations/{id}", "Expected documents",
              "Expect it no more; work under way goes on by what it began with.", plain(removed=TEXT), "operator",
              also=(UNKNOWN,)),
    Operation("POST", "/v1/expectations/{id}/switch", "Expected documents",
              "Have work under way go on by the newest version.",
              plain(switched=TEXTS, version=TEXT, counting=TEXTS), "operator",
              action={"reason": "text"}, also=(UNKNOWN, REFUSED)),
    Operation("GET", "/v1/exceptions", "Exceptions", "Exceptions, oldest first.",
              members("exceptions", "Exception", total=SEQUENCE, overdue=SEQUENCE,
                      next_after={"type": ["string", "null"]}),
              query=(("state", {"enum": list(STATES), "default": "unresolved"}, "Only in this state."),
                     ("code", TEXT, "Only of this code."), ("owner", TEXT, "Only of this owner."),
                     ("document", TEXT, "Only about this document."),
                     ("after", TEXT, "Only behind this one: `next_after` of the answer before."), limit(1000, 1000))),
    Operation("GET", "/v1/exceptions/{id}", "Exceptions", "One, with its evidence.", "Exception", also=(UNKNOWN,)),
    Operation("POST", "/v1/exceptions/{id}/acknowledge", "Exceptions", "Somebody looks after it.", "Exception",
              "operator", action={"reason": "text"}, also=(UNKNOWN, REFUSED)),
    Operation("POST", "/v1/exceptions/{id}/resolve", "Exceptions", "It is decided.", "Exception", "operator",
              action={"resolution": "text"}, also=(UNKNOWN, REFUSED)),
)  # fmt: skip
CARE: Final = (
    Operation("POST", "/v1/incidents/{number}/acknowledge", "Care of the outbox",
              "Note that somebody knows of an incident: its alarm ends.", plain(acknowledged=SEQUENCE), "technician",
              action={"reason": "text"}, also=(UNKNOWN,)),
    Operation("POST", "/v1/backup", "Care of the outbox", "The whole outbox as of its last commit, as one file.",
              "application/octet-stream", "admin", action={"reason": "text"},
              also=(REFUSED, (507, "The copy does not fit on the disk."))),
)  # fmt: skip
DEVICES: Final = (
    Operation("POST", "/v1/scans", "Devices", "A handheld's scan or an array of them, answered after the commit.",
              "Acknowledgements", "device", takes="Scans",
              also=((403, "The device is refused; the body is the acknowledgement, or an error."), TOO_MANY,
                    NO_STORAGE)),
    Operation("POST", "/v1/readers/{device}/tags", "Devices", "An RFID reader's own JSON, answered after the commit.",
              "TagsTaken", "device", takes={"description": "As the reader's profile describes it."},
              also=((403, "The device is refused, or the token is another device's."), TOO_MANY, NO_STORAGE)),
)  # fmt: skip
STATIONS: Final = (
    Operation("GET", "/v1/stations", "Stations", "Every station: its last scan, its last hour, its document.",
              members("stations", "Station", now_ms=SEQUENCE)),
    Operation("GET", "/v1/stations/{station}", "Stations", "One, with its scans among the gateway's last hundreds.",
              "StationShown", also=(UNKNOWN,)),
    Operation("POST", "/v1/stations/{station}/scans", "Stations",
              "A scan that a person typed because the scanner cannot, answered after the commit.", "Acknowledgement",
              "operator", takes="Scan", query=(("device", TEXT, "Device of the station that it stands for."),),
              also=((403, "It is refused; the body is the acknowledgement, or an error."), UNKNOWN, REFUSED,
                    NO_STORAGE)),
    Operation("GET", "/v1/history", "Stations", "The last day by minutes, oldest first; null where nobody saw one.",
              "History", query=(("minutes", {"type": "integer", "minimum": 1, "maximum": DAY, "default": DAY},
                                 "How many minutes."),)),
    Operation("GET", "/v1/stream", "Stations", "What open pages hear: stations, scans and status as they change.",
              "text/event-stream", also=((503, "Too many pages are open."),)),
    Operation("GET", "/v1/devices", "Stations", "Devices, and those that knock with the lines that would admit them.",
              "Devices"),
    Operation("GET", "/v1/devices/{device}", "Stations", "What is needed to replace a device.", "DeviceLines",
              also=(UNKNOWN,)),
)  # fmt: skip
OPERATIONS: Final = (
    *PROCESS, *STATIONS, *DEVICES, *EVENTS, *QUARANTINE, *CHECKS, *REPLAY, *UPSTREAMS, *CARE, *SESSIONS,
)  # fmt: skip
"""Every operation, in the order of the pages about them."""
