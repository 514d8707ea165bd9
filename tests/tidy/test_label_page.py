"""The page about labels says what the program says: every complete example of it is scanned."""

import html
import re
from pathlib import Path

import pytest

from gateway.capture.label import parse_label, split_symbology

PAGE = (Path(__file__).parents[2] / "docs" / "labels.md").read_text()
ROW = re.compile(r"^\| (?P<what>[^|]+) \| `(?P<example>[^`]+)` \| `(?P<code>[a-z_]+)` (?P<said>.+) \|$", re.MULTILINE)
EXAMPLES = [
    (found["example"], found["code"], html.unescape(found["said"]), "beside the event" in found["what"])
    for found in ROW.finditer(PAGE)
    if "..." not in found["example"] and not found["example"].startswith("DKL:")
]


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) > 14


@pytest.mark.parametrize(("example", "code", "said", "is_beside"), EXAMPLES)
def test_the_program_says_what_the_page_says(example: str, code: str, said: str, is_beside: bool) -> None:
    label = parse_label(*split_symbology(example, None), year=2026)
    assert label.kind == ("item" if is_beside else "problem")
    assert (label.problem or "barcode_mismatch") == code
    words = [re.escape(part) for part in said.split("...")]
    heard = label.remark if is_beside else label.text
    assert heard is not None
    assert re.fullmatch(".*".join(words), heard), heard
