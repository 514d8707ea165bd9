"""Endpoints tell held, refused and unheard apart."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2
import mqtt5
import pytest

from simulators.rfid_endpoint import HttpSender, MqttEndpoint, MqttSender, Unreached


def posting(answer: Callable[[httpx2.Request], httpx2.Response]) -> HttpSender:
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    return HttpSender("http://gateway.example/v1/tags", token="t0k3n", client=client)


@pytest.mark.parametrize(("status", "held"), [(200, True), (202, True), (400, False), (403, False)])
async def test_an_answer_over_http_is_for_good(status: int, held: bool) -> None:
    async with posting(lambda request: httpx2.Response(status)) as sender:
        assert await sender(b"[]") is held


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_a_busy_gateway_is_asked_again(status: int) -> None:
    async with posting(lambda request: httpx2.Response(status)) as sender:
        with pytest.raises(Unreached):
            await sender(b"[]")


async def test_a_lost_connection_is_no_answer() -> None:
    def lose(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("gone")

    async with posting(lose) as sender:
        with pytest.raises(Unreached):
            await sender(b"[]")


async def test_a_post_carries_the_body_and_who_sent_it() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200)

    async with posting(answer) as sender:
        await sender(b'[{"data":{}}]')
    assert seen[0].content == b'[{"data":{}}]'
    assert (seen[0].headers["content-type"], seen[0].headers["authorization"]) == ("application/json", "Bearer t0k3n")


class Broker:
    """The least a client can talk to: CONNACK, then what the script says to each PUBLISH; None cuts the connection."""

    def __init__(self, script: list[mqtt5.PubAckReasonCode | None]) -> None:
        self.script = script
        self.heard: list[tuple[str, bytes]] = []
        self.connects = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = b""
        try:
            while chunk := await reader.read(65_536):
                buffer += chunk
                while buffer:
                    try:
                        packet, used = mqtt5.read(memoryview(buffer))
                    except IndexError:
                        break
                    buffer = buffer[used:]
                    if not self.answer(packet, writer):
                        return
        finally:
            writer.close()

    def answer(self, packet: mqtt5.Packet, writer: asyncio.StreamWriter) -> bool:
        if isinstance(packet, mqtt5.ConnectPacket):
            self.connects += 1
            writer.write(mqtt5.ConnAckPacket().write())
        elif isinstance(packet, mqtt5.PublishPacket):
            self.heard.append((packet.topic, bytes(packet.payload or b"")))
            reason = self.script.pop(0)
            if reason is None:
                return False
            assert packet.packet_id is not None
            writer.write(mqtt5.PubAckPacket(packet.packet_id, reason_code=reason).write())
        elif isinstance(packet, mqtt5.DisconnectPacket):
            return False
        return True


Listen = Callable[[Broker], Awaitable[MqttSender]]


@pytest.fixture
async def listening() -> AsyncIterator[Listen]:
    opened: list[tuple[asyncio.Server, MqttSender]] = []

    async def listen(broker: Broker) -> MqttSender:
        server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        sender = MqttSender(MqttEndpoint("127.0.0.1", port, "zebra/dock-3/tags", "dock-3", ack_timeout_s=60.0))
        opened.append((server, sender))
        return sender

    yield listen
    for server, sender in opened:
        await sender.aclose()
        server.close()
        await server.wait_closed()


async def test_puback_says_whether_the_tags_are_held(
    listening: Listen,
) -> None:
    """A PUBACK of 0x80 and above is a no, which aiomqtt does not say."""
    codes = mqtt5.PubAckReasonCode
    broker = Broker([codes.SUCCESS, codes.NOT_AUTHORIZED, codes.SUCCESS])
    sender = await listening(broker)
    assert [await sender(body) for body in (b"1", b"2", b"3")] == [True, False, True]
    assert broker.heard == [("zebra/dock-3/tags", body) for body in (b"1", b"2", b"3")]
    assert broker.connects == 1


async def test_a_cut_connection_is_no_answer_and_is_opened_again(
    listening: Listen,
) -> None:
    broker = Broker([None, mqtt5.PubAckReasonCode.SUCCESS])
    sender = await listening(broker)
    with pytest.raises(Unreached):
        await sender(b"1")
    assert await sender(b"1")
    assert broker.connects == 2


async def test_nobody_at_home_is_no_answer() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(Unreached):
        await MqttSender(MqttEndpoint("127.0.0.1", port, "t", "dock-3"))(b"1")
