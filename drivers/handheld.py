"""The `handheld` device kind: a terminal that sends `scan_message` bodies over MQTT or HTTP.

It has no run of its own: it arrives over a shared link (the listener, the site broker or `POST /v1/scans`), which knows
who is speaking. What is configured for it is its place: the station that gives a scan without an activity its meaning.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class HandheldSettings(BaseModel):
    """Keys of a `[[device]]` with `driver = "handheld"` beyond `id`, `station` and `driver`: there are none."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Handheld:
    """Driver `handheld`: settings only."""

    Settings = HandheldSettings
