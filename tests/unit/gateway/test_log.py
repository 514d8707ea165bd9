"""Nothing a device says forges a line, no secret is written, and no flood fills the disk."""

import errno
import io
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway import log as log_module
from gateway.log import LineFormatter, LogWriter, RateLimit, escape, event, keep_secret, start_log

HOSTILE = [
    "two\nlines",
    "\x1b[31mred\x1b[0m",
    "back\x08space and \r return",
    "right \u202eto left",
    "next\u2028line",
    "zero\u200bwidth",
    "c1 \x9b31m",
    "del\x7f",
    "half \ud800 of a pair",
    "soft\u00adhyphen",
    "hangul\u3164filler",
    "variation\ufe0f",
    "tag \U000e0041",
]


BOTH_QUOTES = "both \" and '"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def forget_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "_secrets", set())


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    level = logger.level
    yield logger
    logger.setLevel(level)


def open_log(stream: io.StringIO, *, shape: str = "text", per_minute: int = 1000, **environ: str) -> LogWriter:
    assert shape in ("text", "json")
    return start_log(
        stream,
        level="info",
        shape="json" if shape == "json" else "text",
        per_minute_max=per_minute,
        environ=environ,
        monotonic=Clock(),
    )


def record(message: str, *arguments: object, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("gateway", level, "", 0, message, arguments, None)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("shape", ["text", "json"])
def test_what_a_scanner_says_stays_on_its_line(text: str, shape: str, root: logging.Logger) -> None:
    stream = io.StringIO()
    writer = open_log(stream, shape=shape)
    root.warning("label_refused code=%s", text)
    writer.close()
    lines = stream.getvalue().split("\n")
    assert len(lines) == 2 and lines[1] == ""
    assert all(" " <= char < "\x7f" for char in lines[0])


def test_an_event_quotes_what_needs_it_and_leaves_out_what_is_absent() -> None:
    line = event("entry_quarantined", seq=8841, reason='SSCC "check" digit', hint=None, device_id="dock-3")
    assert line == 'entry_quarantined seq=8841 reason="SSCC \\"check\\" digit" device_id=dock-3'


def test_a_value_cannot_pretend_to_be_a_field() -> None:
    assert event("x", code="a b=c") == 'x code="a b=c"'


def test_a_line_begins_with_its_priority_under_the_journal() -> None:
    formatter = LineFormatter("text", under_journal=True)
    assert formatter.format(record("x_happened a=1", level=logging.ERROR)) == "<3>x_happened a=1"
    assert formatter.format(record("x_happened", level=logging.INFO)).startswith("<6>")


def test_json_lines_are_objects_with_the_event_named(root: logging.Logger) -> None:
    stream = io.StringIO()
    writer = open_log(stream, shape="json")
    root.error("link_lost device_id=%s", "dock-3")
    writer.close()
    found = json.loads(stream.getvalue())
    assert (found["event"], found["level"], found["message"]) == ("link_lost", "error", "link_lost device_id=dock-3")
    assert found["fields"] == {"device_id": "dock-3"}


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (event("entry_quarantined", seq=8, reason='says "no"', hint=None), {"seq": "8", "reason": 'says "no"'}),
        (event("x_happened", path="C:\\new folder"), {"path": "C:\\new folder"}),
        ("retry_not_settled upstream=a reason=" + repr("it's over"), {"upstream": "a", "reason": "it's over"}),
        (f"retry_not_settled reason={BOTH_QUOTES!r}", {"reason": BOTH_QUOTES}),
        ("no event at all = nothing", {}),
        ("", {}),
    ],
)
def test_the_fields_of_a_line_are_found_again(line: str, fields: dict[str, str]) -> None:
    assert log_module.fields_of(line) == fields


def test_a_secret_is_blotted_out_wherever_it_turns_up(root: logging.Logger) -> None:
    keep_secret("SECRET-7f3a")
    stream = io.StringIO()
    writer = open_log(stream)
    try:
        int("said SECRET-7f3a aloud")
    except ValueError:
        root.exception("request_failed header=%s", "Bearer SECRET-7f3a")
    writer.close()
    assert "SECRET-7f3a" not in stream.getvalue()
    assert "(secret)" in stream.getvalue()


def test_a_traceback_is_one_line(root: logging.Logger) -> None:
    stream = io.StringIO()
    writer = open_log(stream)
    try:
        int("x")
    except ValueError:
        root.exception("driver_failed")
    writer.close()
    assert stream.getvalue().count("\n") == 1
    assert "trace=Traceback" in stream.getvalue()


