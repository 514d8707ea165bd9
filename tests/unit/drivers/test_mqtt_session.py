"""The session without a socket: the window of unacknowledged messages, and what each role takes and refuses."""

import random

import mqtt5
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mqtt5 import ConnAckReasonCode as ConnAck
from mqtt5 import DisconnectReasonCode as Reason
from mqtt_peer import publish, scan_topic

from drivers.mqtt_session import (
    SUBSCRIPTIONS_MAX,
    Arrival,
    ClientSession,
    InboundWindow,
    ServerSession,
    Ticket,
    acknowledgement,
    check_connect,
)
from drivers.mqtt_wire import WireFault


def pubacks(data: bytes) -> list[tuple[int, int]]:
    """Packet identifiers and reason codes, as the codec reads them."""
    found = []
    while data:
        packet, used = mqtt5.read(memoryview(data))
        assert isinstance(packet, mqtt5.PubAckPacket)
        found.append((packet.packet_id, int(packet.reason_code)))
        data = data[used:]
    return found


def opened(window: InboundWindow, *packet_ids: int) -> Ticket:
    for packet_id in packet_ids:
        window.admit(packet_id)
    return window.open(packet_ids)


# The window.


def test_pubacks_leave_in_order_of_arrival_even_when_a_later_commit_returns_sooner() -> None:
    window = InboundWindow(10)
    first, second, third = opened(window, 1, 2), opened(window, 7), opened(window, 3)
    assert window.settle(third) == b""
    assert window.settle(second) == b""
    assert [packet_id for packet_id, _ in pubacks(window.settle(first))] == [1, 2, 7, 3]


def test_a_ticket_of_an_earlier_connection_acknowledges_nothing() -> None:
    """The line broke, the device is back and used identifier 1 for another scan; the old commit returns now."""
    window = InboundWindow(10)
    old = opened(window, 1)
    window.connect()
    new = opened(window, 1)
    assert window.settle(old) == b""
    assert pubacks(window.settle(new)) == [(1, 0)]


def test_an_identifier_that_is_unanswered_may_not_be_used_again() -> None:
    window = InboundWindow(10)
    ticket = opened(window, 1)
    with pytest.raises(WireFault) as caught:
        window.admit(1)
    assert caught.value.reason is Reason.PROTOCOL_ERROR
    window.settle(ticket)
    window.admit(1)


def test_identifier_zero_does_not_exist() -> None:
    with pytest.raises(WireFault):
        InboundWindow(10).admit(0)


def test_the_window_holds_receive_maximum_and_not_one_more() -> None:
    window = InboundWindow(3)
    ticket = opened(window, 1, 2, 3)
    with pytest.raises(WireFault) as caught:
        window.admit(4)
    assert caught.value.reason is Reason.RECEIVE_MAX_EXCEEDED
    window.settle(ticket)
    opened(window, 4, 5, 6)


def test_codes_and_messages_of_qos_0() -> None:
    window = InboundWindow(10)
    window.admit(5)
    window.admit(6)
    ticket = window.open([5, 0, 6])
    assert pubacks(window.settle(ticket, [0x87, 0, 0])) == [(5, 0x87), (6, 0)]


@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=12),
    order=st.randoms(use_true_random=False),
    reconnect_at=st.integers(0, 12),
)
def test_whatever_the_order_of_commits_every_message_is_acknowledged_once_and_in_order(
    sizes: list[int], order: random.Random, reconnect_at: int
) -> None:
    window = InboundWindow(100)
    tickets, old, expected, packet_id = [], [], [], 0
    for index, size in enumerate(sizes):
        if index == reconnect_at:
            window.connect()
            old, tickets, expected, packet_id = tickets, [], [], 0
        ids = list(range(packet_id + 1, packet_id + size + 1))
        packet_id += size
        expected += ids
        tickets.append(opened(window, *ids))
    mixed = old + tickets
    order.shuffle(mixed)
    heard = [one for ticket in mixed for one, _ in pubacks(window.settle(ticket))]
    assert heard == expected
    assert not window._tickets
    assert not window._unanswered


