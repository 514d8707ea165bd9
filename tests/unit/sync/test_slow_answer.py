"""A large answer over a slow line: it is waited for as long as it comes, in virtual time."""

import asyncio

import pytest
from voyage_loop import VirtualLoop, run

from sync import HttpEventsSettings, Unanswered
from sync.answer import Answer
from sync.http_events import HttpEvents
from sync.http_exchange import Request

TIMEOUT_S = 60.0
WHOLE_S = 3600.0
STALLED_S = 1e6


class SlowLine:
    """Carries an answer in so many pieces, each as late as it is told; then it stalls, or the answer is whole."""

    def __init__(self, pieces: int, *, every_s: float, stalls: bool = False) -> None:
        self._pieces, self._every_s, self._stalls = pieces, every_s, stalls

    async def exchange(self, request: Request) -> Answer:
        for _ in range(self._pieces):
            await asyncio.sleep(self._every_s)
            if request.on_bytes is not None:
                request.on_bytes()
        if self._stalls:
            await asyncio.sleep(STALLED_S)
        return Answer(200, {}, b"[]", request.answer_bytes_max)

    def close(self) -> None:
        pass


def asked(line: SlowLine, whole_s: float | None = WHOLE_S) -> tuple[float, Answer | str]:
    """Return how long the answer took, and the answer, or why there is none."""
    settings = HttpEventsSettings.model_validate(
        {"name": "expectations", "url": "http://127.0.0.1:9/", "timeout_s": TIMEOUT_S}
    )

    async def ask(loop: VirtualLoop) -> tuple[float, Answer | str]:
        sender = HttpEvents(settings, wall=lambda: 0, carrier=line)
        began = loop.time()
        try:
            answer: Answer | str = await sender.get(settings.url, {}, bytes_max=1_000_000, whole_s=whole_s)
        except Unanswered as error:
            answer = str(error)
        return loop.time() - began, answer

    return run(ask)


def test_an_answer_that_keeps_coming_is_waited_for() -> None:
    """Twenty megabytes over half a megabit take five minutes. Given up after one, they would be asked for for ever."""
    took_s, answer = asked(SlowLine(10, every_s=50.0))
    assert (took_s, isinstance(answer, Answer)) == (pytest.approx(500.0), True)


def test_one_that_stalls_is_given_up_after_the_time_out() -> None:
    took_s, answer = asked(SlowLine(3, every_s=50.0, stalls=True))
    assert took_s == pytest.approx(150.0 + TIMEOUT_S)
    assert answer == "127.0.0.1 sent nothing for 60 s, or was not done after 60 minutes"


def test_one_that_never_begins_is_given_up_after_the_time_out() -> None:
    took_s, _ = asked(SlowLine(0, every_s=0.0, stalls=True))
    assert took_s == pytest.approx(TIMEOUT_S)


def test_drops_for_ever_are_given_up_after_an_hour() -> None:
    took_s, answer = asked(SlowLine(1_000, every_s=50.0))
    assert (took_s, isinstance(answer, str)) == (pytest.approx(WHOLE_S), True)


def test_an_acknowledgement_is_small_and_has_one_time_out() -> None:
    """Drops must not hold deliveries up."""
    took_s, answer = asked(SlowLine(10, every_s=50.0), whole_s=None)
    assert took_s == pytest.approx(TIMEOUT_S)
    assert answer == "127.0.0.1 gave no whole answer within 60 s"
