"""Who is at the other end of the local socket: the kernel says it, so nobody on this computer needs a token.

Root and the service's own user may do everything; everybody else looks, unless a Unix group that `[api]` names gives
more. Groups are looked up at each request: whoever is taken out of one loses what it gave.
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from gateway.settings.model import ApiSettings
from gateway.web.auth import Caller, Role

ROOT = Caller("cli", "admin", may_name=True)
"""Root may say for whom it acts (`Dockline-User`: the person behind sudo), as it may do everything else."""
_UCRED = struct.Struct("3i")
"""Process, user and group of the peer (unix(7), SO_PEERCRED), as they were when it connected."""


def peer_uid(connection: socket.socket) -> int | None:
    """Return the user at the other end; None for a connection that is not local."""
    if connection.family != socket.AF_UNIX:
        return None
    _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return int(uid)


@dataclass(frozen=True, slots=True)
class LocalRoles:
    """What users of this computer may do over the local socket."""

    groups: tuple[tuple[Role, str | None], ...]
    """Role and the Unix group that gives it, the highest role first."""
    own_uid: int
    """The service's own user."""
    names_of: Callable[[int], tuple[str, frozenset[str]]]
    """Name of a user, and the names of the groups it is in."""

    @classmethod
    def of(cls, settings: ApiSettings) -> LocalRoles:
        """Return what the settings mean on this computer."""
        groups: tuple[tuple[Role, str | None], ...] = (
            ("admin", settings.admins_group),
            ("technician", settings.technicians_group),
            ("operator", settings.operators_group),
        )
        return cls(groups, os.geteuid(), names_of)

    def caller(self, uid: int) -> Caller:
        """Return who asks, and what that user may do."""
        if uid == 0:
            return ROOT
        name, member_of = self.names_of(uid)
        if uid == self.own_uid:
            return Caller(f"cli:{name}", "admin")
        role = next((role for role, group in self.groups if group is not None and group in member_of), None)
        return Caller(f"cli:{name}", role or "viewer")


def names_of(uid: int) -> tuple[str, frozenset[str]]:
    """Ask the system for a user's name and groups; one that it does not know is named by its number."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return str(uid), frozenset()
    found = set()
    for gid in os.getgrouplist(user.pw_name, user.pw_gid):
        try:
            found.add(grp.getgrgid(gid).gr_name)
        except KeyError:
            continue
    return user.pw_name, frozenset(found)
