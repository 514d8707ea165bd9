"""A barcode scanner that speaks TCP itself, in the same words as one on a serial port.

    url = "tcp://10.0.0.9:2001"            the scanner listens (fixed-mount readers do), the gateway connects
    url = "tcp-listen://10.0.0.1:2001"     the gateway listens, the scanner connects

Listening, one scanner is served at a time, and only `peer` when that is set: a TCP port has no other way to know who is
talking, so put such scanners on a network of their own. A second connection from the same address means that the
scanner lost the first without a word (it roamed, it was reset): the run ends with LinkLost and the next one serves it.
A second connection from elsewhere is closed.
"""

from __future__ import annotations

import asyncio
import difflib
import ipaddress
from typing import NoReturn
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from drivers.contract import DeviceFault, Emit, LinkLost
from drivers.scanner_dialogue import ScannerDialogue, ScannerSettings
from drivers.serial_link import Link, TcpPeer, keep_alive, open_link, parse_tcp_url

_SCHEMES = ("tcp", "tcp-listen")


class TcpScannerSettings(ScannerSettings):
    """A scanner that is reached by, or reaches us at, a TCP address."""

    url: str = Field(description="tcp://host:port (the scanner listens) or tcp-listen://host:port (we do).")
    peer: str | None = Field(None, description="With tcp-listen: the only IP address that may connect.")

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        scheme = urlsplit(url).scheme
        if scheme not in _SCHEMES:
            near = difflib.get_close_matches(scheme, _SCHEMES, 1) or ["tcp"]
            raise ValueError(f'"{url}" is not a tcp:// or tcp-listen:// URL; did you mean "{near[0]}://"?')
        parse_tcp_url(url)
        return url

    @field_validator("peer")
    @classmethod
    def _check_peer(cls, peer: str | None) -> str | None:
        return None if peer is None else str(ipaddress.ip_address(peer))


class TcpScanner:
    """Driver `tcp-scanner`."""

    def __init__(self, device: str, settings: TcpScannerSettings) -> None:
        self._device = device
        self._settings = settings
        self.connected = asyncio.Event()
        """Set while a scanner is connected."""
        self.listening = asyncio.Event()
        """Set while a scanner may connect (tcp-listen)."""
        self.port: int | None = None
        """The TCP port listened on, once `listening` is set."""
        self._link: Link | None = None

    def last_byte(self) -> float | None:
        """Return when something last arrived, on the loop's clock."""
        return self._link.last_byte if self._link is not None else None

    async def run(self, emit: Emit) -> NoReturn:
        """Converse with the scanner until the connection is lost. Raises LinkLost or DeviceFault."""
        if urlsplit(self._settings.url).scheme == "tcp-listen":
            await self._serve(emit)
        link = await open_link(self._settings.url)
        await self._converse(link, emit)

    async def probe(self) -> str:
        """Connect and hang up, or listen and stop. Return one line for a person; raises LinkLost or DeviceFault."""
        where = parse_tcp_url(self._settings.url)
        if urlsplit(self._settings.url).scheme == "tcp-listen":
            server = await _listen(_Door(self._settings.peer), where)
            server.close()
            return f"{where.host}:{where.port} can be listened on; the scanner connects when the gateway runs"
        link = await open_link(self._settings.url)
        await link.aclose()
        return f"{where.host}:{where.port} accepts connections; scan something to see whether it talks"

    async def _converse(self, link: Link, emit: Emit) -> NoReturn:
        self._link = link
        try:
            self.connected.set()
            await ScannerDialogue(self._device, self._settings, link, emit).converse()
        finally:
            self.connected.clear()
            await link.aclose()

    async def _serve(self, emit: Emit) -> NoReturn:
        door = _Door(self._settings.peer)
        server = await _listen(door, parse_tcp_url(self._settings.url))
        try:
            self.port = server.sockets[0].getsockname()[1]
            self.listening.set()
            link = await door.visitor()
            try:
                await self._converse(link, emit)
            except LinkLost as lost:
                # A scanner that connects for each scan is refused as long as nobody listens, and its scan is lost.
                raise LinkLost(str(lost), hint=lost.hint, reopens_at_once=True) from lost
        finally:
            self.listening.clear()
            server.close()
            door.close()


async def _listen(door: _Door, where: TcpPeer) -> asyncio.Server:
    try:
        return await asyncio.get_running_loop().create_server(door.admit, where.host, where.port, backlog=4)
    except OSError as error:
        raise DeviceFault(
            f"cannot listen on {where.host}:{where.port}: {error.strerror or error}",
            hint="is the address one of this machine, and the port free?",
        ) from error


class _VisitorLink(Link):
    """A link that a scanner opened to us."""

    def __init__(self, door: _Door) -> None:
        super().__init__("tcp-listen")
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.name = transport.get_extra_info("peername")[0]
        keep_alive(transport)
        self._door.arrived(self)

    def hang_up(self, why: str) -> None:
        """Break the connection at once."""
        self._end(why)
        if self._transport is not None:
            self._transport.abort()


class _Door:
    """Lets one scanner in."""

    def __init__(self, peer: str | None) -> None:
        self._peer = peer
        self._first: asyncio.Future[_VisitorLink] = asyncio.get_running_loop().create_future()

    def admit(self) -> _VisitorLink:
        return _VisitorLink(self)

    def arrived(self, link: _VisitorLink) -> None:
        if self._peer is not None and link.name != self._peer:
            link.hang_up("not the scanner that may connect here")
        elif not self._first.done():
            self._first.set_result(link)
        elif not self._first.cancelled() and self._first.result().name == link.name:
            self._first.result().hang_up("the scanner connected anew")
            link.hang_up("served by the next run")
        else:
            link.hang_up("another scanner is connected")

    async def visitor(self) -> _VisitorLink:
        """Return the scanner's link once it connected."""
        return await asyncio.shield(self._first)

    def close(self) -> None:
        """Turn away whoever comes, and whoever is in."""
        if self._first.done():
            self._first.result().hang_up("closed")
        else:
            self._first.cancel()
