"""The log: one line an event, and nothing a device says can forge a second one.

Theory of operation. Every package logs through the standard library: `log.warning("entry_quarantined seq=%d
reason=%s", ...)`, an event name (noun and past participle) and its fields. Here the lines are written: control
characters are escaped over the whole line, so a scanned newline or an ANSI sequence stays text; known secrets are
blotted out; lines of one event name beyond a rate are counted instead of written, and the count is named when that name
is next let through. Writing happens in a thread behind a bounded queue: a journal that stalls or a full disk costs log
lines, never a scan.

Under systemd each line begins with its syslog priority (`<4>`, sd-daemon(3)) and carries no time: the journal has one.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Literal

QUEUE_LINES_MAX = 10_000
EVENT_NAMES_MAX = 500
CLOSE_S = 1.0
LINE_CHARACTERS_MAX = 4000
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7))
# C0, DEL, C1, line and paragraph separators, the marks that turn the direction of text, and what has no width or no
# ink (Unicode: Default_Ignorable_Code_Point): none may reach a terminal. The page names the same ones.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
_NEEDS_QUOTES = re.compile(r"[\s\"=\\]|^$")
_EVENT_NAME = re.compile(r"[A-Za-z_][\w.-]*")
_FIELD = re.compile(r""" ([a-z_]+)=("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\S+)""")
_ESCAPED = re.compile(r"""\\(["'\\])""")

codecs.lookup("unicode_escape")
"""Found now: Python reads it from a file at its first use, and a process without file descriptors could not say so."""

_secrets: set[str] = set()


def keep_secret(text: str) -> None:
    """Never write `text` to the log from now on. Short texts are ignored: they would blot out ordinary words."""
    if len(text) >= 6:
        _secrets.add(text)


def forget_secret(text: str) -> None:
    """`text` opens nothing any more."""
    _secrets.discard(text)


def escape(text: str) -> str:
    """Return the text with control and direction characters spelled out, on one line."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def escape_lines(text: str) -> str:
    """Return the text with the same spelled out in each of its lines, for what is written by us and quotes others."""
    return "\n".join(map(escape, text.split("\n")))


def event(name: str, **fields: object) -> str:
    """Return a log line: `name key=value key="value with spaces"`. Absent (None) values are left out."""
    parts = [name]
    for key, value in fields.items():
        if value is None:
            continue
        text = escape(str(value))
        if _NEEDS_QUOTES.search(text):
            text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        parts.append(f"{key}={text}")
    return " ".join(parts)


class RateLimit(logging.Filter):
    """Lets `per_minute` lines of one event name through, and says later how many it held back."""

    def __init__(self, per_minute: int, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._per_minute = per_minute
        self._monotonic = monotonic
        self._buckets: dict[str, list[float]] = {}
        """Event name: tokens left, time of the last look, lines held back."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.CRITICAL:
            return True
        found = _EVENT_NAME.match(record.getMessage() if record.msg == "%s" else str(record.msg))
        # Messages without a name share one budget, else a flood could choose its own names.
        name = found[0] if found else "-"
        now = self._monotonic()
        if name not in self._buckets and len(self._buckets) >= EVENT_NAMES_MAX:
            name = "-"
        bucket = self._buckets.setdefault(name, [float(self._per_minute), now, 0])
        bucket[0] = min(self._per_minute, bucket[0] + (now - bucket[1]) * self._per_minute / 60)
        bucket[1] = now
        if bucket[0] < 1:
            bucket[2] += 1
            return False
        bucket[0] -= 1
        if bucket[2]:
            record.suppressed = int(bucket[2])
            bucket[2] = 0
        return True


