"""What is plugged in: serial ports by the name that stays, who made them, and scanners that listen on the network."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BY_ID = Path("/dev/serial/by-id")
"""Names that stay when a device is plugged in elsewhere; systemd's own rules make them."""
SYS_TTY = Path("/sys/class/tty")
CONNECT_S = 1.0
SCANNER_PORTS = (2001, 2112, 4001, 9004, 10001, 51236)
"""Where network scanners and serial device servers usually listen: Zebra and Honeywell bases, SICK, Moxa, Keyence,
Lantronix, Datalogic."""
MAKERS = {
    "05e0": ("Zebra", "zebra-ds3608"),
    "0c2e": ("Honeywell", "honeywell-1450g"),
    "05f9": ("Datalogic", "scanner-generic-aim"),
    "065a": ("Opticon", "opticon-ack-nak"),
    "0403": ("FTDI adapter", None),
    "067b": ("Prolific adapter", None),
    "10c4": ("Silicon Labs adapter", None),
    "1a86": ("QinHeng adapter", None),
}
"""USB vendor id (those of the udev rules): the maker, and the profile most of its scanners want."""


@dataclass(frozen=True, slots=True)
class Plugged:
    """One serial port."""

    path: Path
    maker: str | None
    """None when the port says nothing of who made it."""
    profile: str | None
    """The profile that suits most of this maker's scanners; an adapter says nothing of what is behind it."""

    def describe(self) -> str:
        """For a person."""
        return f"{self.path.name}" + (f" ({self.maker})" if self.maker else "")


def plugged_in(folder: Path = BY_ID, sys: Path = SYS_TTY) -> list[Plugged]:
    """Return the serial ports that are there, by name."""
    return [Plugged(path, *_maker(path, sys)) for path in sorted(folder.glob("*"))]


def _maker(path: Path, sys: Path) -> tuple[str | None, str | None]:
    """The vendor is a file some levels above the port's own folder: interface, device."""
    try:
        place = (sys / path.resolve().name / "device").resolve()
        for folder in (place, *place.parents[:3]):
            if (folder / "idVendor").is_file():
                vendor = (folder / "idVendor").read_text().strip().lower()
                return MAKERS.get(vendor, (f"USB vendor {vendor}", None))
    except OSError:
        pass
    return next(((maker, profile) for maker, profile in MAKERS.values() if maker in path.name), (None, None))


async def listening_ports(host: str, ports: Sequence[int] = SCANNER_PORTS) -> list[int]:
    """Return the ports of `host` that somebody listens on; connects and hangs up, sends nothing."""
    answers = await asyncio.gather(*(_listens(host, port) for port in ports))
    return [port for port, does in zip(ports, answers, strict=True) if does]


async def _listens(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True
