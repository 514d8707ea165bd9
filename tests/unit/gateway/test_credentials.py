"""Secrets come by reference, whole, and from where nobody else can read."""

import os
import pwd
from pathlib import Path

import pytest

from gateway.credentials import (
    SECRET_BYTES_MAX,
    CredentialError,
    check_secret_file,
    check_secret_owner,
    credential_path,
)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("  t0p-secret \n")
    path.chmod(0o600)
    return path


def test_a_credential_is_read_from_the_folder_systemd_made(secret: Path) -> None:
    secret.chmod(0o440)  # systemd shows its access list as group bits
    assert credential_path("token", {"CREDENTIALS_DIRECTORY": str(secret.parent)}) == secret


@pytest.mark.parametrize("name", ["../token", "a/b", "", ".", ".."])
def test_a_credential_never_leaves_its_folder(name: str, secret: Path) -> None:
    with pytest.raises(CredentialError, match="not the name of a credential"):
        credential_path(name, {"CREDENTIALS_DIRECTORY": str(secret.parent)})


def test_what_the_unit_did_not_load_is_named_with_the_line_to_add(secret: Path) -> None:
    for environ in ({}, {"CREDENTIALS_DIRECTORY": str(secret.parent)}):
        with pytest.raises(CredentialError) as caught:
            credential_path("other", environ)
        assert "LoadCredential=other:" in str(caught.value.hint)


def test_a_folder_and_a_huge_file_are_no_secrets(secret: Path) -> None:
    with pytest.raises(CredentialError, match="not a file"):
        check_secret_file(secret.parent)
    secret.write_bytes(b"x" * (SECRET_BYTES_MAX + 1))
    with pytest.raises(CredentialError, match="not a secret"):
        check_secret_file(secret)
    secret.write_bytes(b"x" * SECRET_BYTES_MAX)
    check_secret_file(secret)


class _Owned(type(Path())):  # type: ignore[misc]
    """A path whose owner is what the test says."""

    uid = 0

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        found = list(super().stat(follow_symlinks=follow_symlinks))
        found[4] = self.uid
        return os.stat_result(found)


def owned(path: Path, uid: int) -> Path:
    made = _Owned(path)
    made.uid = uid
    return made


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.mark.usefixtures("as_root")
def test_root_is_told_when_the_service_cannot_read_what_root_can(secret: Path) -> None:
    """`sudo dockline check` found no problem, and the service ended with 78."""
    someone = pwd.getpwall()[1]
    with pytest.raises(CredentialError, match=f"belongs to root; the service runs as {someone.pw_name}") as caught:
        check_secret_owner(owned(secret, 0), owned(secret.parent, someone.pw_uid))
    assert caught.value.hint == f"chown {someone.pw_name} {secret}"
    check_secret_owner(owned(secret, someone.pw_uid), owned(secret.parent, someone.pw_uid))


@pytest.mark.usefixtures("as_root")
def test_nothing_is_said_of_owners_where_nobody_can_know(secret: Path) -> None:
    check_secret_owner(secret.parent / "not-there", secret.parent)
    check_secret_owner(owned(secret, 0), owned(secret.parent, 0))
    check_secret_owner(owned(secret, 4_000_000_000), owned(secret.parent, 4_000_000_001))


def test_whoever_is_not_root_finds_out_by_reading(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    check_secret_owner(owned(secret, 0), owned(secret.parent, pwd.getpwall()[1].pw_uid))
