"""Where a simulated scanner is plugged in: a pseudo-terminal behind a stable name, or a TCP connection.

Every port hands what the gateway writes to `on_bytes`, takes bytes by `write`, and can be unplugged and plugged in
again. A pseudo-terminal comes back under another number, as a USB device does; the name stays, as in /dev/serial/by-id.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import pty
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from simulators.conversations import Conversations


class ScannerPort(Protocol):
    """One side of a link."""

    on_bytes: Callable[[bytes], None]
    """Called with what the gateway wrote."""

    connected: asyncio.Event
    """Set while what is written goes somewhere. A pseudo-terminal cannot tell, and says so as long as it is plugged."""

    @property
    def is_plugged(self) -> bool:
        """True from `plug` to `unplug`."""

    @property
    def url(self) -> str:
        """What to configure in the gateway."""

    async def plug(self) -> None:
        """Make the port reachable."""

    async def unplug(self) -> None:
        """Pull the plug; the gateway sees the link break."""

    def write(self, data: bytes) -> None:
        """Send to the gateway; lost when nobody is connected."""


def _ignore(_: bytes) -> None:
    return


class PtyPort:
    """A serial port that is a pseudo-terminal behind a symbolic link."""

    def __init__(self, link: Path, *, query: str = "baudrate=9600") -> None:
        self.on_bytes: Callable[[bytes], None] = _ignore
        self.connected = asyncio.Event()
        self._link = link
        self._query = query
        self._master: int | None = None
        self._slave: int | None = None

    @property
    def is_plugged(self) -> bool:
        return self._master is not None

    @property
    def url(self) -> str:
        return f"serial://{self._link}?{self._query}"

    async def plug(self) -> None:
        """Open a pseudo-terminal and point the name at it.

        The other end stays open here as well, raw from the start: else the line discipline would echo the first scan
        back, and reading would fail whenever the gateway is not there. Raises FileExistsError when something else has
        the name: a file, a real port, or the port of another simulator.
        """
        if self._link.exists():  # a link to a terminal that is gone does not count: somebody was killed
            raise FileExistsError(errno.EEXIST, "is there already; name another port, or remove it", str(self._link))
        master, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        self._master, self._slave = master, slave
        self._link.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._link.with_name(self._link.name + ".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(slave))
        fresh.replace(self._link)
        asyncio.get_running_loop().add_reader(master, self._readable)
        self.connected.set()

    async def unplug(self) -> None:
        if self._master is None or self._slave is None:
            return
        self.connected.clear()
        with contextlib.suppress(OSError):
            if str(self._link.readlink()) == os.ttyname(self._slave):  # the name may be another's by now
                self._link.unlink()
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = None

    def write(self, data: bytes) -> None:
        """Write; what does not fit into the terminal's buffer is lost, as on a wire without flow control."""
        if self._master is not None:
            with contextlib.suppress(BlockingIOError):
                os.write(self._master, data)

    def _readable(self) -> None:
        if self._master is None:
            return
        with contextlib.suppress(BlockingIOError):
            self.on_bytes(os.read(self._master, 4096))


class TcpServerPort:
    """A scanner, or a device server before one, that the gateway connects to."""

    def __init__(self, host: str = "127.0.0.1", *, scheme: str = "tcp") -> None:
        self.on_bytes: Callable[[bytes], None] = _ignore
        self.connected = asyncio.Event()
        self._host = host
        self._scheme = scheme
        self._port = 0
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._conversations = Conversations()

    @property
    def is_plugged(self) -> bool:
        return self._server is not None

    @property
    def url(self) -> str:
        return f"{self._scheme}://{self._host}:{self._port}"

    async def plug(self) -> None:
        """Listen, on the port of the first time."""
        self._server = await asyncio.start_server(self._accept, self._host, self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def unplug(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._drop()

    def write(self, data: bytes) -> None:
        if self._writer is not None:
            self._writer.write(data)

    def _drop(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None
            self.connected.clear()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._conversations.begin(self._serve(reader, writer), writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._drop()
        if self._server is None:
            return
        self._writer = writer
        self.connected.set()
        await _pass_on(reader, self.on_bytes)
        if self._writer is writer:
            self._drop()


class TcpClientPort:
    """A scanner that connects to the gateway, and again when it is thrown out."""

    def __init__(self, target: Callable[[], tuple[str, int]], *, retry_s: float = 0.05) -> None:
        self.on_bytes: Callable[[bytes], None] = _ignore
        self.connected = asyncio.Event()
        self._target = target
        self._retry_s = retry_s
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_plugged(self) -> bool:
        return self._task is not None

    @property
    def url(self) -> str:
        host, port = self._target()
        return f"tcp-listen://{host}:{port}"

    async def plug(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._connect())

    async def unplug(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    def write(self, data: bytes) -> None:
        if self._writer is not None:
            self._writer.write(data)

    async def _connect(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, self._writer = await asyncio.open_connection(*self._target())
                self.connected.set()
                try:
                    await _pass_on(reader, self.on_bytes)
                finally:
                    self._writer.transport.abort()
                    self._writer = None
                    self.connected.clear()
            await asyncio.sleep(self._retry_s)


async def _pass_on(reader: asyncio.StreamReader, out: Callable[[bytes], None]) -> None:
    """Hand on what arrives until the connection ends."""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(4096):
            out(chunk)
