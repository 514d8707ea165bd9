"""An event with much in it, as it is delivered."""

from typing import Any


def receipt(**data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "sequence": "00000000000000000042",
        "id": "019aa5b0-1c00-7abc-8def-0123456789ab",
        "source": "//dc07/dock-pc-1/0a1b2c3d4e5f",
        "type": "dockline.receipt.v1",
        "subject": "dock-3",
        "time": "2026-11-21T09:00:00.250+01:00",
        "datacontenttype": "application/json",
        "dataschema": "urn:dockline:schema:receipt:v1",
        "data": {
            "site": "dc07",
            "station": "dock-3",
            "activity": "receipt",
            "read_point": "urn:epc:id:sgln:9521321.00003.0",
            "business_location": "urn:epc:id:sgln:9521321.00000.0",
            "biz_step": "receiving",
            "occurred_at": "2026-11-21T09:00:00.250+01:00",
            "captured_at": "2026-11-21T08:00:00.300Z",
            "clock": "synchronised",
            "device": {"id": "dock-3-scanner"},
            "document": {"id": "ASN 1001", "type": "asn"},
            "item": {"gtin": "09521234543213", "lot": "L/7"},
            "quantity": {"value": "12.5", "unit": "KGM"},
            "to_location": "A-01-03",
            **data,
        },
    }
