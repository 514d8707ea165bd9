"""The delivery: at least once out, exactly once there.

What is exported costs nothing to import; an upstream (`sync.http_events.HttpEvents`) is loaded when it is configured.
"""

from sync.batch import Batch, join_batch
from sync.errors import (
    BatchRefused,
    BatchTooLarge,
    NotAnAnswer,
    SyncError,
    Unanswered,
    UpstreamHolds,
    UpstreamUnavailable,
)
from sync.outbox_port import ChainHead, OutboxPort
from sync.pump import Pump
from sync.pump_state import Alarm, Health, PumpState
from sync.replay import Replay, ReplayOrder, ReplayState
from sync.settings import EpcisCaptureSettings, HttpEventsSettings, PumpSettings, UpstreamSettings
from sync.upstream import Position, Upstream

__all__ = [
    "Alarm",
    "Batch",
    "BatchRefused",
    "BatchTooLarge",
    "ChainHead",
    "EpcisCaptureSettings",
    "Health",
    "HttpEventsSettings",
    "NotAnAnswer",
    "OutboxPort",
    "Position",
    "Pump",
    "PumpSettings",
    "PumpState",
    "Replay",
    "ReplayOrder",
    "ReplayState",
    "SyncError",
    "Unanswered",
    "Upstream",
    "UpstreamHolds",
    "UpstreamSettings",
    "UpstreamUnavailable",
    "join_batch",
]
