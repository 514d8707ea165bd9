"""The `rfid-reader` device kind: a fixed reader or portal that pushes its own JSON over MQTT or HTTP.

It has no run of its own: it arrives over a shared link (the listener, the site broker or HTTP), which knows who is
speaking. What is configured is where its messages hold what (`tags`, usually preset by a profile such as
"zebra-iot-connector"), which topic it publishes to, and how its repeat reads become passes.

A reader understands no answer: PUBACK or 2xx after the commit is all it hears.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from drivers.reader_message import parse_report
from drivers.scan_message import ParsedBody
from drivers.tag_mapping import TagMapping

HEALTH_LINES_MAX: Final = 20


class RfidReaderSettings(BaseModel):
    """A `[[device]]` with `driver = "rfid-reader"`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^+#\x00]+$")] | None = Field(
        None, description="MQTT topic this reader publishes to; no wildcards. Not needed over HTTP"
    )
    tags: TagMapping = Field(description="where the reader's messages hold what; a profile presets it")
    depart_after_s: Annotated[float, Field(gt=0, le=86_400)] = Field(
        10.0, description="seconds unseen after which a tag has left; its next read is a new pass"
    )
    tags_max: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        20_000, description="tags present at once that are remembered, about 400 bytes each"
    )
    reads_min: Annotated[int, Field(ge=1, le=1_000)] = Field(
        1, description="reads before a tag counts; more than 1 keeps out strays read by chance"
    )
    rssi_min_dbm: Annotated[float, Field(ge=-120, le=0)] | None = Field(
        None, description="weaker reads are left out; without it none are"
    )


class RfidReader:
    """One reader: its messages become readings, and what it says about itself is kept for its status."""

    def __init__(self, device: str, settings: RfidReaderSettings) -> None:
        self.device = device
        self.settings = settings
        self.ignored = 0
        """Messages recognised and not kept since the start: heartbeats, management events."""
        self.health: list[str] = []
        """The last things the reader said about itself, latest last, at most HEALTH_LINES_MAX."""

    def parse(self, body: bytes) -> ParsedBody:
        """Return the tag reads in one message. Never raises; no readings means that there is nothing to keep."""
        report = parse_report(self.device, self.settings.tags, body)
        self.ignored += report.ignored
        if report.health:
            self.health = [*self.health, *report.health][-HEALTH_LINES_MAX:]
        return ParsedBody(report.readings, report.problem)
