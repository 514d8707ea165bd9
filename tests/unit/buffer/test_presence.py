"""Whether the files are still there."""

from __future__ import annotations

from pathlib import Path

import pytest

from buffer import CommitUnknown
from buffer.presence import Presence, identity_of


def test_same_file_is_present_and_growing_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    presence = Presence([path])
    path.write_bytes(b"12")
    presence.check()


def test_gone_and_replaced_are_noticed(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"1")
    presence = Presence([path])
    other.write_bytes(b"1")
    other.rename(path)
    with pytest.raises(CommitUnknown, match="replaced"):
        presence.check()
    path.unlink()
    with pytest.raises(CommitUnknown):
        presence.check()
    assert identity_of(str(path)) is None
