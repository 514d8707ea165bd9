"""Configurations that several tests start from."""

SMALLEST = """\
[site]
id = "dc07"
gateway = "dock-pc-1"

[storage]
path = "/var/lib/dockline"

[[upstream]]
name = "centre"
url = "https://wms.example/v1/events"

[[station]]
id = "dock-3"

[[device]]
id = "dock-3-scanner"
station = "dock-3"
driver = "serial-scanner"
url = "serial:///dev/ttyUSB0?baudrate=9600"
"""
