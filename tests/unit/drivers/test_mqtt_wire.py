"""Bytes to packets: cutting the stream, limits, and what the codec must never see."""

import random
from collections.abc import Iterator

import mqtt5
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mqtt5 import DisconnectReasonCode as Reason

from drivers.mqtt_wire import CONNECT, OldProtocol, PacketReader, WireFault

PACKETS: list[bytes] = [
    mqtt5.PublishPacket("dockline/v1/dc07/hh-7/scan", b"\xff\x00", qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=5).write(),
    mqtt5.PublishPacket(
        "a/b",
        b"q",
        response_topic="x/y",
        correlation_data=b"\xff\xfe",
        content_type="text",
        subscription_ids=[1, 200],
        message_expiry_interval=6,
        payload_format_indicator=1,
        user_properties=[("kéy", "välue")],
    ).write(),
    mqtt5.SubscribePacket(
        1, [mqtt5.TopicFilter("a"), mqtt5.TopicFilter("b/#")], subscription_id=300, user_properties=[("k", "v")]
    ).write(),
    mqtt5.UnsubscribePacket(4, ["a", "b"], user_properties=[("a", "b")]).write(),
    mqtt5.PubAckPacket(4, reason_str="because").write(),
    mqtt5.PubAckPacket(4).write(),
    mqtt5.PubRecPacket(4, reason_str="because").write(),
    mqtt5.PubRelPacket(4).write(),
    mqtt5.PubCompPacket(4, reason_str="because").write(),
    mqtt5.SubAckPacket(1, [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE], reason_str="fine").write(),
    mqtt5.UnsubAckPacket(1, [mqtt5.UnsubAckReasonCode.SUCCESS], reason_str="fine").write(),
    mqtt5.ConnAckPacket(
        reason_str="x", assigned_client_id="q", authentication_method="m", authentication_data=b"\xff", receive_max=5
    ).write(),
    mqtt5.DisconnectPacket().write(),
    mqtt5.DisconnectPacket(reason_str="bye", user_properties=[("a", "b")], server_reference="x").write(),
    mqtt5.AuthPacket(authentication_method="m", authentication_data=b"\xff\xfe", reason_str="f").write(),
    mqtt5.PingReqPacket().write(),
    mqtt5.PingRespPacket().write(),
]
HELLO = mqtt5.ConnectPacket(
    "hh-7",
    username="hh-7",
    password=b"\xff\xfe",
    will=mqtt5.Will("gone", payload=b"\xff", content_type="text", user_properties=[("a", "b")]),
    user_properties=[("k", "v")],
    keep_alive=30,
).write()
STREAM = b"".join(PACKETS)


