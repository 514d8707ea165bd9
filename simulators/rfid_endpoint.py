"""Where a simulated reader sends its messages: an MQTT broker or listener, or a URL.

An endpoint is called with a body and answers only what it heard: held for good, refused for good, or nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import aiomqtt
import httpx2

from simulators.mqtt_client import LIBRARY_LOG, listen_in, said

Send = Callable[[bytes], Awaitable[bool]]
"""Deliver one message; True: the gateway has it for good, False: it refused for good. Raises Unreached otherwise."""


class Unreached(Exception):
    """Nobody answered; the reader sends the message again."""


@dataclass(frozen=True, slots=True)
class MqttEndpoint:
    """A data endpoint over MQTT 5, QoS 1."""

    host: str
    port: int
    topic: str
    identifier: str
    username: str | None = None
    password: str | None = None
    ack_timeout_s: float = 10.0


class MqttSender:
    """Publishes to a broker or the gateway's listener; connects again when the connection is lost."""

    def __init__(self, endpoint: MqttEndpoint) -> None:
        self._endpoint = endpoint
        self._client: aiomqtt.Client | None = None
        self.refusal: str | None = None
        """What the last refusal said."""
        self._refused = False

    async def __call__(self, body: bytes) -> bool:
        """Publish and wait for PUBACK; a reason code of 0x80 or more refuses for good (MQTT 5, section 3.4.2.1)."""
        self._refused = False
        try:
            if self._client is None:
                self._client = await self._connect()
            await self._publish(self._client, body)
        except aiomqtt.MqttError as error:
            await self.aclose()
            raise Unreached(str(error)) from error
        return not self._refused

    async def _publish(self, client: aiomqtt.Client, body: bytes) -> None:
        """Publish, or give up at once when the connection is lost: aiomqtt 2.5 would wait for the time-out."""
        end = self._endpoint
        publishing = asyncio.ensure_future(client.publish(end.topic, body, qos=1, timeout=end.ack_timeout_s))
        lost = client._disconnected
        try:
            await asyncio.wait({publishing, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not publishing.done():
                raise aiomqtt.MqttError("the connection was lost") from lost.exception()
        finally:
            publishing.cancel()
        await publishing

    async def _connect(self) -> aiomqtt.Client:
        end = self._endpoint
        client = aiomqtt.Client(
            end.host,
            end.port,
            identifier=end.identifier,
            username=end.username,
            password=end.password,
            protocol=aiomqtt.ProtocolVersion.V5,
            timeout=end.ack_timeout_s,
            logger=LIBRARY_LOG,
        )
        return await listen_in(client, self._hear_puback).__aenter__()

    def _hear_puback(self, reason_code: Any) -> None:
        self._refused = reason_code.is_failure
        if self._refused:
            self.refusal = f"PUBACK: {said(reason_code)}"

    async def aclose(self) -> None:
        """Leave the connection, whatever state it is in."""
        client, self._client = self._client, None
        if client is not None:
            try:
                await client.__aexit__(None, None, None)
            except aiomqtt.MqttError:
                return


class HttpSender:
    """Posts to a URL, as the connector's HTTP POST endpoint does."""

    def __init__(self, url: str, *, token: str | None = None, client: httpx2.AsyncClient | None = None) -> None:
        self._url = url
        self._headers = {"content-type": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        self._client = client or httpx2.AsyncClient(timeout=10.0)
        self.refusal: str | None = None
        """What the last refusal said."""

    async def __call__(self, body: bytes) -> bool:
        """Post and wait for the answer: 2xx is held for good, 4xx refused for good."""
        try:
            answer = await self._client.post(self._url, content=body, headers=self._headers)
        except httpx2.TransportError as error:
            raise Unreached(str(error)) from error
        if answer.status_code >= 500 or answer.status_code in (408, 429):
            raise Unreached(f"HTTP {answer.status_code}")
        if not answer.is_success:
            self.refusal = f"HTTP {answer.status_code} {answer.text[:300]}".rstrip()
        return answer.is_success

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def __aenter__(self) -> HttpSender:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