# The listener's half.


def seated(**more: object) -> ServerSession:
    """A session whose client is let in."""
    session = ServerSession(packet_bytes_max=4096, receive_max=10)
    hello = session.receive(mqtt5.ConnectPacket("hh-7", clean_start=True).write())
    assert hello.connect is not None
    session.accept(hello.connect, may_subscribe=lambda topic: topic.startswith("mine"), keep_alive_s=0, **more)  # type: ignore[arg-type]
    return session


def fault_of(arrival: Arrival) -> Reason:
    assert arrival.fault is not None
    return arrival.fault.reason


def test_the_connack_says_what_this_listener_is_not() -> None:
    session = ServerSession(packet_bytes_max=4096, receive_max=10)
    hello = session.receive(mqtt5.ConnectPacket("hh-7", keep_alive=600, session_expiry_interval=99).write())
    assert hello.connect is not None
    answer = session.accept(hello.connect, may_subscribe=lambda _: True, keep_alive_s=120, session_expiry_s=60)
    connack, _ = mqtt5.read(memoryview(answer))
    assert isinstance(connack, mqtt5.ConnAckPacket)
    assert (connack.receive_max, connack.max_packet_size, connack.max_qos) == (10, 4096, mqtt5.QoS.AT_LEAST_ONCE)
    assert (connack.server_keep_alive, connack.session_expiry_interval, connack.session_present) == (120, 60, False)
    assert not connack.retain_available
    assert not connack.wildcard_subscription_available
    assert not connack.shared_subscription_available
    assert not connack.subscription_id_available


def test_publishes_of_one_read_come_together_with_their_identifiers() -> None:
    arrival = seated().receive(publish(3) + publish(None) + publish(9))
    assert [one.topic for one in arrival.publishes] == [scan_topic("hh-7")] * 3
    assert arrival.packet_ids == [3, 0, 9]
    assert arrival.replies == b""


def test_a_publish_before_connack_is_kept_until_the_client_is_known() -> None:
    session = ServerSession(packet_bytes_max=4096, receive_max=10)
    first = session.receive(mqtt5.ConnectPacket("hh-7").write() + publish(1))
    assert first.connect is not None
    assert first.publishes == []
    session.accept(first.connect, may_subscribe=lambda _: True, keep_alive_s=0)
    assert session.receive(b"").packet_ids == [1]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (publish(1, retain=True), Reason.RETAIN_NOT_SUPPORTED),
        (publish(1).replace(b"\x32", b"\x34", 1), Reason.QOS_NOT_SUPPORTED),
        (publish(None, duplicate=False).replace(b"\x30", b"\x38", 1), Reason.MALFORMED_PACKET),
        (publish(1, topic_alias=4), Reason.TOPIC_ALIAS_INVALID),
        (publish(1) + publish(1), Reason.PROTOCOL_ERROR),
        (b"".join(publish(number) for number in range(1, 12)), Reason.RECEIVE_MAX_EXCEEDED),
        (mqtt5.ConnectPacket("hh-7").write(), Reason.PROTOCOL_ERROR),
        (mqtt5.PubAckPacket(1).write(), Reason.PROTOCOL_ERROR),
        (mqtt5.AuthPacket().write(), Reason.PROTOCOL_ERROR),
        (mqtt5.PublishPacket("a", b"x" * 5000).write(), Reason.PACKET_TOO_LARGE),
    ],
)
def test_what_the_listener_does_not_do_ends_the_connection_with_the_right_code(data: bytes, reason: Reason) -> None:
    assert fault_of(seated().receive(data)) is reason


