"""The MQTT client inside simulated devices, and what aiomqtt 2.5 keeps to itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import aiomqtt

LIBRARY_LOG = logging.getLogger("simulators.mqtt")
"""Where the MQTT library talks about broken connections. Nobody listens: the journal of a device has them."""
LIBRARY_LOG.addHandler(logging.NullHandler())

OnAnswer = Callable[[Any], None]
"""Called with the reason code of every PUBACK (MQTT 5, section 3.4.2.1)."""


def listen_in(client: aiomqtt.Client, on_puback: OnAnswer) -> aiomqtt.Client:
    """Have `on_puback` hear every PUBACK of a client that is not connected yet; return the client.

    aiomqtt takes every PUBACK for a yes; the paho client inside it still has the reason code. And a connection that is
    lost while nobody awaits it is no news for standard error.
    """
    paho = client._client
    settle: Any = paho.on_publish

    def on_publish(sender: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
        on_puback(reason_code)
        settle(sender, userdata, mid, reason_code, properties)

    paho.on_publish = on_publish
    client._disconnected.add_done_callback(_take_note)
    return client


def said(reason_code: Any) -> str:
    """Return a reason code as people read it: its name and number."""
    return f"{reason_code} (0x{reason_code.value:02x})"


def _take_note(lost: asyncio.Future[Any]) -> None:
    """Retrieve the error of a future, so that asyncio does not report it."""
    if not lost.cancelled():
        lost.exception()
