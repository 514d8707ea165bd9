"""A sheet of labels is scanned, not believed."""

import pypdfium2
import pytest
from picture import scans

from gateway.sheet.code128 import QUIET_MODULES, code128
from gateway.sheet.label_sheet import MODULE_MM_MAX, MODULE_MM_MIN, PAPERS_MM, PrintedLabel, TooLong, label_sheet


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


def test_bars_keep_their_quiet_zones_where_columns_are_full() -> None:
    """ISO/IEC 15417: ten modules before the first bar and behind the last, also between two labels in a row."""
    text = "W" * 28
    modules = sum(code128(text)) + 2 * QUIET_MODULES
    width_mm = PAPERS_MM["a4"][0]
    column_mm = (width_mm - 24) / 2
    module_mm = column_mm / modules
    assert MODULE_MM_MIN <= module_mm < MODULE_MM_MAX, "the text fills its column"
    sheet = label_sheet("t", [PrintedLabel("g", "one", text), PrintedLabel("g", "two", text)], "a4")
    page = pypdfium2.PdfDocument(sheet)[0]
    bitmap = page.render(scale=20 / 72 * 25.4, grayscale=True)  # twenty pixels a millimetre
    # Through the bars of the first row: margin, title, heading, caption, half of the bars.
    row = bytes(bitmap.buffer)[((12 + 8 + 10 + 8 + 7) * 20) * bitmap.stride :][: bitmap.width]
    dark = [x / 20 for x, value in enumerate(row) if value < 128]
    left = [x for x in dark if x < width_mm / 2]
    right = [x for x in dark if x >= width_mm / 2]
    quiet_mm = QUIET_MODULES * module_mm
    assert left[0] - 12 >= quiet_mm - 0.1
    assert right[0] - left[-1] >= 2 * quiet_mm - 0.1


def test_a_text_that_no_paper_holds_is_refused() -> None:
    with pytest.raises(TooLong):
        label_sheet("dc07", labels(1, length=70), "a4")
