"""Every alarm the code can raise stands in docs/alarms.md, and no other does."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from buffer import incident
from sync import answer

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "alarms.md").read_text()
PASSED_ON = {"one.kind", "state.alarm.code", "error.code", "code"}
"""Codes that were given by somebody else, who is looked at himself."""
CODE = re.compile(r"[a-z]+(_[a-z]+)+")
LINKS = {"f\"device_{link.state.replace('-', '_')}\"": {"down", "faulty", "degraded", "silent", "no_storage"}}


def codes_in(source: str, *, is_sync: bool) -> Iterator[str]:
    """Yield the codes of one file. Raises AssertionError for one that cannot be known from here."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id="AlarmStatus" | "Alarm"), args=[first, *_]):
                yield from codes_of(first)
            case ast.Call() if is_sync:
                for given in (word.value for word in node.keywords if word.arg == "code"):
                    yield from codes_of(given)
            case ast.Assign(targets=[target]) if is_sync and "code" in re.findall(r"\w+", ast.unparse(target)):
                yield from filter(CODE.fullmatch, strings_in(node.value))


def strings_in(node: ast.expr) -> list[str]:
    return [one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)]


def codes_of(node: ast.expr) -> set[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    text = ast.unparse(node)
    assert text in PASSED_ON or text in LINKS, f"which codes can {text} be? Say so in {__name__}"
    return {f"device_{state}" for state in LINKS.get(text, ())}


def raised() -> set[str]:
    found = {value for name, value in vars(incident).items() if name.isupper() and isinstance(value, str)}
    found -= {incident.ACKNOWLEDGED}
    found |= {code for code, _ in answer._HOLD_HINTS.values()}
    for package in ("gateway", "drivers", "buffer", "sync"):
        for path in (ROOT / package).rglob("*.py"):
            found |= set(codes_in(path.read_text(), is_sync=package == "sync"))
    return found


def told() -> dict[str, tuple[str, str]]:
    found = {}
    for names, meaning, advice in re.findall(r"^\| (`\w+`[^|]*) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE):
        found |= dict.fromkeys(re.findall(r"`(\w+)`", names), (meaning, advice))
    return found


def test_every_alarm_is_on_the_page_and_no_other() -> None:
    assert raised() == set(told())


def test_every_alarm_says_what_to_do() -> None:
    assert [name for name, (meaning, advice) in told().items() if len(meaning) < 10 or len(advice) < 10] == []


def test_an_alarm_of_a_new_code_would_be_noticed() -> None:
    assert list(codes_in('AlarmStatus("disk_grumbles", "storage", "")', is_sync=False)) == ["disk_grumbles"]
    assert list(codes_in('raise UpstreamHolds("no", code="upstream_grumbles")', is_sync=True)) == ["upstream_grumbles"]
    with pytest.raises(AssertionError):
        list(codes_in("AlarmStatus(name, 'storage', '')", is_sync=False))
