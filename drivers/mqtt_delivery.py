"""The publishes of one socket read, on their way to disk and back.

Both MQTT drivers do the same with what arrives: find the device, understand the bodies, hand all readings on as one
list, and afterwards say for each message what became of it. That much is without I/O and lies here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import mqtt5
from mqtt5 import PubAckReasonCode as PubAck

from drivers.mqtt_routes import Route, Routes
from drivers.mqtt_session import acknowledgement
from drivers.reading import Reading, Verdict
from drivers.scan_message import encode_acks

NOT_AUTHORIZED: Final = int(PubAck.NOT_AUTHORIZED)


@dataclass(slots=True)
class Delivery:
    """All that one socket read brought. Kept as columns, not as an object a message: this is the hot path."""

    publishes: Sequence[mqtt5.PublishPacket]
    readings: list[Reading] = field(default_factory=list)
    routes: list[Route | None] = field(default_factory=list)
    """Of each publish; None: a topic that is not the sender's, nothing came of it."""
    ends: list[int] = field(default_factory=list)
    """Of each publish: where its part of `readings` ends."""
    arrays: set[int] = field(default_factory=set)
    """Which of the publishes want their answer as an array."""
    foreign: list[str] = field(default_factory=list)
    """Topics of messages that were not the sender's to publish."""

    def codes(self, verdicts: Sequence[Verdict]) -> list[int] | None:
        """Return the PUBACK reason code of every publish; None when all are success."""
        if not self.foreign and "refused" not in [verdict.result for verdict in verdicts]:
            return None
        return [
            NOT_AUTHORIZED if route is None or _is_refused(verdicts[first:end]) else 0
            for route, first, end in zip(self.routes, [0, *self.ends], self.ends, strict=False)
        ]

    def acknowledgements(
        self, verdicts: Sequence[Verdict], *, is_heard: Callable[[str], bool], bytes_max: int | None = None
    ) -> bytes:
        """Return the application acknowledgements, joined, for the topics that somebody listens to.

        An answer over the peer's Maximum Packet Size `bytes_max` may not be sent (MQTT 5, 3.1.2.11.4).
        """
        answers: list[bytes] = []
        first = 0
        for index, (publish, route, end) in enumerate(zip(self.publishes, self.routes, self.ends, strict=True)):
            part = slice(first, end)
            first = end
            if route is None or part.start == part.stop:
                continue
            topic = route.answer_topic(publish.response_topic)
            if topic is None or not is_heard(topic):
                continue
            payload = encode_acks(self.readings[part], verdicts[part], is_array=index in self.arrays)
            answer = acknowledgement(topic, payload, publish.correlation_data)
            if bytes_max is None or len(answer) <= bytes_max:
                answers.append(answer)
        return b"".join(answers)


def _is_refused(verdicts: Sequence[Verdict]) -> bool:
    return bool(verdicts) and all(verdict.result == "refused" for verdict in verdicts)


def understand(publishes: Sequence[mqtt5.PublishPacket], routes: Routes, *, sender: str | None) -> Delivery:
    """Turn publishes into readings. `sender` is the authenticated device; None where the topic is the identity."""
    delivery = Delivery(publishes)
    readings, leads_to, ends = delivery.readings, delivery.routes, delivery.ends
    route_of = routes.route
    for index, publish in enumerate(publishes):
        route = route_of(publish.topic)
        if route is None or (sender is not None and route.device != sender):
            delivery.foreign.append(publish.topic)
            leads_to.append(None)
            ends.append(len(readings))
            continue
        found, _, is_array = route.parse(route.device, publish.payload)
        readings += [_marked(reading) for reading in found] if publish.duplicate else found
        leads_to.append(route)
        ends.append(len(readings))
        if is_array:
            delivery.arrays.add(index)
    return delivery


def _marked(reading: Reading) -> Reading:
    """A redelivery of something without a number can only be flagged, not recognised."""
    return reading if reading.message_id is not None else reading._replace(may_repeat=True)
