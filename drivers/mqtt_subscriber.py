"""A subscriber on a site's broker: one persistent session, and a PUBACK only for what is on disk.

Theory of operation. The broker keeps what was published while the gateway was away and sends again what was never
acknowledged, so the rules are few: the same client id always, a session that does not start clean, a session expiry, a
SUBSCRIBE on every connect (a changed configuration is then never ignored), and PUBACKs in order of arrival, by this
connection, after the commit. `InboundWindow` keeps the last three; Receive Maximum is its size.

Storage unavailable: nothing is acknowledged, the run ends with LinkLost, and the broker sends everything again to the
next run. Had it stayed connected, the broker would have waited for ever for acknowledgements that nobody owes it.

Identity. On a broker the topic is the device: the broker's ACL has to see that a device publishes on its own topics
only (config/mosquitto.acl). The acknowledgement goes to the response topic of the message, but only inside the device's
own `ack` tree.

    LinkLost     the broker cannot be reached, went away, or is shutting down
    DeviceFault  it refuses us (user, ACL, TLS, protocol version), or another gateway uses our client id
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Final, TypeVar

import mqtt5
from mqtt5 import ConnAckReasonCode as ConnAck

from drivers.contract import DeviceFault, DriverError, Emit, LinkLost, StorageUnavailable, os_words
from drivers.mqtt_broker_link import BrokerLink, SubscriberStats, in_words
from drivers.mqtt_routes import Parse, Routes
from drivers.mqtt_session import ClientSession
from drivers.mqtt_settings import BrokerSettings, parse_broker_url
from drivers.mqtt_tls import client_context, fault_of
from drivers.reading import Reading, Verdict

__all__ = ["BrokerSettings", "MqttSubscriber"]

_log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

FAILURE: Final = 0x80
"""Reason codes from here on are errors (MQTT 5, 2.4)."""


class MqttSubscriber:
    """Driver `mqtt-subscriber`: one for all devices that publish to the site's broker."""

    Settings = BrokerSettings

    def __init__(
        self,
        device: str,
        settings: BrokerSettings,
        *,
        site: str,
        client_id: str,
        readers: Mapping[str, tuple[str, Parse]] | None = None,
        executor: Executor | None = None,
        stats: SubscriberStats | None = None,
    ) -> None:
        """`client_id` names our session unless the settings do: stable over restarts, different on every installation.

        `readers`: topic filter -> (device id, parser) for devices with payloads of their own. `executor` reads small
        files; None takes the loop's default threads. `stats` are what earlier drivers of this link have counted: after
        every loss a new one is made, and only who knows of the last connection can tell that its session is gone.
        """
        self.device = device
        self.stats = stats if stats is not None else SubscriberStats()
        self.subscribed = asyncio.Event()
        """Set while the broker delivers to us."""
        self.client_id = settings.client_id or client_id
        self.routes = Routes(site, readers)
        self.session = ClientSession(packet_bytes_max=settings.packet_bytes_max)
        self._settings = settings
        self._executor = executor

    async def run(self, emit: Emit) -> None:
        """Take messages until the broker is lost. Raises LinkLost or DeviceFault."""
        link = BrokerLink(
            self.session, self.routes, self._settings, client_id=self.client_id, stats=self.stats, emit=emit
        )
        try:
            await self._connect(link)
            await link.ended
        finally:
            self.subscribed.clear()
            await link.close(self._settings.drain_s)

    async def probe(self) -> str:
        """Introduce ourselves under another client id and leave again: a session that stands is not disturbed.

        Return one line for a person; raises LinkLost or DeviceFault.
        """
        link = BrokerLink(self.session, self.routes, self._settings, client_id="probe", stats=self.stats, emit=_refuse)
        try:
            await self._greet(link, f"dockline-probe-{secrets.token_hex(4)}", clean_start=True)
        finally:
            await link.close(0)
        return f"the broker {self._settings.url} lets us in"

    async def _connect(self, link: BrokerLink) -> None:
        connack = await self._greet(
            link,
            self.client_id,
            clean_start=False,
            keep_alive=self._settings.keep_alive_s,
            session_expiry_interval=self._settings.session_expiry_s,
            receive_max=self._settings.receive_max,
            max_packet_size=self._settings.packet_bytes_max,
        )
        self._note_session(connack)
        link.send(self.session.subscribe(self.routes.filters))
        self._check_suback(await self._hear(link, link.suback))
        self.subscribed.set()
        _log.info("broker_subscribed url=%s client_id=%s", self._settings.url, self.client_id)

    async def _greet(self, link: BrokerLink, client_id: str, **session: Any) -> mqtt5.ConnAckPacket:
        """Connect and say who we are; return the answer when it lets us in."""
        scheme, host, port = parse_broker_url(self._settings.url)
        loop = asyncio.get_running_loop()
        password, context = await loop.run_in_executor(self._executor, self._read_files, scheme)
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s) as patience:
                await loop.create_connection(lambda: link, host, port, ssl=context)
        except ssl.SSLError as error:
            raise fault_of(error) from error
        except OSError as error:
            if patience.expired():
                raise self._no_answer() from error
            raise LinkLost(
                f"cannot reach the broker {self._settings.url}: {os_words(error)}",
                hint="is it running, and is the address right?",
            ) from error
        who = mqtt5.ConnectPacket(client_id, username=self._settings.username, password=password, **session)
        link.send(self.session.connect(who))
        connack = await self._hear(link, link.connack)
        if connack.reason_code is not ConnAck.SUCCESS:
            raise _refusal(connack.reason_code)
        return connack

    async def _hear(self, link: BrokerLink, answer: asyncio.Future[_Answer]) -> _Answer:
        try:
            return await link.hear(answer, self._settings.connect_timeout_s)
        except TimeoutError as error:
            raise self._no_answer() from error

    def _no_answer(self) -> LinkLost:
        return LinkLost(
            f"the broker {self._settings.url} does not answer", hint="is it running, and is the port right?"
        )

    def _read_files(self, scheme: str) -> tuple[bytes | None, ssl.SSLContext | None]:
        settings = self._settings
        password = None
        if settings.password_file is not None:
            try:
                password = settings.password_file.read_text("utf-8").strip().encode()
            except (OSError, UnicodeDecodeError) as error:
                raise DeviceFault(
                    f"password file {settings.password_file}: {error}", hint="see [mqtt.broker] password_file"
                ) from error
        if scheme == "mqtt":
            return password, None
        return password, client_context(settings.ca_file, settings.certificate, settings.key)

    def _note_session(self, connack: mqtt5.ConnAckPacket) -> None:
        self.stats.connects += 1
        if self.stats.connects > 1 and not connack.session_present:
            self.stats.sessions_lost += 1
            _log.warning(
                "broker_session_lost url=%s client_id=%s hint=%r",
                self._settings.url,
                self.client_id,
                "messages sent while we were away are gone from the broker; is its persistence on?",
            )
        granted_s = connack.session_expiry_interval
        if granted_s is not None and granted_s < self._settings.session_expiry_s:
            _log.warning(
                "broker_session_shortened seconds=%d wanted=%d hint=%r",
                granted_s,
                self._settings.session_expiry_s,
                "the broker keeps messages for a shorter time than session_expiry_s asks for",
            )

    def _check_suback(self, suback: mqtt5.SubAckPacket) -> None:
        for topic_filter, code in zip(self.routes.filters, suback.reason_codes, strict=False):
            if int(code) >= FAILURE:
                raise DeviceFault(
                    f'the broker refuses the subscription "{topic_filter}" ({in_words(code)})',
                    hint="its ACL must let the gateway read this topic; config/mosquitto.acl shows how",
                )
            if int(code) == 0:
                # At QoS 0 the broker forgets a message when it has sent it: what we could not store would be lost.
                raise DeviceFault(
                    f'the broker grants "{topic_filter}" at QoS 0 only',
                    hint="allow QoS 1 (max_qos) in its configuration",
                )


async def _refuse(readings: Sequence[Reading]) -> list[Verdict]:
    """A probe subscribes to nothing, so nothing comes."""
    raise StorageUnavailable(f"{len(readings)} readings during a probe")


def _refusal(reason: ConnAck) -> DriverError:
    """Return what a CONNACK of failure means for us."""
    message = f"the broker refuses us ({in_words(reason)})"
    match reason:
        case ConnAck.BAD_USER_NAME_OR_PASSWORD | ConnAck.NOT_AUTHORIZED:
            return DeviceFault(
                message, hint="check username and password_file in [mqtt.broker], and the broker's users"
            )
        case ConnAck.CLIENT_ID_NOT_VALID:
            return DeviceFault(message, hint="set client_id in [mqtt.broker] to one the broker allows")
        case ConnAck.UNSUPPORTED_PROTOCOL_VERSION:
            return DeviceFault(message, hint="the broker must speak MQTT 5; mosquitto does since 1.6")
        case (
            ConnAck.SERVER_UNAVAILABLE | ConnAck.SERVER_BUSY | ConnAck.QUOTA_EXCEEDED | ConnAck.CONNECTION_RATE_EXCEEDED
        ):
            return LinkLost(message)
    return DeviceFault(message, hint="see the broker's log")
