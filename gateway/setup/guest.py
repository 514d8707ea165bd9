"""A device at the door of the listener: connects, says who it is, hears whether it is let in, and leaves."""

from __future__ import annotations

import asyncio
import ssl

import mqtt5

ANSWER_S = 10.0


class NotLetIn(Exception):
    """The listener answered with a refusal, or not at all."""


async def knock(address: tuple[str, int], user: str, password: str, *, is_tls: bool) -> None:
    """Return when the listener at an address of this computer lets `user` in. Raises NotLetIn."""
    context = None
    if is_tls:
        # Whether devices trust the certificate is between them and its authority; here it only has to be shown.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    packet = mqtt5.ConnectPacket(user, username=user, password=password.encode(), clean_start=True)
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection(_reachable(address[0]), address[1], ssl=context)
            try:
                writer.write(packet.write())
                head = await reader.readexactly(2)
                answer = head + await reader.readexactly(head[1])
            finally:
                writer.transport.abort()
    except (OSError, EOFError, TimeoutError) as error:
        raise NotLetIn(f"{user} hears no answer: {error or 'it takes too long'}") from error
    connack, _ = mqtt5.read(memoryview(answer))
    if not isinstance(connack, mqtt5.ConnAckPacket) or connack.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
        code = getattr(connack, "reason_code", connack)
        raise NotLetIn(f"{user} is not let in: {getattr(code, 'name', code)}")


def _reachable(host: str) -> str:
    """Return where to call what listens on every address."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
