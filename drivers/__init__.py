"""The devices: bytes to readings. Knows no other package of the program."""

from drivers.contract import (
    Complains,
    DeviceFault,
    Driver,
    DriverError,
    Emit,
    FollowsFiles,
    Hears,
    LinkLost,
    Probes,
    StorageUnavailable,
)
from drivers.reading import (
    Measurement,
    Reading,
    Remark,
    ScanContext,
    TagRead,
    Verdict,
)

__all__ = [
    "Complains",
    "DeviceFault",
    "Driver",
    "DriverError",
    "Emit",
    "FollowsFiles",
    "Hears",
    "LinkLost",
    "Measurement",
    "Probes",
    "Reading",
    "Remark",
    "ScanContext",
    "StorageUnavailable",
    "TagRead",
    "Verdict",
]
