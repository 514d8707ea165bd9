"""The page about labels says what the program says: every complete example of it is scanned."""

import html
import re
from pathlib import Path

import pytest

from gateway.capture.label import parse_label, split_symbology

PAGE = (Path(__file__).parents[2] / "docs" / "labels.md").read_text()
ROW = re.compile(r"^\| [^|]+ \| `(?P<example>[^`]+)` \| `(?P<code>[a-z_]+)` (?P<said>.+) \|$", re.MULTILINE)
EXAMPLES = [
    (found["example"], found["code"], html.unescape(found["said"]))
    for found in ROW.finditer(PAGE)
    if "..." not in found["example"] and not found["example"].startswith("DKL:")
]


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) > 14


@pytest.mark.parametrize(("example", "code", "said"), EXAMPLES)
def test_the_program_says_what_the_page_says(example: str, code: str, said: str) -> None:
    label = parse_label(*split_symbology(example, None), year=2026)
    assert label.kind == "problem"
    assert label.problem == code
    words = [re.escape(part) for part in said.split("...")]
    assert re.fullmatch(".*".join(words), label.text), label.text
