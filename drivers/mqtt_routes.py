"""Which device a topic belongs to, who understands its body, and where its acknowledgement goes.

    dockline/v1/<site>/<device>/scan        what a handheld sends
    dockline/v1/<site>/<device>/ack         what it hears
    dockline/v1/<site>/<device>/ack/...     response topics it may choose

Readers with topics of their own are configured: topic filter -> device id and the parser of their bodies.

A response topic is believed only inside the sender's own `ack` tree. Otherwise one handheld could have the gateway
tell another that its scan counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from drivers.scan_message import ParsedBody, parse_scans

DEVICE_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
RESPONSE_TOPIC_CHARACTERS_MAX: Final = 256
ROUTES_CACHED_MAX: Final = 4096
TOPIC_CACHED_CHARACTERS_MAX: Final = 256
"""A longer topic is looked up each time: thousands of 65,535 characters each would be hundreds of megabytes."""

Parse = Callable[[str, bytes], ParsedBody]
"""Device id and body to readings. Never raises."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where one topic leads."""

    device: str
    parse: Parse
    ack_topic: str | None
    """Where the application acknowledgement goes; None for devices that do not listen to one."""

    def answer_topic(self, response_topic: str | None) -> str | None:
        """Return where the acknowledgement of one message goes, given the response topic it asked for."""
        if self.ack_topic is None or response_topic is None or response_topic == self.ack_topic:
            return self.ack_topic
        return response_topic if is_below(self.ack_topic, response_topic) else self.ack_topic


def is_below(parent: str, topic: str) -> bool:
    """True for a topic name, not a filter, that lies under `parent`."""
    return (
        topic.startswith(parent + "/")
        and len(topic) <= RESPONSE_TOPIC_CHARACTERS_MAX
        and not any(character in topic for character in "+#\0")
    )


class Routes:
    """The topics of one site."""

    def __init__(self, site: str, readers: Mapping[str, tuple[str, Parse]] | None = None) -> None:
        """`readers`: topic filter -> (device id, parser) for devices that do not speak `scan_message`."""
        self._prefix = f"dockline/v1/{site}"
        self._scan = re.compile(rf"{re.escape(self._prefix)}/({DEVICE_ID.pattern})/scan")
        self._readers = {
            topic_filter: (_filter_pattern(topic_filter), Route(device, parse, None))
            for topic_filter, (device, parse) in (readers or {}).items()
        }
        self._cache: dict[str, Route | None] = {}

    @property
    def filters(self) -> list[str]:
        """What a subscriber asks its broker for."""
        return [f"{self._prefix}/+/scan", *self._readers]

    def ack_topic(self, device: str) -> str:
        """Return the topic on which a handheld hears its acknowledgements."""
        return f"{self._prefix}/{device}/ack"

    def route(self, topic: str) -> Route | None:
        """Return where a topic leads; None for one that is not ours."""
        try:
            return self._cache[topic]
        except KeyError:
            pass
        found = self._find(topic)
        if len(topic) > TOPIC_CACHED_CHARACTERS_MAX:
            return found
        # Devices choose topics, so the cache is bounded; dropping it all is rare and cheap.
        if len(self._cache) >= ROUTES_CACHED_MAX:
            self._cache.clear()
        self._cache[topic] = found
        return found

    def why_foreign(self, topic: str) -> str:
        """Return why a topic that a broker brings leads nowhere, for a person."""
        name = topic.removeprefix(f"{self._prefix}/").removesuffix("/scan")
        if topic == f"{self._prefix}/{name}/scan":
            return f"{name[:80]!r} is no device id ({DEVICE_ID.pattern})"
        return "no device has this topic"

    def _find(self, topic: str) -> Route | None:
        scan = self._scan.fullmatch(topic)
        if scan is not None:
            device = scan.group(1)
            return Route(device, parse_scans, self.ack_topic(device))
        for pattern, route in self._readers.values():
            if pattern.fullmatch(topic):
                return route
        return None


def _filter_pattern(topic_filter: str) -> re.Pattern[str]:
    """Return a topic filter as a regular expression (MQTT 5, 4.7)."""
    levels = topic_filter.split("/")
    parent = levels.pop() == "#" if levels[-1] == "#" else False
    expression = "/".join("[^/]*" if level == "+" else re.escape(level) for level in levels)
    if not parent:
        return re.compile(expression, re.DOTALL)
    return re.compile(f"{expression}(?:/.*)?" if levels else ".*", re.DOTALL)
