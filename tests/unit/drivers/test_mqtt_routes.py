"""Topics: whose they are, who understands them, where answers may go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.mqtt_routes import ROUTES_CACHED_MAX, Routes, is_below
from drivers.scan_message import ParsedBody, parse_scans


def parse_nothing(device: str, body: bytes) -> ParsedBody:
    del device, body
    return ParsedBody([])


ROUTES = Routes(
    "dc07", {"zebra/portal-1/tags": ("portal-1", parse_nothing), "impinj/+/r/#": ("portal-2", parse_nothing)}
)


def test_the_topic_of_a_handheld_names_it() -> None:
    route = ROUTES.route("dockline/v1/dc07/hh-7/scan")
    assert route is not None
    assert (route.device, route.parse, route.ack_topic) == ("hh-7", parse_scans, "dockline/v1/dc07/hh-7/ack")


@pytest.mark.parametrize(
    "topic",
    [
        "dockline/v1/dc08/hh-7/scan",
        "dockline/v1/dc07/hh-7/ack",
        "dockline/v1/dc07/hh-7/scan/x",
        "dockline/v1/dc07//scan",
        "dockline/v1/dc07/HH-7/scan",
        "dockline/v1/dc07/-hh/scan",
        "dockline/v1/dc07/hh_7/scan",
        "dockline/v1/dc07/hh-7/scan\n",
        f"dockline/v1/dc07/{'h' * 64}/scan",
        "/dockline/v1/dc07/hh-7/scan",
        "dockline/v2/dc07/hh-7/scan",
        "dockline/v1/dc07/a/b/scan",
        "zebra/portal-1/tags/x",
        "zebra/portal-2/tags",
        "impinj/a/b/r",
        "",
    ],
)
def test_other_topics_lead_nowhere(topic: str) -> None:
    assert ROUTES.route(topic) is None


@pytest.mark.parametrize(
    ("topic", "device"),
    [
        (f"dockline/v1/dc07/{'h' * 63}/scan", "h" * 63),
        ("zebra/portal-1/tags", "portal-1"),
        ("impinj/a/r", "portal-2"),
        ("impinj//r/x/y", "portal-2"),
    ],
)
def test_topics_that_lead_somewhere(topic: str, device: str) -> None:
    route = ROUTES.route(topic)
    assert route is not None
    assert route.device == device


def test_a_site_name_is_no_pattern() -> None:
    assert Routes("dc.7").route("dockline/v1/dcx7/hh-7/scan") is None


def test_what_a_subscriber_asks_for() -> None:
    assert ROUTES.filters == ["dockline/v1/dc07/+/scan", "zebra/portal-1/tags", "impinj/+/r/#"]


@pytest.mark.parametrize(
    ("asked", "goes_to"),
    [
        (None, "dockline/v1/dc07/hh-7/ack"),
        ("dockline/v1/dc07/hh-7/ack", "dockline/v1/dc07/hh-7/ack"),
        ("dockline/v1/dc07/hh-7/ack/replies", "dockline/v1/dc07/hh-7/ack/replies"),
        ("dockline/v1/dc07/hh-8/ack", "dockline/v1/dc07/hh-7/ack"),
        ("dockline/v1/dc07/hh-7/ack/#", "dockline/v1/dc07/hh-7/ack"),
        ("dockline/v1/dc07/hh-7/ack/+/x", "dockline/v1/dc07/hh-7/ack"),
        ("dockline/v1/dc07/hh-7/acknowledge", "dockline/v1/dc07/hh-7/ack"),
        ("dockline/v1/dc07/hh-7/scan", "dockline/v1/dc07/hh-7/ack"),
        ("dockline/v1/dc07/hh-7/ack/" + "x" * 300, "dockline/v1/dc07/hh-7/ack"),
        ("anything", "dockline/v1/dc07/hh-7/ack"),
    ],
)
def test_a_response_topic_counts_inside_the_senders_own_tree_only(asked: str | None, goes_to: str) -> None:
    """One handheld must not have the gateway tell another that its scan counts."""
    route = ROUTES.route("dockline/v1/dc07/hh-7/scan")
    assert route is not None
    assert route.answer_topic(asked) == goes_to


def test_a_reader_hears_no_application_acknowledgement() -> None:
    route = ROUTES.route("zebra/portal-1/tags")
    assert route is not None
    assert route.answer_topic("dockline/v1/dc07/hh-7/ack/x") is None


@given(st.text(max_size=30))
def test_nothing_with_a_wildcard_is_below(tail: str) -> None:
    topic = f"a/{tail}"
    assert is_below("a", topic) == (not set(tail) & set("+#\0"))


def test_the_memory_for_topics_is_bounded() -> None:
    """A device that makes up a topic for every message fills nothing."""
    routes = Routes("dc07")
    for number in range(ROUTES_CACHED_MAX + 10):
        routes.route(f"made/up/{number}")
    assert len(routes._cache) <= ROUTES_CACHED_MAX
    for number in range(10):
        assert routes.route(f"{number}" + "x" * 65_000) is None
    assert all(len(topic) < 1000 for topic in routes._cache)
    assert routes.route(f"dockline/v1/dc07/{'h' * 63}/scan") is not None
