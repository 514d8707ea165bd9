"""Who a connection to the listener is: a certificate, a user with a password, or, in a lab, the client id.

The device id is decided here once and for the whole connection. Nothing that a device writes into a message can change
it. Passwords are verified in a thread, a few at a time: deriving one costs milliseconds by design, and a wrong password
tried a thousand times must not stop the loop in which scans are taken. Those who wait for it do so by where they come
from, and a password that was proven before does not wait at all: a stranger who floods the door with wrong ones shuts
out himself.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

import mqtt5
from mqtt5 import ConnAckReasonCode as ConnAck

from drivers.contract import DeviceFault
from drivers.mqtt_routes import DEVICE_ID
from drivers.mqtt_settings import ListenerSettings
from drivers.mqtt_turns import Turns
from drivers.password_file import PasswordFile, PasswordFileError

VERIFICATIONS_MAX: Final = 2
"""At once. More would take the threads that others need."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What the doorkeeper decided."""

    identity: str = ""
    is_user: bool = False
    """It proved it with a password, and stays only while the users file has it."""
    refusal: ConnAck | None = None
    why: str = ""
    """For the log; a refused peer hears the code only."""


class Doorkeeper:
    """Decides for one listener."""

    def __init__(self, settings: ListenerSettings, executor: Executor | None) -> None:
        self._accepts_anyone = settings.unauthenticated == "accept-in-lab"
        self._passwords = PasswordFile(settings.users_file) if settings.users_file is not None else None
        self._executor = executor
        self._verifications = Turns(VERIFICATIONS_MAX)
        self.refused: str | None = None
        """Why the users file cannot be read, when it was looked at last; nobody new gets in then."""

    async def check(self) -> None:
        """Raise DeviceFault when the users file cannot be used."""
        if self._passwords is None:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._passwords.users)
        except PasswordFileError as error:
            raise DeviceFault(str(error), hint=error.hint) from error

    async def admit(self, connect: mqtt5.ConnectPacket, certificate_name: str | None, origin: str) -> Admission:
        """Return the device behind a CONNECT, or why there is none. `origin` as `origin_of` says it."""
        if certificate_name is not None:
            if connect.username not in (None, certificate_name):
                return Admission(refusal=ConnAck.NOT_AUTHORIZED, why="user name and certificate are not the same")
            return _device(certificate_name, ConnAck.NOT_AUTHORIZED)
        if connect.username is not None and self._passwords is not None:
            return await self._admit_user(connect.username, connect.password or b"", self._passwords, origin)
        if self._accepts_anyone:
            return _device(connect.client_id, ConnAck.CLIENT_ID_NOT_VALID)
        return Admission(refusal=ConnAck.NOT_AUTHORIZED, why="neither user name nor certificate")

    async def _admit_user(self, user: str, password: bytes, passwords: PasswordFile, origin: str) -> Admission:
        loop = asyncio.get_running_loop()
        try:
            is_known = await loop.run_in_executor(self._executor, passwords.recalls, user, password)
            if not is_known:
                async with self._verifications.of(origin):
                    is_known = await loop.run_in_executor(self._executor, passwords.verify, user, password)
        except PasswordFileError as error:
            return Admission(refusal=ConnAck.SERVER_UNAVAILABLE, why=str(error))
        if not is_known:
            return Admission(refusal=ConnAck.BAD_USER_NAME_OR_PASSWORD, why="user or password is wrong")
        return _device(user, ConnAck.NOT_AUTHORIZED, is_user=True)

    async def users(self) -> set[str] | None:
        """Return who the users file has now; None without a file or while it cannot be read."""
        if self._passwords is None:
            return None
        try:
            found = set(await asyncio.get_running_loop().run_in_executor(self._executor, self._passwords.users))
        except PasswordFileError as error:
            self.refused = str(error)
            return None
        self.refused = None
        return found


def _device(name: str, refusal: ConnAck, *, is_user: bool = False) -> Admission:
    if DEVICE_ID.fullmatch(name) is None:
        return Admission(refusal=refusal, why=f"{name[:80]!r} is no device id ({DEVICE_ID.pattern})")
    return Admission(identity=name, is_user=is_user)
