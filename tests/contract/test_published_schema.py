"""What leaves the gateway is what the published schemas say, also where no model made it."""

import json

import jsonschema
import pytest
from site_under_test import check_event

from buffer.entry import Entry
from sync.batch import join_batch

SOURCE = "//dc07/dock-pc-1/e1"
QUARANTINED = Entry(
    7, "01990000-0000-7000-8000-000000000000", "dockline.pick.v1", "floor", "hh-1", 1_795_000_000_000, b"{}",
    b"\1" * 16, b"", gap_reason="quarantined: GTIN",
)  # fmt: skip
DAMAGED = Entry(8, "", "", "", "", 0, b"", b"", b"", gap_reason="damaged")
SKIPPED = Entry(12, "", "", "", "", 0, b"", b"", b"", gap_reason="skipped", gap_first=9)


@pytest.mark.parametrize("entry", [QUARANTINED, DAMAGED, SKIPPED], ids=lambda entry: str(entry.gap_reason))
def test_the_record_of_a_gap_is_published(entry: Entry) -> None:
    (record,) = json.loads(join_batch(lambda _: SOURCE, [entry]).body)
    check_event(record)


def test_an_event_without_its_sequence_is_not_what_is_delivered() -> None:
    (record,) = json.loads(join_batch(lambda _: SOURCE, [DAMAGED]).body)
    del record["sequence"]
    with pytest.raises(jsonschema.ValidationError, match="sequence"):
        check_event(record)
