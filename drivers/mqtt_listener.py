"""The built-in MQTT 5 listener: devices connect to the gateway itself and PUBACK means *on disk*.

It is no general broker. It takes QoS 0 and QoS 1 publishes of the devices' own topics, answers each with a PUBACK
(QoS 1) and with an application acknowledgement on the device's `ack` topic, and passes nothing from one device to
another.

    refused with                   what
    CONNACK 0x84 (0x01 for 3.1.1)  another version of MQTT
    CONNACK 0x86 / 0x87            wrong password / no credentials, or a name that is no device id
    CONNACK 0x97                   too many connections of one device
    PUBACK 0x87                    a topic that is not the device's own; a device that is not configured
    SUBACK 0x87                    anything but the device's own `ack` topics
    DISCONNECT 0x97                storage is unavailable: nothing is acknowledged, send again later
    DISCONNECT 0x8E                the same client connected again
    DISCONNECT 0x93 0x95 0x9A 0x9B more than Receive Maximum, too large, retained, QoS 2
    DISCONNECT 0x81 0x82 0x90      malformed, out of order, a wildcard in a topic name

QoS 0 is stored like any other message and acknowledged by the application acknowledgement only. That one is itself sent
at QoS 0: whoever misses it sends the scan again and hears the same answer.

Sessions are kept in memory (subscriptions, for at most `session_expiry_max_s`). A restart of the gateway forgets them;
a client library may then drop messages that it was never answered, so a handheld keeps each scan until the
*application* acknowledgement (docs/handhelds.md).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Final

from mqtt5 import DisconnectReasonCode as Reason

from drivers.contract import DeviceFault, Emit
from drivers.mqtt_connection import Connection
from drivers.mqtt_doorkeeper import Doorkeeper
from drivers.mqtt_hall import Hall, ListenerStats
from drivers.mqtt_routes import Parse, Routes
from drivers.mqtt_settings import ListenerSettings, parse_bind
from drivers.mqtt_tls import ServerTls

__all__ = ["ListenerSettings", "MqttListener"]

_log = logging.getLogger(__name__)

USERS_CHECK_S: Final = 5.0
"""How soon a device that was taken out of the users file is disconnected."""
CLOSE_S: Final = 1.0
BACKLOG: Final = 256
ACCEPTED_MAX: Final = 8
"""Connections accepted in one turn of the loop; asyncio knows one number for this and for those that may wait."""


class MqttListener:
    """Driver `mqtt-listener`: one for all devices that connect to the gateway."""

    Settings = ListenerSettings

    def __init__(
        self,
        device: str,
        settings: ListenerSettings,
        *,
        site: str,
        readers: Mapping[str, tuple[str, Parse]] | None = None,
        executor: Executor | None = None,
    ) -> None:
        """`readers`: topic filter -> (device id, parser) for devices with payloads of their own.

        `executor` verifies passwords and reads small files; None takes the loop's default threads.
        """
        self.device = device
        self.stats = ListenerStats()
        self.listening = asyncio.Event()
        """Set while devices can connect."""
        self.address: tuple[str, int] = parse_bind(settings.bind)
        """Where; the port is the real one once `listening` is set."""
        self._refused: tuple[str, ...] = ()
        self._settings = settings
        self._routes = Routes(site, readers)
        self._executor = executor
        self._tls = _server_tls(settings)

    async def run(self, emit: Emit) -> None:
        """Serve devices until cancelled. Raises DeviceFault when the address or a file cannot be used."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def on_fault(error: BaseException) -> None:
            if not ended.done():
                ended.set_exception(error)

        self._refused = ()
        doorkeeper = Doorkeeper(self._settings, self._executor)
        await doorkeeper.check()
        hall = Hall(self._settings, self._routes, doorkeeper, self.stats, emit, on_fault)
        server = await self._open(hall)
        inspection = loop.create_task(self._inspect(hall, ended))
        try:
            await ended
        finally:
            self.listening.clear()
            server.close()
            inspection.cancel()
            await self._close(hall)

    async def _open(self, hall: Hall) -> asyncio.Server:
        host, port = parse_bind(self._settings.bind)
        if self._tls is not None:
            self._tls.context()

        def connection() -> Connection:
            return Connection(hall, self._tls.context() if self._tls is not None else None)

        try:
            server = await asyncio.get_running_loop().create_server(connection, host, port, backlog=ACCEPTED_MAX)
        except OSError as error:
            hints = {
                errno.EADDRINUSE: "another program listens there; `ss -ltnp` says which",
                errno.EACCES: "ports below 1024 need a privilege this service does not have; take 1884 or 8883",
                errno.EADDRNOTAVAIL: "this machine has no such address; see `ip address`",
            }
            raise DeviceFault(
                f"cannot listen on {self._settings.bind}: {error.strerror or error}", hint=hints.get(error.errno or 0)
            ) from error
        for wire in server.sockets:
            with socket.fromfd(wire.fileno(), wire.family, wire.type) as same:
                same.listen(BACKLOG)
        name = server.sockets[0].getsockname()
        self.address = (name[0], name[1])
        self.listening.set()
        _log.info("listener_opened address=%s:%d tls=%s", *self.address, self._tls is not None)
        return server

    async def _inspect(self, hall: Hall, ended: asyncio.Future[None]) -> None:
        """Disconnect devices that were taken out of the users file."""
        while True:
            await asyncio.wait({ended}, timeout=USERS_CHECK_S)
            users = await hall.doorkeeper.users()
            self._look_at_files(hall)
            for guest in list(hall.seated.values()):
                if (
                    isinstance(guest, Connection)
                    and guest.is_user
                    and users is not None
                    and guest.identity not in users
                ):
                    hall.tell("device_removed", "device_id=%s", guest.identity)
                    guest.end_with(Reason.ADMINISTRATIVE_ACTION)

    def _look_at_files(self, hall: Hall) -> None:
        """Note what a person has changed and cannot be used, be it that nobody connects meanwhile."""
        if self._tls is not None:
            self._tls.context()
        found = (hall.doorkeeper.refused, self._tls.refused if self._tls is not None else None)
        refused = tuple(one for one in found if one is not None)
        for one in refused:
            if one not in self._refused:
                hall.tell("listener_file_refused", "reason=%r", one)
        self._refused = refused

    def refused_files(self) -> Sequence[str]:
        """Return why the users file or the certificate, as they are now, cannot be used."""
        return self._refused

    async def _close(self, hall: Hall) -> None:
        """Take nothing more, let what is on its way to disk arrive and be acknowledged, say good-bye."""
        hall.is_closed = True
        connections = [guest for guest in hall.guests if isinstance(guest, Connection)]
        for connection in connections:
            connection.stop_reading()
        hall.gathering.open()
        await hall.wait_for_emits(self._settings.drain_s)
        for connection in connections:
            connection.end_with(Reason.SERVER_SHUTTING_DOWN)
        if connections:
            closed = [connection.closed for connection in connections]
            await asyncio.wait(closed, timeout=CLOSE_S)
        for connection in connections:
            connection.abort()


def _server_tls(settings: ListenerSettings) -> ServerTls | None:
    if settings.certificate is None or settings.key is None:
        return None
    return ServerTls(
        settings.certificate, settings.key, settings.client_ca, client_required=settings.users_file is None
    )
