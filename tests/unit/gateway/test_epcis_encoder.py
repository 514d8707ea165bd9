"""Batches as EPCIS: where a voided event is found, and what has no form."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from epcis_events import receipt
from outbox_rig import Rig

from buffer import Draft
from gateway.epcis_encoder import EpcisEncoder
from gateway.events.epcis import decode
from gateway.wiring import _find_event
from sync.batch import Batch
from sync.epcis_capture import Unencodable

PICK = receipt()
VOID = {
    **receipt(voids=PICK["id"]),
    "id": "019aa5b0-1c00-7abc-8def-0123456789ff",
    "sequence": "00000000000000000043",
    "type": "dockline.void.v1",
    "dataschema": "urn:dockline:schema:void:v1",
}


def batch(*events: dict[str, Any]) -> Batch:
    numbers = tuple(range(1, len(events) + 1))
    return Batch("//dc07/dock-pc-1/e1", numbers, tuple(one["id"] for one in events), json.dumps(events).encode())


def encoder(known: dict[str, Any] | None = None) -> EpcisEncoder:
    async def find(event_id: str) -> dict[str, Any] | None:
        return (known or {}).get(event_id)

    return EpcisEncoder(find, hash_ids=False, wall=lambda: 0, sleep=asyncio.sleep)


async def encoded(made: EpcisEncoder, *events: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(one) for one in await made.encode(batch(*events)) if isinstance(one, bytes)]


@pytest.mark.parametrize("known", [None, {PICK["id"]: PICK}], ids=["same batch", "outbox"])
async def test_a_void_repeats_what_it_voids(known: dict[str, Any] | None) -> None:
    events = [VOID] if known else [PICK, VOID]
    corrected = (await encoded(encoder(known), *events))[-1]
    assert corrected["eventID"] == f"urn:uuid:{PICK['id']}"
    assert corrected["errorDeclaration"]["reason"] == "did_not_occur"
    assert decode(corrected) == VOID


async def test_a_void_whose_event_is_gone_is_told_all_the_same() -> None:
    """Retention took the original: the consumer still has to hear of the void."""
    (told,) = await encoded(encoder(), VOID)
    assert "errorDeclaration" not in told
    assert told["dockline:voids"] == PICK["id"]
    assert decode(told) == VOID


async def test_what_has_no_form_is_named_and_stops_nothing() -> None:
    outcomes = await encoder().encode(batch(PICK, {"id": "x", "type": "dockline.pick.v1"}, PICK))
    assert [type(one) for one in outcomes] == [bytes, Unencodable, bytes]
    assert isinstance(outcomes[1], Unencodable)
    assert "no form in EPCIS" in outcomes[1].reason


async def test_an_event_is_found_in_the_outbox_as_it_was_delivered(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    outbox = await rig.open()
    stored = {name: value for name, value in PICK.items() if name != "sequence"}
    draft = Draft(PICK["id"], PICK["type"], "dock-3", "dock-3-scanner", rig.wall_ms, json.dumps(stored).encode())
    await outbox.append([draft])
    assert _find_event(tmp_path, PICK["id"]) == {**PICK, "sequence": "00000000000000000001"}
    assert _find_event(tmp_path, "unknown") is None
    await outbox.close(5)
