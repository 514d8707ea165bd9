"""Devices over the local API: who knocks, and what a person writes down to replace one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.report import Report
from gateway.settings.model import DeviceSettings
from gateway.web.guard import ApiError, require

SERIAL_PORTS: Final = Path("/dev/serial/by-id")
APPLY: Final = "systemctl reload dockline"


class DevicesApi:
    """The handlers."""

    def __init__(self, report: Report) -> None:
        self._report = report

    async def list(self, request: Request) -> Response:
        """Devices that are configured or were heard under a pattern, and those that knock with the lines to admit them.

        Nothing is admitted here: the configuration is a file that a technician writes and the daemon only reads.
        """
        require(request, "viewer")
        status = await self._report.status()
        return JSONResponse(
            {
                "devices": [asdict(one) for one in status.devices],
                "links": [asdict(one) for one in status.links],
                "knocking": [asdict(one) for one in status.knocking],
                "knocking_unlisted": status.knocking_unlisted,
                "stations": [one.id for one in self._report.settings.stations],
                "config": str(self._report.settings.file),
                "apply": APPLY,
            }
        )

    async def one(self, request: Request) -> Response:
        """What is needed to replace a device: its lines in the configuration, and the serial ports that are free."""
        require(request, "viewer")
        wanted = request.path_params["device"]
        settings = self._report.settings
        route = self._report.route(wanted)
        device = next((one for one in settings.devices if _fits(one, wanted)), None)
        if route is None or device is None:
            raise ApiError(404, "device_unknown", "there is no such device here")
        url = getattr(device.link, "url", None)
        used = {str(getattr(one.link, "url", "")).partition("://")[2].partition("?")[0] for one in settings.devices}
        ports = [str(path) for path in serial_ports() if str(path) not in used]
        return JSONResponse(
            {
                "id": wanted,
                "entry": device.id,
                "station": device.station,
                "driver": device.driver,
                "profile": device.profile,
                "url": None if url is None else str(url),
                "lines": lines_of(device, None if url is None else str(url)),
                "free_ports": ports if device.driver == "serial-scanner" else [],
                "config": str(settings.file),
                "apply": APPLY,
            }
        )


def _fits(device: DeviceSettings, wanted: str) -> bool:
    return device.id == wanted or (device.is_pattern and wanted.startswith(device.id[:-1]))


def serial_ports() -> list[Path]:
    """Return the serial ports that are plugged in, by the names that stay."""
    return sorted(SERIAL_PORTS.glob("*")) if SERIAL_PORTS.is_dir() else []


def lines_of(device: DeviceSettings, url: str | None) -> str:
    """Return what identifies a device in the configuration; its other keys stay as they are in the file."""
    told: dict[str, Any] = {"id": device.id, "station": device.station, "driver": device.driver, "url": url,
                            "profile": device.profile}  # fmt: skip
    return "[[device]]\n" + "".join(f'{name} = "{value}"\n' for name, value in told.items() if value is not None)
