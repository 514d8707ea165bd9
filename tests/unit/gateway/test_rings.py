"""Rings of values are found by the clock, too."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from gateway.rings import ALL_EVERY, YOUNG_S, RingWatch


class Clock:
    """The part of an event loop that the watch uses, with a clock that is moved by hand."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], Any]]] = []
        self.now = 0.0

    def call_later(self, delay: float, callback: Callable[[], Any]) -> None:
        self.due.append((self.now + delay, callback))

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self.due and self.due[0][0] <= end:
            self.now, callback = self.due.pop(0)
            callback()
        self.now = end


class Ring:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def nobody_looks() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def watched(clock: Clock, *look: Callable[[int], object]) -> None:
    RingWatch(cast(asyncio.AbstractEventLoop, clock), *look).begin()


@pytest.mark.usefixtures("nobody_looks")
def test_a_ring_is_let_go_at_the_next_look() -> None:
    clock = Clock()
    watched(clock)
    ring = weakref.ref(Ring())
    clock.advance(YOUNG_S - 1)
    assert ring() is not None
    clock.advance(1)
    assert ring() is None


@pytest.mark.usefixtures("nobody_looks")
def test_a_ring_that_was_in_use_at_several_looks_is_let_go_at_a_look_at_everything() -> None:
    clock = Clock()
    watched(clock)
    ring = Ring()
    clock.advance(3 * YOUNG_S)
    grown = weakref.ref(ring)
    del ring
    clock.advance(YOUNG_S)
    assert grown() is not None
    clock.advance(YOUNG_S * ALL_EVERY)
    assert grown() is None


def test_most_looks_are_at_the_young_ones_alone() -> None:
    clock, looks = Clock(), list[int]()
    watched(clock, looks.append)
    clock.advance(2 * ALL_EVERY * YOUNG_S)
    assert looks == ([1] * (ALL_EVERY - 1) + [2]) * 2
