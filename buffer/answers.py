"""What numbered messages were answered, for the event loop: found without asking the file wherever that is certain.

Nearly every message is new, and nearly every device counts upwards. A number above the greatest one that was ever
answered to its device cannot be in the table, so the greatest is remembered for each device and the file is asked only
about numbers below it. What is queued and not committed yet counts as answered: to ask once too often is harmless.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from buffer import redelivery
from buffer.entry import Redelivery

DEVICES_MAX = 10_000
"""Devices whose greatest number is remembered; about those beyond, the file is always asked."""

_GREATEST = "SELECT max(message_id) FROM redelivery WHERE device = ?"


class Answers:
    """The lookup of one outbox. Uses a read-only connection; raises sqlite3.Error when the file cannot be read."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._greatest: dict[str, str] = {}
        """By device. SQLite compares text by its UTF-8 bytes, Python by its code points: that is the same order."""

    def recall(self, keys: Sequence[tuple[str, str]], committed_after_ms: int) -> dict[tuple[str, str], Redelivery]:
        """As `redelivery.recall`."""
        asked = [key for key in keys if key[1] <= self._greatest_of(key[0], key[1])]
        return redelivery.recall(self._connection, asked, committed_after_ms) if asked else {}

    def queued(self, answers: Sequence[Redelivery]) -> None:
        """Take note of answers on their way to disk."""
        greatest = self._greatest
        for device, message_id, _, _ in answers:
            known = greatest.get(device)
            if known is None:
                known = self._greatest_of(device, message_id)
                if device not in greatest:
                    continue
            if message_id > known:
                greatest[device] = message_id

    def _greatest_of(self, device: str, otherwise: str) -> str:
        """Return the greatest number answered to a device, "" when there is none, `otherwise` when it is not kept."""
        known = self._greatest.get(device)
        if known is not None:
            return known
        if len(self._greatest) >= DEVICES_MAX:
            return otherwise
        (found,) = self._connection.execute(_GREATEST, (device,)).fetchone()
        known = self._greatest[device] = found or ""
        return known
