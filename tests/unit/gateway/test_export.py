"""The table of `dockline events export`: what comes from labels is text in a spreadsheet, never a formula."""

import csv
import io
import json

import pytest

from gateway.export import as_csv


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
