"""A barcode scanner on a serial port, or behind a serial device server.

url = "serial:///dev/serial/by-id/usb-Zebra_DS3608-if00?baudrate=9600"
url = "socket://10.0.0.7:4001"
"""

from __future__ import annotations

import asyncio
from typing import NoReturn

from pydantic import Field, field_validator

from drivers.contract import Emit
from drivers.scanner_dialogue import ScannerDialogue, ScannerSettings
from drivers.serial_link import Link, SerialPort, open_link, parse_link_url


class SerialScannerSettings(ScannerSettings):
    """A scanner that is reached by a serial:// or socket:// URL."""

    url: str = Field(
        description="serial:///dev/serial/by-id/...?baudrate=9600&bytesize=8&parity=N&stopbits=1, or socket://host:port."
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parse_link_url(url)
        return url


class SerialScanner:
    """Driver `serial-scanner`."""

    def __init__(self, device: str, settings: SerialScannerSettings) -> None:
        self._device = device
        self._settings = settings
        self.connected = asyncio.Event()
        """Set while the link is open."""
        self._link: Link | None = None

    def last_byte(self) -> float | None:
        """Return when something last arrived, on the loop's clock."""
        return self._link.last_byte if self._link is not None else None

    async def run(self, emit: Emit) -> NoReturn:
        """Open the link and converse until it is lost. Raises LinkLost or DeviceFault."""
        self._link = link = await open_link(self._settings.url)
        try:
            self.connected.set()
            await ScannerDialogue(self._device, self._settings, link, emit).converse()
        finally:
            self.connected.clear()
            await link.aclose()

    async def probe(self) -> str:
        """Open and close the link. Return one line for a person; raises LinkLost or DeviceFault."""
        where = parse_link_url(self._settings.url)
        link = await open_link(self._settings.url)
        await link.aclose()
        if isinstance(where, SerialPort):
            return f"{where.path} opens at {where.baudrate} baud; scan something to see whether it talks"
        return f"{where.host}:{where.port} accepts connections; scan something to see whether it talks"
