"""A batch is the stored bytes, joined."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upstream_events import SOURCE, entries, entry

from buffer.entry import Entry
from sync.batch import ENTRY_OVERHEAD_BYTES, cut_entries, gap_payload, join_batch


def join(rows: list[Entry], **how: object):  # type: ignore[no-untyped-def]
    return join_batch(lambda _seq: SOURCE, rows, **how)  # type: ignore[arg-type]


def test_every_event_is_its_stored_bytes_behind_its_sequence() -> None:
    rows = entries(8, 10)
    body = join(rows).body
    expected = b",".join(b'{"sequence":"%020d",' % row.seq + row.payload[1:] for row in rows)
    assert body == b"[" + expected + b"]"


def test_nothing_is_encoded_again() -> None:
    """Bytes that a JSON library would write differently stay as they are."""
    payload = b'{ "id":"x" , "data":{"price":1.10,"name":"M\\u00fcller","big":12345678901234567890.0} }'
    body = join([entry(1)._replace(payload=payload)]).body
    assert payload[1:] in body
    assert json.loads(body)[0]["sequence"] == "00000000000000000001"


def test_sequences_compare_as_text() -> None:
    """CloudEvents: `sequence` is ordered lexicographically."""
    found = [json.loads(join([entry(seq)]).body)[0]["sequence"] for seq in (9, 10, 99, 100, 2**63 - 1)]
    assert found == sorted(found)
    assert {len(text) for text in found} == {20}


def test_a_batch_tells_ids_first_last_source_and_chain() -> None:
    batch = join(entries(5, 7), chain="x")
    assert (batch.ids, batch.first, batch.last, len(batch)) == (("id-5", "id-6", "id-7"), 5, 7, 3)
    assert (batch.source, batch.chain, batch.retry) == (SOURCE, "x", False)


def test_a_gap_record_stands_where_the_entry_cannot() -> None:
    bad = entry(2, gap_reason="quarantined: GTIN")
    batch = join([entry(1), bad, entry(3)])
    events = json.loads(batch.body)
    assert batch.sequences == (1, 2, 3)
    record = events[1]
    assert record["type"] == "dockline.gap.v1"
    assert record["sequence"] == "00000000000000000002"
    assert record["id"] == batch.ids[1]
    assert record["id"].startswith("gap-id-2-")
    assert record["source"] == SOURCE
    assert record["subject"] == "dock-3"
    assert record["time"] == "2026-11-21T08:00:00.002Z"
    assert record["data"] == {
        "sequence": "00000000000000000002",
        "digest": bad.digest.hex(),
        "reason": "quarantined: GTIN",
    }
    assert b"code-2" not in batch.body


def test_a_gap_record_is_the_same_for_every_retry_and_another_for_another_reason() -> None:
    """One id with two contents would be a contradiction at the consumer."""
    bad = entry(2, gap_reason="quarantined: GTIN")
    assert gap_payload(SOURCE, bad) == gap_payload(SOURCE, bad)
    discarded = gap_payload(SOURCE, bad._replace(gap_reason="discarded: GTIN"))
    assert json.loads(discarded)["id"] != json.loads(gap_payload(SOURCE, bad))["id"]


def test_a_gap_record_of_a_damaged_row_or_a_run_needs_no_column_but_the_sequence() -> None:
    damaged = Entry(7, "", "", "", "", 0, b"", b"", b"", gap_reason="damaged")
    record = json.loads(gap_payload(SOURCE, damaged))
    assert record["id"].startswith("gap-00000000000000000007-")
    assert "subject" not in record
    assert "time" not in record
    run = json.loads(gap_payload(SOURCE, damaged._replace(gap_reason="skipped", gap_first=3)))
    assert run["data"]["first_sequence"] == "00000000000000000003"


def test_two_gap_records_that_tell_different_things_have_two_ids() -> None:
    """A run that begins earlier in a replay than it did at first; a damaged row whose digest is unreadable by now."""
    run = Entry(7, "", "", "", "", 0, b"", b"", b"", gap_reason="skipped", gap_first=3)
    damaged = run._replace(gap_reason="damaged", gap_first=None)
    told = [run, run._replace(gap_first=1), run._replace(gap_first=7), run._replace(gap_reason="missing")]
    told += [damaged, damaged._replace(digest=b"x")]
    assert len({json.loads(gap_payload(SOURCE, one))["id"] for one in told}) == len(told)


def test_a_gap_record_bears_the_source_its_sequence_was_given_under() -> None:
    rows = [entry(1, gap_reason="damaged"), entry(2, gap_reason="damaged")]
    body = join_batch(lambda seq: f"//dc07/dock-pc-1/e{seq}", rows).body
    assert [event["source"][-2:] for event in json.loads(body)] == ["e1", "e2"]


@pytest.mark.parametrize("captured_at", [-(10**15), 0, 10**18])
def test_a_clock_gone_mad_does_not_stop_a_gap_record(captured_at: int) -> None:
    assert gap_payload(SOURCE, entry(1, gap_reason="x")._replace(captured_at=captured_at))


def test_a_retry_is_marked_and_tells_gaps_like_any_other_batch() -> None:
    batch = join([entry(2), entry(3, gap_reason="quarantined: GTIN")], retry=True)
    assert batch.retry
    assert batch.ids[0] == "id-2"
    assert batch.ids[1].startswith("gap-id-3-")


@given(st.lists(st.integers(0, 400), min_size=1, max_size=30), st.integers(1, 40), st.integers(100, 6000))
def test_a_cut_fits_both_limits_and_is_never_empty(paddings: list[int], count_max: int, bytes_max: int) -> None:
    rows = [entry(seq, padding=padding) for seq, padding in enumerate(paddings, 1)]
    part = list(cut_entries(rows, count_max=count_max, bytes_max=bytes_max))
    assert part == rows[: len(part)]
    assert 1 <= len(part) <= count_max
    assert len(part) == 1 or len(join(part).body) <= bytes_max
    if len(part) < min(count_max, len(rows)):
        assert len(join(rows[: len(part) + 1]).body) > bytes_max


def test_a_cut_at_its_limits() -> None:
    rows = entries(1, 4)
    size = len(join(rows[:3]).body)
    assert len(cut_entries(rows, count_max=4, bytes_max=size)) == 3
    assert len(cut_entries(rows, count_max=4, bytes_max=size - 1)) == 2
    assert len(cut_entries(rows, count_max=3, bytes_max=10**6)) == 3
    assert len(join(rows[:2]).body) - len(join(rows[:1]).body) == len(rows[1].payload) + ENTRY_OVERHEAD_BYTES
