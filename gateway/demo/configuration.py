"""The configuration of the demo's gateway: what a technician would write for such a site."""

from __future__ import annotations

from pathlib import Path

from simulators.site import COUNTER, PRESS, Site

_HEAD = """\
# Written by `dockline demo` or `dockline simulate site`. Any of this can be pasted into a gateway.toml of your own.
[site]
id = "demo"
gateway = "demo-pc"

[storage]
path = "{state}"
reserve_bytes = 10485760

[[labels.patterns]]
kind = "document"
expression = "ASN-[0-9]+"
document_type = "asn"

[mqtt.listener]
bind = "127.0.0.1:{listener}"
unauthenticated = "accept-in-lab"

[api]
bind = "127.0.0.1:{api}"
unauthenticated = "accept-in-lab"

[[upstream]]
name = "centre"
url = "http://127.0.0.1:{uplink}/v1/events"
timeout_s = 2.0
backoff_base_s = 0.2
backoff_max_s = 1.0

[[station]]
id = "line-1"

[[device]]
id = "{press}"
station = "line-1"
driver = "modbus-poller"
url = "modbus-tcp://127.0.0.1:{plc}?unit=1"
poll_interval_s = 0.1
points = [{{ name = "{counter}", address = 0, type = "uint32", means = "count", rollover = 4294967296 }}]

[[station]]
id = "portal"
activity = "receipt"

[[device]]
id = "portal-1"
station = "portal"
driver = "rfid-reader"
profile = "zebra-iot-connector"
topic = "zebra/portal-1/tags"
depart_after_s = 60.0

[[station]]
id = "floor"

[[device]]
id = "hh-*"
station = "floor"
driver = "handheld"
"""

_DOCK = """
[[station]]
id = "dock-{number}"
activity = "receipt"

[[device]]
id = "dock-{number}-scanner"
station = "dock-{number}"
driver = "serial-scanner"
url = "{url}"
terminator = "\\r"
start = "aim"
acknowledge = "ack-nak"
"""


def demo_configuration(folder: Path, site: Site, *, listener: int, api: int) -> str:
    """Return the TOML text for a gateway at `site` that keeps its state below `folder`."""
    text = _HEAD.format(
        state=folder / "state",
        listener=listener,
        api=api,
        uplink=site.uplink.port,
        plc=site.plc.port,
        press=PRESS,
        counter=COUNTER,
    )
    docks = (_DOCK.format(number=number, url=scanner.port.url) for number, scanner in enumerate(site.scanners, start=1))
    return text + "".join(docks)
