"""Secrets in files: current, guarded, never shown."""

import os
from pathlib import Path

import pytest

from sync import UpstreamHolds
from sync.secret_file import SecretFile


def write(path: Path, content: bytes, mode: int = 0o600) -> SecretFile:
    path.write_bytes(content)
    path.chmod(mode)
    return SecretFile(path)


@pytest.mark.parametrize("content", [b"token", b"token\n", b"  token\r\n"])
def test_white_space_around_it_is_not_part_of_it(tmp_path: Path, content: bytes) -> None:
    assert write(tmp_path / "t", content).value() == "token"


@pytest.mark.parametrize(
    ("mode", "is_good"), [(0o400, True), (0o440, True), (0o640, True), (0o644, False), (0o604, False)]
)
def test_a_file_open_to_everybody_is_refused(tmp_path: Path, mode: int, is_good: bool) -> None:
    secret = write(tmp_path / "t", b"token", mode)
    if is_good:
        assert secret.value() == "token"
    else:
        with pytest.raises(UpstreamHolds, match="every user"):
            secret.value()


@pytest.mark.parametrize("content", [b"", b" \n", b"x" * 16_385, b"to\x00ken", b"to\x1bken", "tökén".encode()])
def test_what_is_no_secret_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UpstreamHolds) as caught:
        write(tmp_path / "t", content).value()
    assert "ken" not in str(caught.value)


def test_a_replaced_file_is_read_again_and_only_then(tmp_path: Path) -> None:
    path = tmp_path / "t"
    secret = write(path, b"old")
    assert secret.value() == "old"
    assert not secret.changed()
    write(tmp_path / "fresh", b"new")
    (tmp_path / "fresh").rename(path)
    assert secret.changed()
    assert secret.value() == "new"
    assert not secret.changed()


def test_a_file_that_went_bad_is_not_forgiven_because_it_was_good(tmp_path: Path) -> None:
    path = tmp_path / "t"
    secret = write(path, b"good")
    assert secret.value() == "good"
    write(path, b"")
    for _ in range(2):
        with pytest.raises(UpstreamHolds):
            secret.value()
    assert not secret.changed()
    path.unlink()
    with pytest.raises(UpstreamHolds):
        secret.value()
    assert not secret.changed()
    write(path, b"again")
    assert secret.changed()
    assert secret.value() == "again"


def test_mode_repaired_counts_as_a_change(tmp_path: Path) -> None:
    path = tmp_path / "t"
    secret = write(path, b"token", 0o644)
    with pytest.raises(UpstreamHolds):
        secret.value()
    path.chmod(0o600)
    assert secret.changed()
    assert secret.value() == "token"


def test_a_file_given_to_another_owner_counts_as_a_change(tmp_path: Path) -> None:
    """Put in place as root, then given to the service: the content is the one it had, and now it can be read."""
    path = tmp_path / "t"
    secret = write(path, b"token")
    secret.value()
    after = os.stat_result([*path.stat()[:4], 4711, *path.stat()[5:]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "stat", lambda _: after)
        assert secret.changed()


def test_it_is_not_shown_by_accident(tmp_path: Path) -> None:
    secret = write(tmp_path / "t", b"SECRET-VALUE")
    secret.value()
    assert "SECRET-VALUE" not in repr(secret)