@pytest.mark.parametrize("packet", [publish(1), mqtt5.PingReqPacket().write(), mqtt5.DisconnectPacket().write()])
def test_nothing_counts_before_connect(packet: bytes) -> None:
    arrival = ServerSession(packet_bytes_max=4096, receive_max=10).receive(packet)
    assert arrival.fault is not None
    assert not arrival.publishes
    assert arrival.disconnect is None


@pytest.mark.parametrize(("size", "is_taken"), [(8192, True), (8193, False)])
def test_a_stranger_may_not_make_us_hold_much(size: int, is_taken: bool) -> None:
    hello = mqtt5.ConnectPacket("h" * (size - 16)).write()
    assert len(hello) == size
    arrival = ServerSession(packet_bytes_max=65_536, receive_max=10).receive(hello[:10])
    assert (arrival.fault is None) == is_taken


def test_what_a_client_sends_behind_its_good_bye_does_not_count() -> None:
    arrival = seated().receive(publish(1) + mqtt5.DisconnectPacket().write() + publish(2))
    assert arrival.packet_ids == [1]
    assert arrival.disconnect is not None


def test_subscriptions_are_granted_one_by_one() -> None:
    session = seated()
    filters = [mqtt5.TopicFilter(pattern) for pattern in ("mine", "theirs", "#")]
    suback, _ = mqtt5.read(memoryview(session.receive(mqtt5.SubscribePacket(5, filters).write()).replies))
    assert isinstance(suback, mqtt5.SubAckPacket)
    assert (suback.packet_id, [int(code) for code in suback.reason_codes]) == (5, [0, 0x87, 0x87])
    assert session.subscriptions == {"mine"}
    unsuback, _ = mqtt5.read(memoryview(session.receive(mqtt5.UnsubscribePacket(6, ["mine", "x"]).write()).replies))
    assert isinstance(unsuback, mqtt5.UnsubAckPacket)
    assert [int(code) for code in unsuback.reason_codes] == [0, 17]
    assert session.subscriptions == set()


def test_subscriptions_are_bounded() -> None:
    session = seated()
    filters = [mqtt5.TopicFilter(f"mine/{number}") for number in range(SUBSCRIPTIONS_MAX + 1)]
    suback, _ = mqtt5.read(memoryview(session.receive(mqtt5.SubscribePacket(5, filters).write()).replies))
    assert isinstance(suback, mqtt5.SubAckPacket)
    assert [int(code) for code in suback.reason_codes] == [0] * SUBSCRIPTIONS_MAX + [0x97]


@pytest.mark.parametrize(
    ("connect", "refusal"),
    [
        (mqtt5.ConnectPacket("a"), None),
        (mqtt5.ConnectPacket("a", authentication_method="SCRAM"), ConnAck.BAD_AUTHENTICATION_METHOD),
        (mqtt5.ConnectPacket("a", will=mqtt5.Will("w", retain=True)), ConnAck.RETAIN_NOT_SUPPORTED),
        (mqtt5.ConnectPacket("a", will=mqtt5.Will("w", qos=mqtt5.QoS.EXACTLY_ONCE)), ConnAck.QUALITY_NOT_SUPPORTED),
        (mqtt5.ConnectPacket("a", will=mqtt5.Will("w")), None),
    ],
)
def test_a_connect_that_asks_for_what_is_not_there(connect: mqtt5.ConnectPacket, refusal: ConnAck | None) -> None:
    found = check_connect(connect)
    assert (found[0] if found else None) is refusal
    assert found is None or found[1], "the log says why"


