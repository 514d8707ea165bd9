"""What can go wrong in the outbox, and what follows.

OutboxError
|- OutboxFull          us: no room now; nothing was stored, refuse the device, it recovers by itself
|- CommitUnknown       the disk: it is unknown what was stored; acknowledge nothing, exit, be restarted
|- DraftRefused        the caller: something in this commit cannot be stored; nothing of it was
|- OutboxClosed        the caller: the outbox is closed
|- OutboxLocked        another daemon has this outbox open
|- SchemaNewer         the file was written by a newer version
|- NotDurable          the settings that make a commit durable did not hold
|- OutboxDamaged       the file cannot be read
|- OutboxMissing       there is no outbox in the folder, or one that was never opened by this version
|- UpstreamUnknown     no upstream of this name is registered
|- UpstreamTaken       another upstream has this name
|- QuarantineRefused   the quarantined entry is not in a state that allows this
"""

from __future__ import annotations


class OutboxError(Exception):
    """The outbox could not do what was asked."""

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").splitlines()[0])
        self.hint = hint
        """What a technician can do about it."""


class OutboxFull(OutboxError):
    """There is no room now. Nothing was stored; intake resumes by itself when there is room."""


class CommitUnknown(OutboxError):
    """The disk failed during a commit: it is unknown what was stored. Acknowledge nothing and exit."""


class DraftRefused(OutboxError):
    """Something in this commit cannot be stored; nothing of it was."""


class OutboxClosed(OutboxError):
    """The outbox is closed."""


class OutboxLocked(OutboxError):
    """Another process has this outbox open."""

    def __init__(self, message: str = "", *, pid: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.pid = pid
        """Process id of the other daemon, when it could be read."""


class SchemaNewer(OutboxError):
    """The outbox was written by a newer version of this program."""


class NotDurable(OutboxError):
    """The database would not promise that a commit survives a power cut."""


class OutboxDamaged(OutboxError):
    """The outbox file cannot be read."""


class OutboxMissing(OutboxError):
    """There is no outbox here that can be read."""


class UpstreamUnknown(OutboxError):
    """No upstream of this name is registered."""


class UpstreamTaken(OutboxError):
    """Another upstream has this name."""


class QuarantineRefused(OutboxError):
    """The quarantined entry does not allow this."""
