"""The `handheld` device kind: a terminal that sends `scan_message` bodies over MQTT or HTTP.

It has no run of its own: it arrives over a shared link (the listener, the site broker or `POST /v1/scans`), which knows
who is speaking. What is configured for it is its place: the station that gives a scan without an activity its meaning.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from drivers.symbology import StandIn


class HandheldSettings(BaseModel):
    """Keys of a `[[device]]` with `driver = "handheld"` beyond the common ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group_separator: StandIn | None = Field(
        None, min_length=1, description="What the app sends in place of GS (0x1D) in GS1 data; absent: GS itself."
    )


class Handheld:
    """Driver `handheld`: settings only."""

    Settings = HandheldSettings