DIALOGUE = b"".join(
    [
        publish(1),
        mqtt5.PingReqPacket().write(),
        publish(2, b"x" * 300),
        mqtt5.SubscribePacket(5, [mqtt5.TopicFilter("mine")]).write(),
        publish(None),
        publish(3, response_topic="a/b", correlation_data=b"\xff"),
        mqtt5.UnsubscribePacket(6, ["mine"]).write(),
    ]
)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32), tail=st.sampled_from([b"", mqtt5.DisconnectPacket().write(), b"\x00\x00", publish(1)])
)
def test_however_a_dialogue_is_cut_into_reads_it_means_the_same(seed: int, tail: bytes) -> None:
    whole = seated().receive(DIALOGUE + tail)
    rng, stream, session, arrivals = random.Random(seed), DIALOGUE + tail, seated(), []
    while stream:
        size = rng.choice([1, 2, 3, 20, 400])
        arrivals.append(session.receive(stream[:size]))
        stream = stream[size:]
    assert [one for arrival in arrivals for one in arrival.publishes] == whole.publishes
    assert [one for arrival in arrivals for one in arrival.packet_ids] == whole.packet_ids
    assert b"".join(arrival.replies for arrival in arrivals) == whole.replies
    assert [arrival.disconnect for arrival in arrivals if arrival.disconnect] == (
        [whole.disconnect] if whole.disconnect else []
    )
    assert [fault_of(arrival) for arrival in arrivals if arrival.fault] == ([fault_of(whole)] if whole.fault else [])


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300), is_server=st.booleans())
def test_random_bytes_never_raise(data: bytes, is_server: bool) -> None:
    session = seated() if is_server else ClientSession(packet_bytes_max=4096)
    for start in range(0, len(data), 7):
        if session.receive(data[start : start + 7]).fault is not None:
            break


# The subscriber's half.


def test_a_new_connection_forgets_half_a_packet_and_every_ticket_of_the_old_one() -> None:
    session = ClientSession(packet_bytes_max=4096)
    hello = mqtt5.ConnectPacket("gateway")
    session.connect(hello)
    arrival = session.receive(publish(1) + publish(2)[:9])
    old = session.window.open(arrival.packet_ids)
    assert session.connect(hello) == hello.write()
    assert session.receive(publish(1, duplicate=True)).packet_ids == [1]
    assert session.window.settle(old) == b""


def test_a_broker_that_sends_more_than_we_announced_is_not_thrown_out() -> None:
    """mosquitto 2.0.11 does, and does it again after every reconnect."""
    session = ClientSession(packet_bytes_max=4096)
    session.connect(mqtt5.ConnectPacket("gateway", receive_max=7))
    assert session.receive(b"".join(publish(number) for number in range(1, 100))).fault is None


def test_the_subscription_is_qos_1_and_without_old_retained_messages() -> None:
    packet, _ = mqtt5.read(memoryview(ClientSession(packet_bytes_max=4096).subscribe(["a/+/b"])))
    assert isinstance(packet, mqtt5.SubscribePacket)
    [one] = packet.topic_filters
    assert (one.pattern, one.max_qos, one.retain_handling) == (
        "a/+/b",
        mqtt5.QoS.AT_LEAST_ONCE,
        mqtt5.RetainHandling.SEND_NEVER,
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (publish(1).replace(b"\x32", b"\x34", 1), Reason.QOS_NOT_SUPPORTED),
        (publish(1, topic_alias=4), Reason.TOPIC_ALIAS_INVALID),
        (mqtt5.PingReqPacket().write(), Reason.PROTOCOL_ERROR),
        (mqtt5.PubAckPacket(1).write(), Reason.PROTOCOL_ERROR),
    ],
)
def test_a_broker_that_breaks_the_agreement(data: bytes, reason: Reason) -> None:
    assert fault_of(ClientSession(packet_bytes_max=4096).receive(data)) is reason


def test_the_acknowledgement_is_qos_0_with_the_correlation_data_it_was_asked_for() -> None:
    packet, _ = mqtt5.read(memoryview(acknowledgement("a/ack", b"{}", b"\xff")))
    assert isinstance(packet, mqtt5.PublishPacket)
    assert (packet.topic, packet.payload, packet.qos, packet.correlation_data) == (
        "a/ack",
        b"{}",
        mqtt5.QoS.AT_MOST_ONCE,
        b"\xff",
    )
