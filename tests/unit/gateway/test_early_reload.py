"""A signal that comes too early is kept, not fatal and not forgotten."""

import signal
from collections.abc import Iterator

import pytest

from gateway.early_reload import EarlyReload


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def test_a_signal_before_anybody_listens_is_handed_on_once() -> None:
    early, requests = EarlyReload(), []
    early.listen()
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGHUP)
    early.pass_on(lambda: requests.append(1))
    assert requests == [1]


def test_one_that_comes_later_is_handed_on_at_once() -> None:
    early, requests = EarlyReload(), []
    early.listen()
    early.pass_on(lambda: requests.append(1))
    assert requests == []
    signal.raise_signal(signal.SIGHUP)
    assert requests == [1]
