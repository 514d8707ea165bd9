"""One daemon an outbox."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from buffer import OutboxError, OutboxLocked
from buffer.lock import FolderLock


def test_the_second_hears_who_holds_it(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(OutboxLocked, match=str(os.getpid())) as caught:
        FolderLock(tmp_path)
    assert caught.value.pid == os.getpid()
    lock.release()
    FolderLock(tmp_path).release()


def test_a_link_in_its_place_is_not_written_through(tmp_path: Path) -> None:
    """Root takes the lock of a folder that the service's user may write to."""
    victim, folder = tmp_path / "victim", tmp_path / "folder"
    victim.write_text("as it was")
    folder.mkdir()
    (folder / "outbox.lock").symlink_to(victim)
    with pytest.raises(OutboxError, match="symbolic link"):
        FolderLock(folder)
    assert victim.read_text() == "as it was"


def test_nothing_is_left_of_what_a_longer_file_said(tmp_path: Path) -> None:
    """The next start takes the words of the file for what the last run was."""
    (tmp_path / "outbox.lock").write_text("1\n" + "x" * 300 + "\n")
    lock = FolderLock(tmp_path)
    assert "x" * 90 not in (tmp_path / "outbox.lock").read_text()[80:]
    lock.release()


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    """kill -9: nobody has to remove a stale lock file by hand."""
    code = "import sys, pathlib; from buffer.lock import FolderLock; l = FolderLock(pathlib.Path(sys.argv[1]));"
    code += "print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(OutboxLocked) as caught:
            FolderLock(tmp_path)
        assert caught.value.pid == child.pid
        child.kill()
        child.wait(60)
    FolderLock(tmp_path).release()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Most network shares: two gateways could write there at once, so none does."""

    def refuse(_fd: int, _how: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as share:
        share.setattr("buffer.lock.fcntl.flock", refuse)
        with pytest.raises(OutboxError, match="gives no locks") as caught:
            FolderLock(tmp_path)
    assert "network share" in (caught.value.hint or "")
    FolderLock(tmp_path).release()


def test_an_unreadable_pid_is_no_reason_to_share(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.path.write_bytes(b"\xff\xfe")
    with pytest.raises(OutboxLocked) as caught:
        FolderLock(tmp_path)
    assert caught.value.pid is None
    lock.release()


def test_it_is_not_inherited_by_children(tmp_path: Path) -> None:
    """A helper process that outlives the daemon must not keep the next one out."""
    lock = FolderLock(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        lock.release()
        FolderLock(tmp_path).release()
        child.communicate(b"\n", 20)