def cut(stream: bytes, seed: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    while stream:
        size = rng.choice([1, 1, 2, 3, 7, 50, 1000])
        yield stream[:size]
        stream = stream[size:]


@pytest.mark.parametrize("packet", [*PACKETS, HELLO], ids=lambda packet: f"{packet[0]:#04x}-{len(packet)}")
def test_every_kind_of_packet_is_understood_as_the_codec_writes_it(packet: bytes) -> None:
    packets, fault = PacketReader(1000).read(packet)
    assert fault is None
    assert [(packet[0], packets[0][1].write())] == [(packet[0], packet)]


@given(seed=st.integers(0, 2**32))
def test_the_stream_may_be_cut_anywhere(seed: int) -> None:
    """A packet in three segments, three packets in one, a length byte by itself."""
    reader = PacketReader(1000)
    found = []
    for chunk in cut(STREAM, seed):
        packets, fault = reader.read(chunk)
        assert fault is None
        found += [packet.write() for _, packet in packets]
    assert found == PACKETS


def test_what_follows_a_connect_waits_for_the_next_call() -> None:
    """A client may publish before it hears CONNACK; nobody may look at that before the client is known."""
    reader = PacketReader(1000)
    packets, _ = reader.read(HELLO + PACKETS[0])
    assert [first for first, _ in packets] == [CONNECT]
    packets, _ = reader.read(b"")
    assert [packet.write() for _, packet in packets] == [PACKETS[0]]


@pytest.mark.parametrize(("size", "is_taken"), [(999, True), (1000, True), (1001, False)])
def test_a_packet_over_the_announced_size_is_refused_from_its_header(size: int, is_taken: bool) -> None:
    """A device announces 10 MB; not one of them is kept."""
    packet = mqtt5.PublishPacket("a", b"x" * (size - 7)).write()
    assert len(packet) == size
    reader = PacketReader(1000)
    packets, fault = reader.read(packet[:3])
    assert packets == []
    assert (fault is None) == is_taken
    if fault is not None:
        assert fault.reason is Reason.PACKET_TOO_LARGE


def test_nothing_beyond_one_packet_is_buffered() -> None:
    reader = PacketReader(1000)
    packet = mqtt5.PublishPacket("a", b"x" * 900).write()
    for _ in range(50):
        reader.read(packet[:500])
        packets, _ = reader.read(packet[500:] + packet[:1])
        assert len(packets) == 1
        assert len(reader._rest) <= 1000
        reader.read(packet[1:])


def test_a_topic_of_the_largest_size_is_not_kept() -> None:
    reader = PacketReader(70_000)
    for number in range(10):
        packets, fault = reader.read(mqtt5.PublishPacket(f"{number}" + "x" * 65_000, b"").write())
        assert len(packets) == 1 and fault is None
    assert sum(map(len, reader._known_topics)) < 70_000


TEXTS = [b"\xff\xfe", b"a\x00", b"\xed\xa0\x80", b"\xc0\x80"]
"""Not UTF-8, U+0000, a surrogate, an overlong zero (MQTT 5, 1.5.4)."""


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    "packet",
    [
        mqtt5.PublishPacket("QQ", b"").write(),
        mqtt5.PublishPacket("a", b"", response_topic="QQ").write(),
        mqtt5.PublishPacket("a", b"", user_properties=[("k", "QQ")]).write(),
        mqtt5.ConnectPacket("QQ").write(),
        mqtt5.ConnectPacket("a", username="QQ", password=b"p").write(),
        mqtt5.ConnectPacket("a", will=mqtt5.Will("QQ")).write(),
        mqtt5.ConnectPacket("a", will=mqtt5.Will("w", content_type="QQ")).write(),
        mqtt5.ConnectPacket("a", authentication_method="QQ").write(),
        mqtt5.SubscribePacket(1, [mqtt5.TopicFilter("a"), mqtt5.TopicFilter("QQ")]).write(),
        mqtt5.UnsubscribePacket(1, ["a", "QQ"]).write(),
        mqtt5.DisconnectPacket(reason_str="QQ").write(),
        mqtt5.AuthPacket(authentication_method="QQ").write(),
        mqtt5.ConnAckPacket(reason_str="QQ").write(),
        mqtt5.SubAckPacket(1, [mqtt5.SubAckReasonCode.UNSPECIFIED_ERROR], reason_str="QQ").write(),
    ],
    ids=lambda packet: f"{packet[0]:#04x}-{len(packet)}",
)
def test_a_string_that_is_no_text_is_malformed_and_never_reaches_the_codec(
    packet: bytes, text: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """The codec aborts on it: one packet of a stranger would pass every handler and fill the journal."""
    assert packet.count(b"QQ") == 1
    broken = packet.replace(b"QQ", text[:2]) if len(text) == 2 else None
    if broken is None:
        at = packet.index(b"QQ")
        grown = packet[: at - 2] + len(text).to_bytes(2) + text + packet[at + 2 :]
        broken = bytes([grown[0], grown[1] + len(text) - 2]) + grown[2:]
    packets, fault = PacketReader(1000).read(broken)
    assert packets == []
    assert fault is not None
    assert fault.reason is Reason.MALFORMED_PACKET
    assert "panicked" not in capfd.readouterr().err


MUTATIONS = st.lists(st.tuples(st.integers(0, 400), st.sampled_from([0, 1, 0x7F, 0x80, 0xC0, 0xFE, 0xFF])), max_size=5)


@settings(max_examples=600, deadline=None)
@given(packet=st.sampled_from([*PACKETS, HELLO]), changes=MUTATIONS, length=st.integers(0, 400))
def test_no_packet_however_broken_gets_past_the_check_to_abort_the_codec(
    packet: bytes, changes: list[tuple[int, int]], length: int
) -> None:
    broken = bytearray(packet)
    for place, value in changes:
        broken[place % len(broken)] = value
    packets, fault = PacketReader(1000).read(bytes(broken[: max(length, 2)]))
    assert fault is None or isinstance(fault, WireFault)
    assert all(isinstance(first, int) for first, _ in packets)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=400))
def test_random_bytes_end_as_packets_or_as_a_fault(data: bytes) -> None:
    PacketReader(1000).read(data)


@pytest.mark.parametrize(
    ("hello", "level"), [("100d00044d5154540402003c000161", 4), ("100f00064d51497364700302003c000161", 3)]
)
def test_an_older_protocol_is_answered_in_its_own_words(hello: str, level: int) -> None:
    """A handheld with MQTT 3.1.1 must hear "version", not a code it takes for a broken line."""
    _, fault = PacketReader(1000).read(bytes.fromhex(hello))
    assert isinstance(fault, OldProtocol)
    assert str(level) in str(fault)
    assert fault.answer == bytes.fromhex("20020001")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x30\x06\x00\x03a/+\x00", Reason.TOPIC_NAME_INVALID),
        (b"\x30\x04\x00\x01#\x00", Reason.TOPIC_NAME_INVALID),
        (b"\xc0\x80\x00", Reason.MALFORMED_PACKET),  # a length not written as short as it can be
        (b"\x30\xff\xff\xff\xff\x7f", Reason.MALFORMED_PACKET),  # a length of five bytes
        (b"\x36\x05\x00\x01a\x00\x00", Reason.MALFORMED_PACKET),  # QoS 3
        (b"\x30\x02\x00\x05", Reason.MALFORMED_PACKET),  # a topic that ends behind the packet
        (b"\x30\x06\x00\x01a\x02\x7f\x00", Reason.MALFORMED_PACKET),  # a property that does not exist
        (b"\x30\x03\x00\x00\x00", Reason.MALFORMED_PACKET),  # neither topic nor alias
        (b"\xc0\x01\x00", Reason.MALFORMED_PACKET),  # PINGREQ with content
        (b"\x00\x00", Reason.MALFORMED_PACKET),  # packet type 0
        (b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x3c\x00\x01a", Reason.PROTOCOL_ERROR),  # MQTT 6
        (b"\x10\x0d\x00\x04HTTP\x05\x02\x00\x3c\x00\x01a", Reason.PROTOCOL_ERROR),
    ],
)
def test_a_broken_packet_is_named_by_the_code_that_fits(data: bytes, reason: Reason) -> None:
    packets, fault = PacketReader(1000).read(data)
    assert packets == []
    assert fault is not None
    assert fault.reason is reason


def test_what_came_before_a_fault_still_counts() -> None:
    packets, fault = PacketReader(1000).read(PACKETS[0] + b"\x00\x00")
    assert [packet.write() for _, packet in packets] == [PACKETS[0]]
    assert fault is not None