def test_a_flood_of_one_event_is_held_back_and_counted() -> None:
    clock = Clock()
    limit = RateLimit(10, clock)
    passed = [limit.filter(record("link_lost n=%d", number)) for number in range(1000)]
    assert sum(passed) == 10
    assert limit.filter(record("another_event")) is True
    clock.now += 6.0
    again = record("link_lost n=1000")
    assert limit.filter(again) is True
    assert again.suppressed == 990  # type: ignore[attr-defined]
    assert "suppressed=990" in LineFormatter("text", under_journal=True).format(again)


def test_the_event_name_is_found_behind_a_bare_placeholder() -> None:
    limit = RateLimit(1, Clock())
    assert limit.filter(record("%s", event("one_thing", n=1)))
    assert limit.filter(record("%s", event("other_thing", n=1)))
    assert not limit.filter(record("%s", event("one_thing", n=2)))


def test_names_chosen_by_a_flood_do_not_use_up_memory() -> None:
    limit = RateLimit(1, Clock())
    for number in range(5000):
        limit.filter(record(f"event_{number}"))
    assert len(limit._buckets) <= log_module.EVENT_NAMES_MAX + 1


def test_what_is_critical_is_never_held_back() -> None:
    limit = RateLimit(1, Clock())
    assert all(limit.filter(record("commit_unknown", level=logging.CRITICAL)) for _ in range(50))


def test_a_stream_that_cannot_be_written_costs_lines_and_nothing_else(root: logging.Logger) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    writer = open_log(Full())
    root.error("scan_stored seq=1")
    writer.close()


def test_a_stream_that_stalls_does_not_stall_the_caller(root: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal hangs: lines are dropped and counted, scans go on."""
    import threading

    release = threading.Event()

    class Stalled(io.StringIO):
        def write(self, text: str) -> int:
            release.wait(60)
            return len(text)

    monkeypatch.setattr(log_module, "QUEUE_LINES_MAX", 10)
    writer = open_log(Stalled())
    for number in range(50):
        root.error("scan_stored seq=%d", number)
    assert writer.dropped >= 39
    monkeypatch.setattr(log_module, "CLOSE_S", 0.01)
    writer.close()
    release.set()


def test_the_page_and_the_terminal_hide_the_same() -> None:
    """A code that shows a mark on the page and nothing in the terminal would be looked for twice."""
    source = (Path(log_module.__file__).parent / "web" / "page" / "dom.js").read_text()
    (found,) = re.findall(r"HIDDEN =\s*/(\[.*\])/gu;", source)
    hidden = re.compile(re.sub(r"\\u\{(\w+)\}", lambda one: f"\\U{one[1]:0>8}", found))
    differ = [one for one in range(0x110000) if bool(hidden.match(chr(one))) != (escape(chr(one)) != chr(one))]
    assert differ == []


def test_escape_leaves_ordinary_text_alone() -> None:
    assert escape("Müller & Söhne, 上海") == "Müller & Söhne, 上海"


class DeadJournal(io.StringIO):
    """A stream that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.let_go = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        self.let_go.wait(60)
        return super().write(text)


def test_a_log_that_hangs_says_so_when_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.11.2 of Debian waits for ever for a stream in which another thread hangs: the process must not."""
    monkeypatch.setattr(log_module, "CLOSE_S", 0.05)
    stream = DeadJournal()
    writer = LogWriter(stream, LineFormatter("text", under_journal=True))
    writer.emit(logging.LogRecord("x", logging.INFO, "", 0, "daemon_ready", (), None))
    assert stream.reached.wait(60)
    writer.close()
    assert writer.is_stuck
    stream.let_go.set()
    writer.close()
    assert not writer.is_stuck


class FullDisk(io.StringIO):
    """Takes nothing while it is full."""

    is_full = False

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_lines_that_did_not_fit_are_counted_and_told_once_when_there_is_room(root: logging.Logger) -> None:
    stream = FullDisk()
    writer = open_log(stream)
    logging.warning("before")
    wait_for(lambda: "before" in stream.getvalue())
    stream.is_full = True
    for _ in range(3):
        logging.warning("lost")
    wait_for(lambda: writer.dropped == 3)
    stream.is_full = False
    logging.warning("after")
    logging.warning("later")
    writer.close()
    lines = [line.split(maxsplit=2)[2] for line in stream.getvalue().splitlines()]
    assert lines[:2] == ["before", "after"]
    assert lines[2].startswith("log_lines_lost count=3")
    assert lines[3:] == ["later"]


def wait_for(is_so: Callable[[], bool]) -> None:
    """Return when the thread of the log has come so far."""
    for _ in range(100_000):
        if is_so():
            return
        threading.Event().wait(0.0001)
    raise AssertionError("the log stands still")
