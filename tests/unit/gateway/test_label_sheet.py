"""A sheet of labels is scanned, not believed."""

import pytest
from picture import scans

from gateway.sheet.label_sheet import PAPERS_MM, PrintedLabel, TooLong, label_sheet


def labels(count: int, length: int = 12) -> list[PrintedLabel]:
    return [
        PrintedLabel(f"group {number // 9}", f"label {number}", f"DKL:{number:0{length}d}") for number in range(count)
    ]


@pytest.mark.parametrize("paper", PAPERS_MM)
def test_every_label_of_a_long_sheet_is_read_in_its_order(paper: str) -> None:
    wanted = labels(26)
    assert scans(label_sheet("dc07", wanted, paper)) == [("]C0", label.text) for label in wanted]


def test_long_texts_get_a_row_of_their_own() -> None:
    wanted = [*labels(2), *labels(3, length=34), *labels(1)]
    wanted = [PrintedLabel("one", label.caption, label.text) for label in wanted]
    assert scans(label_sheet("dc07", wanted, "a4")) == [("]C0", label.text) for label in wanted]


def test_a_text_that_no_paper_holds_is_refused() -> None:
    with pytest.raises(TooLong):
        label_sheet("dc07", labels(1, length=70), "a4")
