"""Fixtures of the outbox tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from outbox_rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """An outbox folder with real threads."""
    made = Rig(tmp_path / "state")
    yield made
    made.shutdown()


@pytest.fixture(params=["threads", "inline"])
def any_rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """An outbox folder, with real threads and without any."""
    made = Rig(tmp_path / "state", inline=request.param == "inline")
    yield made
    made.shutdown()