class LineFormatter(logging.Formatter):
    """Writes a record as one safe line."""

    def __init__(self, shape: Literal["text", "json"], *, under_journal: bool) -> None:
        super().__init__()
        self._shape = shape
        self._under_journal = under_journal

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        suppressed = getattr(record, "suppressed", 0)
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        line = self._as_json(record, message, suppressed, trace) if self._shape == "json" else ""
        if not line:
            line = self._as_text(record, message, suppressed, trace)
        prefix = f"<{_priority(record.levelno)}>" if self._under_journal else ""
        return prefix + line

    def _as_text(self, record: logging.LogRecord, message: str, suppressed: int, trace: str) -> str:
        if suppressed:
            message += f" suppressed={suppressed}"
        if trace:
            message += f" trace={trace}"
        line = safe(message)
        if self._under_journal:
            return line
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{stamp}.{int(record.msecs):03d}Z {record.levelname.lower():8} {line}"

    def _as_json(self, record: logging.LogRecord, message: str, suppressed: int, trace: str) -> str:
        found = _EVENT_NAME.match(message)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        body = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": found[0] if found else "",
            "logger": record.name,
            "fields": fields_of(safe(message)),
            "message": safe(message),
        }
        if suppressed:
            body["suppressed"] = str(suppressed)
        if trace:
            body["trace"] = safe(trace)
        return json.dumps(body)


def fields_of(line: str) -> dict[str, str]:
    """Return the fields of a line behind its event name; of what is no such line as much as looks like one."""
    return {
        found[1]: _ESCAPED.sub(r"\1", found[2][1:-1]) if found[2][:1] in "\"'" else found[2]
        for found in _FIELD.finditer(line)
    }


def safe(text: str) -> str:
    """Return a text that may be written: secrets blotted out, control characters escaped, bounded."""
    for secret in _secrets:
        text = text.replace(secret, "(secret)")
    text = escape(text)
    return text if len(text) <= LINE_CHARACTERS_MAX else text[:LINE_CHARACTERS_MAX] + "(cut)"


class LogWriter(logging.Handler):
    """The running log.

    Formats in the caller, so that later changes to an argument are not logged; writes in a thread of its own. A line
    that cannot be written is lost and counted; the count is written as soon as something can be again.
    """

    def __init__(self, stream: IO[str], formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._stream = stream
        self._lines: queue.Queue[str | None] = queue.Queue(QUEUE_LINES_MAX)
        self.dropped = 0
        """Lines lost because they could not be written, or not fast enough."""
        self._told = 0
        """Of these, how many the log itself tells of."""
        # A daemon thread: one that hangs in a dead journal must not keep the process from ending.
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line; never waits."""
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Take no more lines, and write what is queued as far as the stream takes it within a moment."""
        logging.getLogger().removeHandler(self)
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=CLOSE_S)
        self._thread.join(CLOSE_S)
        super().close()

    @property
    def is_stuck(self) -> bool:
        """Closed, and its thread still hangs in a write. Python could not end then: it flushes the same stream."""
        return self._thread.is_alive()

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            lost = self.dropped - self._told
            # Only behind a line that could be written: on a full disk the words about it would not fit either.
            if self._put(line) and lost and self._put(self._words_for(lost)):
                self._told += lost
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def _put(self, line: str) -> bool:
        """Write a line; return whether that was possible."""
        try:
            self._stream.write(line + "\n")
            if self._lines.empty():
                self._stream.flush()
        except (OSError, ValueError):
            self.dropped += 1
            return False
        return True

    def _words_for(self, lost: int) -> str:
        text = event("log_lines_lost", count=lost, hint="what stands before this line is not all that happened")
        fields = {"msg": "%s", "args": (text,), "levelno": logging.WARNING, "levelname": "WARNING"}
        return self.format(logging.makeLogRecord(fields))


def start_log(
    stream: IO[str],
    *,
    level: str,
    shape: Literal["text", "json"],
    per_minute_max: int,
    environ: Mapping[str, str],
    monotonic: Callable[[], float],
) -> LogWriter:
    """Send every log line of the process to `stream`, which is normally standard error."""
    formatter = LineFormatter(shape, under_journal="JOURNAL_STREAM" in environ)
    writer = LogWriter(stream, formatter)
    writer.addFilter(RateLimit(per_minute_max, monotonic))
    root = logging.getLogger()
    root.setLevel(level.upper())
    root.addHandler(writer)
    # pymodbus dumps frames, the HTTP client every request; what matters of both is said by our own lines.
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    # Its warnings are about strangers, without a name or an address; the server says what matters of them.
    for noisy in ("uvicorn", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    return writer


def set_level(level: str) -> None:
    """Change the least severe level that is written."""
    logging.getLogger().setLevel(level.upper())


def _priority(level: int) -> int:
    return next((priority for least, priority in _PRIORITIES if level >= least), 7)
