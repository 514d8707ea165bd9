"""Every log event the code can write stands in docs/log-events.md, with its level, and no other does."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("gateway", "drivers", "buffer", "sync")
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
LOGGERS = {"log", "_log", "logger", "logging"}
NAMED_BY_CALLERS = {
    ("gateway/supervisor.py", "_ended"): {"link_lost", "device_faulty", "device_no_storage"},
    ("gateway/checks_service.py", "_survived"): {"closing_failed", "counting_failed", "pull_failed", "watch_failed"},
}
"""Functions that put a name together or are given one, and the names that can come of it."""
PASSED_ON = {("drivers/mqtt_hall.py", "tell")}
"""Functions whose callers name the event as their first argument, in plain text."""
PAGE = ROOT / "docs" / "log-events.md"


def written() -> dict[str, set[str]]:
    """Return every event name with its levels; one is missing where a variable carries the line to the logger."""
    found: dict[str, set[str]] = {}
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for name, level in events_of(path.relative_to(ROOT).as_posix(), path.read_text()):
            found.setdefault(name, set()).update({level} if level else ())
    return found


def events_of(path: str, source: str) -> Iterator[tuple[str, str]]:
    """Yield (event, level) of one file. Raises AssertionError for a name that cannot be known from here."""
    tree = ast.parse(source)
    function_of = {
        inner: outer.name
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(outer)
    }
    level_of: dict[ast.AST, str] = {}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in calls:
        level = level_in(call)
        if level:
            level_of |= dict.fromkeys(ast.walk(call), level)
    for call in calls:
        where = (path, function_of.get(call, ""))
        if is_event(call):
            assert call.args, where
            yield from ((name, level_of.get(call, "")) for name in names_in(call.args[0], where))
        elif is_tell(call) and path.startswith("drivers/"):
            yield from ((name, "warning") for name in names_in(call.args[0], where))
        elif level_in(call) and where not in PASSED_ON and not is_only_a_line(call):
            yield from ((name, level_in(call)) for name in names_in(call.args[0], where))


def level_in(call: ast.Call) -> str:
    """Return the level of a call of a logger; "" for another call."""
    match call.func:
        case ast.Attribute(value=ast.Name(id=logger), attr=level) if logger in LOGGERS and level in LEVELS:
            return "error" if level == "exception" else level
    return ""


def is_event(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "event"


def is_tell(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "tell" and len(call.args) > 1


def is_only_a_line(call: ast.Call) -> bool:
    """True for `log.info("%s", line)`: the line was made by `event`, which is looked at itself."""
    first = call.args[0]
    return is_event(first) if isinstance(first, ast.Call) else isinstance(first, ast.Constant) and first.value == "%s"


def names_in(node: ast.expr, where: tuple[str, str]) -> set[str]:
    """Return the event names an argument can be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        found = re.match(r"[a-z]+(_[a-z]+)+(?= |$)", node.value)
        assert found, f"{where}: {node.value!r} does not begin with the name of an event, such as link_lost"
        return {found[0]}
    assert where in NAMED_BY_CALLERS, f"{where}: which events can {ast.unparse(node)} be? Say so in {__name__}"
    return NAMED_BY_CALLERS[where]


WRITTEN = written()


def documented() -> dict[str, tuple[set[str], str, str]]:
    """Return name -> (levels, meaning, what to do) of the page."""
    found: dict[str, tuple[set[str], str, str]] = {}
    for line in re.findall(r"^\| (`\w+`.*) \|$", PAGE.read_text(), re.MULTILINE):
        names, level, meaning, advice = line.split(" | ", 3)
        listed, levels = re.findall(r"`(\w+)`", names), level.split(", ")
        each = [{one} for one in levels] if len(levels) == len(listed) > 1 else [set(levels)] * len(listed)
        for name, its in zip(listed, each, strict=True):
            assert name not in found, name
            found[name] = (its, meaning, advice)
    return found


def test_every_event_the_code_can_write_is_on_the_page_and_no_other() -> None:
    assert set(WRITTEN) == set(documented())


def test_its_level_is_the_one_it_is_written_at() -> None:
    told = documented()
    assert {name: levels for name, levels in WRITTEN.items() if levels and levels != told[name][0]} == {}


def test_every_event_says_what_it_means_and_what_to_do() -> None:
    for name, (_, meaning, advice) in documented().items():
        assert meaning.endswith("."), name
        assert advice == "–" or len(advice) > 10, name


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('log.warning("%s", event("disk_grumbled", reason=1))', ("disk_grumbled", "warning")),
        ('_log.info("disk_grumbled reason=%s", 1)', ("disk_grumbled", "info")),
        ('hall.tell("peer_grumbled", "peer=%s", 1)', ("peer_grumbled", "warning")),
    ],
)
def test_an_event_in_any_of_the_three_ways_is_seen(source: str, said: tuple[str, str]) -> None:
    assert list(events_of("drivers/some.py", source)) == [said]


@pytest.mark.parametrize("source", ['log.error("Something broke: %s", 1)', "log.error('%s', event(name))"])
def test_a_line_without_a_name_would_be_noticed(source: str) -> None:
    with pytest.raises(AssertionError):
        list(events_of("gateway/some.py", source))
