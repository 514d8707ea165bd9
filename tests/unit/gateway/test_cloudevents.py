"""Event ids and encoding."""

import json
import random
from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.events.cloudevents import EventIds, Template, instant, part, quote


class Wall:
    def __init__(self, ms: int) -> None:
        self.ms = ms

    def __call__(self) -> int:
        return self.ms


class HighBits(random.Random):
    """Draws all ones: the counter starts as high as it can."""

    def getrandbits(self, k: int) -> int:
        return (1 << k) - 1


def test_ids_are_uuid_version_7_with_the_time_in_front() -> None:
    ids = EventIds(Wall(0x0193C0DE1234), random.Random(1))
    one = UUID(ids())
    assert (one.version, one.variant) == (7, "specified in RFC 4122")
    assert one.int >> 80 == 0x0193C0DE1234


def test_ids_grow_even_when_the_clock_goes_back() -> None:
    """The time service steps the clock back by a day between two scans."""
    wall = Wall(1_800_000_000_000)
    ids = EventIds(wall, random.Random(1))
    made = []
    for step in (0, 0, 1, -86_400_000, 0, 86_400_000, 1, -5):
        wall.ms += step
        made += [ids() for _ in range(50)]
    assert made == sorted(set(made))


def test_ids_of_two_starts_differ_whatever_the_clock_says() -> None:
    """The battery of the clock is empty and a time service with a wrong sign makes it worse: before 1970."""
    for ms in (0, -1, -34_000_000_000):
        first, second = EventIds(Wall(ms), random.Random(1)), EventIds(Wall(ms), random.Random(2))
        assert UUID(first()) != UUID(second())


@given(st.lists(st.integers(min_value=-10_000, max_value=10_000), max_size=200), st.integers())
def test_ids_never_repeat_and_never_go_back(steps: list[int], seed: int) -> None:
    wall = Wall(1_800_000_000_000)
    ids = EventIds(wall, random.Random(seed))
    made = []
    for step in steps:
        wall.ms += step
        made.append(ids())
    assert made == sorted(set(made))


def test_a_full_counter_moves_on_to_the_next_millisecond() -> None:
    ids = EventIds(Wall(5), HighBits())
    ids()
    ids._top, ids._low = (1 << 14) - 2, (1 << 48) - 2
    before = [ids(), ids()]
    assert before == sorted(before) and before[1].endswith("-bfff-000000000000"), "the upper group counts on"
    ids._low = (1 << 48) - 1
    last = f"{'0' * 8}-0005-7fff-bfff-{'f' * 12}"
    following = ids()
    assert following > last
    assert UUID(following).int >> 80 == 6


def test_two_starts_in_the_same_millisecond_make_different_ids() -> None:
    assert EventIds(Wall(5), random.Random(1))() != EventIds(Wall(5), random.Random(2))()


def test_an_instant_is_rfc_3339_in_utc_with_milliseconds() -> None:
    assert instant(1_795_248_000_007) == "2026-11-21T08:00:00.007Z"
    assert instant(0) == "1970-01-01T00:00:00.000Z"


@given(st.text(st.characters(exclude_categories=[])))
@example('\ud83d and half an emoji \x00\x1d"\\')
def test_any_text_becomes_json_that_utf_8_can_carry(text: str) -> None:
    """A label holds control characters, quotes, or half an emoji from a broken JSON escape."""
    template = Template("pick", source="//a/b/c", subject=text, constants={"station": text, "read_point": None})
    payload = template.encode("id", "2026-11-21T08:00:00Z", part("x", text), part("device", text), "")
    event = json.loads(payload.decode("utf-8", "strict"))
    expected = text.encode("utf-8", "replace").decode()
    assert event["subject"] == event["data"]["station"] == event["data"]["x"] == expected
    assert "read_point" not in event["data"]
    assert json.loads(quote(text)) == text
