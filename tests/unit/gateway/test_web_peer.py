"""The kernel says who is at the other end of a local socket; groups say what that user may do."""

import os
import socket

import pytest

from gateway.web.auth import Caller
from gateway.web.peer import LocalRoles, names_of, peer_uid

USERS = {
    0: ("root", frozenset({"root"})),
    997: ("dockline", frozenset({"dockline"})),
    1000: ("anna", frozenset({"anna", "leads"})),
    1001: ("ben", frozenset({"ben", "leads", "technicians"})),
    1002: ("carl", frozenset({"carl"})),
}


def roles(**groups: str | None) -> LocalRoles:
    given = {"admin": None, "technician": "technicians", "operator": "leads", **groups}
    return LocalRoles(tuple(given.items()), 997, USERS.__getitem__)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("uid", "caller"),
    [
        (0, Caller("cli", "admin", may_name=True)),
        (997, Caller("cli:dockline", "admin")),
        (1000, Caller("cli:anna", "operator")),
        (1001, Caller("cli:ben", "technician")),
        (1002, Caller("cli:carl", "viewer")),
    ],
)
def test_a_user_has_the_highest_role_a_group_gives_and_else_looks(uid: int, caller: Caller) -> None:
    assert roles().caller(uid) == caller


def test_without_groups_only_root_and_the_service_act() -> None:
    found = {uid: roles(technician=None, operator=None).caller(uid).role for uid in USERS}
    assert found == {0: "admin", 997: "admin", 1000: "viewer", 1001: "viewer", 1002: "viewer"}


def test_the_kernel_is_asked_and_only_for_local_connections() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    assert peer_uid(one) == os.getuid()
    one.close()
    other.close()
    with socket.socket(socket.AF_INET) as remote:
        assert peer_uid(remote) is None


def test_a_user_the_system_does_not_know_is_named_by_its_number() -> None:
    assert names_of(3_999_999_999) == ("3999999999", frozenset())
    assert names_of(0)[0] == "root"
