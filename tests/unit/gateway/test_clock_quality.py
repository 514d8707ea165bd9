"""Whether the wall clock may be believed."""

from gateway.capture.clock_quality import ASK_EVERY_S, ClockMonitor, vouched


def test_the_time_service_is_asked_now_and_then() -> None:
    now = 100.0
    answers = [False, True, False]
    asked: list[float] = []

    def is_synchronised() -> bool:
        asked.append(now)
        return answers[len(asked) - 1]

    monitor = ClockMonitor(is_synchronised, lambda: now)
    assert monitor() == "unsynchronised"
    now += ASK_EVERY_S - 0.1
    assert monitor() == "unsynchronised"
    now += 0.2
    assert monitor() == "synchronised"
    assert len(asked) == 2
    now += ASK_EVERY_S
    assert monitor() == "unsynchronised"


def test_a_clock_nobody_vouches_for_tells_no_time() -> None:
    assert vouched(5, "synchronised") == 5
    assert vouched(5, "unsynchronised") is None
