"""The record that stands for events that are not delivered as themselves."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

from gateway.events.model import Closed, Instant, Text


class GapData(Closed):
    """What is known of an entry, or a run of them, that is not delivered as itself."""

    sequence: Annotated[str, StringConstraints(pattern=r"^[0-9]{20}$")]
    """The sequence that will not come as an event; of a run the last."""
    first_sequence: Annotated[str, StringConstraints(pattern=r"^[0-9]{20}$")] | None = None
    """First sequence of a run; absent when it is one."""
    digest: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2})*$")]
    """Digest of the entry as hexadecimal text; empty when it is not known."""
    reason: Text
    """Why: quarantined, discarded, damaged, skipped or missing, with what the centre said."""


class GapRecord(Closed):
    """Announces what is not delivered as itself, so that a consumer can tell late from lost.

    Made on delivery from the entry's own columns, not captured; it is no event and has no place in the outbox.
    """

    specversion: Literal["1.0"]
    id: Annotated[str, StringConstraints(pattern=r"^gap-.+$")]
    """The same for every retry of the same announcement; another when it tells anything else."""
    source: Annotated[str, StringConstraints(pattern=r"^//[^/]+/[^/]+/[^/]+$")]
    type: Literal["dockline.gap.v1"]
    datacontenttype: Literal["application/json"]
    subject: Text | None = None
    time: Instant | None = None
    sequence: Annotated[str, StringConstraints(pattern=r"^[0-9]{20}$")]
    data: GapData
