"""How a command finds the daemon: by the configuration where it may read it, else by the service's own places."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest

from gateway.cli.client import Site, _is_kept_from_us


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """Be nobody for a while; where the tests do not run as root they are an ordinary user already."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def closed_folder(tmp_path: Path) -> Iterator[Path]:
    """As /etc/dockline is to everybody but root and the service."""
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "gateway.toml").write_text("[site]\n")
    folder.chmod(0o000)
    yield folder
    folder.chmod(0o700)


def test_a_file_in_a_folder_that_is_closed_to_us_is_kept_from_us(closed_folder: Path, ordinary_user: None) -> None:
    """Not to be told apart from one that is there: the service's socket is asked, and says who may what."""
    assert _is_kept_from_us(closed_folder / "gateway.toml")


def test_a_file_we_may_read_and_one_that_is_not_there_are_not(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text("[site]\n")
    assert not _is_kept_from_us(tmp_path / "gateway.toml")
    assert not _is_kept_from_us(tmp_path / "nothing.toml")


class Answer(BytesIO):
    """A whole one."""

    length = 15


def test_a_full_stick_is_not_blamed_on_the_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def whole(*_: object, **__: object) -> Iterator[Answer]:
        yield Answer(b"SQLite format 3")

    config = tmp_path / "gateway.toml"
    config.write_text(f'[storage]\npath = "{tmp_path}"\n')
    monkeypatch.setattr(Site, "_request", whole)
    with pytest.raises(OSError, match="No space left"), Path("/dev/full").open("r+b", buffering=0) as stick:
        Site(config).download("/v1/backup", {}, stick)
