"""The table of `dockline events export`: what comes from labels is text in a spreadsheet, never a formula."""

import csv
import io
import json

import pytest

from buffer import Entry
from gateway.export import as_csv, with_gaps


def row(**data: object) -> dict[str, str]:
    event = {"sequence": "1", "source": "//dc07/dock-pc-1/0", "id": "e", "type": "dockline.pick.v1", "data": data}
    (found,) = csv.DictReader(io.StringIO(b"".join(as_csv([event])).decode()))
    return found


@pytest.mark.parametrize(
    "code", ["=1+1", "=cmd|' /C calc'!A0", "+1-2", "-2+3", "@SUM(1)", "\t=1", "\r=1", "\n=1", "-", "=3"]
)
def test_what_a_spreadsheet_would_run_has_an_apostrophe_before_it(code: str) -> None:
    found = row(item={"lot": code}, operator=code, document={"id": code})
    assert (found["lot"], found["operator"], found["document"]) == (f"'{code}",) * 3
    assert json.loads(found["data"])["operator"] == code, "as it was scanned"


@pytest.mark.parametrize("text", ["A-1", "12", "-3.5", "+4", "09521234543213", "PL=1", "'", "", "a@b"])
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert row(quantity={"value": text}, operator=text)["quantity"] == text


@pytest.mark.parametrize(
    ("after", "through", "told"),
    [
        (None, 9, [4, "5-6", 7, "8-9"]),
        (None, 7, [4, "5-6", 7]),
        (None, 0, [4, "5-6", 7]),
        (1, 0, ["2-3", 4, "5-6", 7]),
        (3, 8, [4, "5-6", 7, "8-8"]),
    ],
)
def test_what_is_gone_between_two_events_is_told_in_its_place(after: int | None, through: int, told: list[str]) -> None:
    """`after`: somebody asked for what follows it; None: what left before the first event kept is no hole."""
    entries = [Entry(seq, "", "", "", "", 0, b"", b"", b"") for seq in (4, 7)]

    def gaps(first: int, last: int) -> list[Entry]:
        return [entries[0]._replace(seq=last, gap_first=first, gap_reason="skipped")]

    found = with_gaps(entries, gaps, after=after, through=through)
    assert [one.seq if one.gap_first is None else f"{one.gap_first}-{one.seq}" for one in found] == told


def test_nothing_kept_is_no_hole_unless_it_was_asked_for() -> None:
    gap = Entry(9, "", "", "", "", 0, b"", b"", b"")
    assert list(with_gaps([], lambda _first, _last: [gap], after=None, through=9)) == []
    assert list(with_gaps([], lambda _first, _last: [gap], after=3, through=9)) == [gap]
