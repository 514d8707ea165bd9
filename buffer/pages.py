"""Rows out of the pages of a broken database, without its indexes, its schema or its page map.

SQLite finds rows through a tree; when a page of that tree is gone, so is everything below it. But every leaf page
describes itself, so this module looks at each page of the file and of the write-ahead log by itself and decodes what
it says. What comes out is a guess: the caller believes a row when its digest, or its chain, says so.

The format is that of https://www.sqlite.org/fileformat2.html, sections 1.6 (b-tree pages), 2.1 (records) and 4 (log).
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

PAGE_BYTES = 4096
WAL_HEAD_BYTES = 32
FRAME_HEAD_BYTES = 24
FRAME_BYTES = FRAME_HEAD_BYTES + PAGE_BYTES
FILE_HEAD_BYTES = 100
_WAL_MAGIC = b"\x37\x7f\x06"
"""Then 0x82 or 0x83: the order of bytes in its checksums."""

TABLE_LEAF, INDEX_LEAF, INDEX_INTERIOR = 0x0D, 0x0A, 0x02
_TABLE_LOCAL_MAX = PAGE_BYTES - 35
_INDEX_LOCAL_MAX = (PAGE_BYTES - 12) * 64 // 255 - 23
_LOCAL_MIN = (PAGE_BYTES - 12) * 32 // 255 - 23
_OVERFLOW_BYTES = PAGE_BYTES - 4
RECORD_BYTES_MAX = 64 * 1024 * 1024
COLUMNS_MAX = 32
_INT_BYTES = (0, 1, 2, 3, 4, 6, 8)

Value = None | int | float | str | bytes


class Era(IntEnum):
    """How old a page is."""

    LEFT_OVER = 0
    """In the log, from an older turn: whatever it says has long been in the file."""
    PRESENT = 1
    """In the file, or in the part of the log that SQLite reads."""
    BEYOND = 2
    """In the log, behind the point where SQLite stops reading it."""


class Row(NamedTuple):
    """One decoded row."""

    rowid: int | None
    """None for a row of a table WITHOUT ROWID."""
    values: tuple[Value, ...]
    era: Era


class Frame(NamedTuple):
    """The head of one frame of the log."""

    page: int
    ends_commit: bool
    salt: bytes


def frames(wal: Path) -> list[Frame]:
    """Return the heads of the frames of a log, complete ones only; empty when there is no log."""
    try:
        size = wal.stat().st_size
        with wal.open("rb") as file:
            found = []
            for at in range(WAL_HEAD_BYTES, size - FRAME_BYTES + 1, FRAME_BYTES):
                file.seek(at)
                page, database_pages, salt = struct.unpack(">II8s", file.read(16))
                found.append(Frame(page, database_pages != 0, salt))
            return found
    except FileNotFoundError:
        return []


def current_salt(wal: Path, heads: list[Frame]) -> bytes | None:
    """Return the salt of the present turn of a log; when its head is broken, the one most frames have."""
    if not heads:
        return None
    with wal.open("rb") as file:
        head = file.read(WAL_HEAD_BYTES)
    if head[:3] == _WAL_MAGIC and checksum(head[:24], head, (0, 0)) == struct.unpack(">II", head[24:32]):
        return head[16:24]
    return Counter(frame.salt for frame in heads).most_common(1)[0][0]


def checksum(content: bytes, wal_head: bytes, before: tuple[int, int]) -> tuple[int, int]:
    """Return the running checksum of a log after `content`; its words are as the head of the log says."""
    order = ">" if wal_head[3] & 1 else "<"
    first, second = before
    words = struct.unpack(f"{order}{len(content) // 4}I", content)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


def first_broken_frame(wal: Path, heads: list[Frame], after: int) -> int:
    """Return the index of the first frame at or behind index `after` whose checksum fails; the count when none does."""
    with wal.open("rb") as file:
        head = file.read(WAL_HEAD_BYTES)
        if after:
            file.seek(WAL_HEAD_BYTES + (after - 1) * FRAME_BYTES + 16)
            before = struct.unpack(">II", file.read(8))
        else:
            before = struct.unpack(">II", head[24:32])
        for number in range(after, len(heads)):
            file.seek(WAL_HEAD_BYTES + number * FRAME_BYTES)
            frame = file.read(FRAME_BYTES)
            before = checksum(frame[:8] + frame[FRAME_HEAD_BYTES:], head, before)
            if heads[number].salt != head[16:24] or before != struct.unpack(">II", frame[16:24]):
                return number
    return len(heads)


class Pages:
    """Every page of a database and of its log."""

    def __init__(self, database: Path, wal: Path | None, frames_taken: int) -> None:
        """A file that is not there has no pages. `wal` None: the log is not to be looked at. SQLite took so many of
        its frames."""
        self._taken = frames_taken
        self._database = database.open("rb") if database.exists() else None
        self._pages = 0 if self._database is None else -(-database.stat().st_size // PAGE_BYTES)
        heads = frames(wal) if wal is not None else []
        self._wal = wal.open("rb") if wal is not None and heads else None
        salt = None if wal is None else current_salt(wal, heads)
        self._of_turn = max((number + 1 for number, frame in enumerate(heads) if frame.salt == salt), default=0)
        self._frames = heads
        self._frames_of: dict[int, list[int]] = {}
        for number, frame in enumerate(heads):
            self._frames_of.setdefault(frame.page, []).append(number)

    def close(self) -> None:
        """Close the files."""
        for file in (self._database, self._wal):
            if file is not None:
                file.close()

    def rows(self, *, log_only: bool = False, wanted: Callable[[int], bool] | None = None) -> Iterator[Row]:
        """Decode every row of every page: of the file first, then of the log in the order in which it was written.

        With `wanted`, of what SQLite reads itself only rows with such a number: decoding is what takes the time.
        """
        for number in range(1, 1 if log_only else self._pages + 1):
            yield from self._rows_of(self._page(number), number == 1, Era.PRESENT, wanted, in_log=False)
        for number, frame in enumerate(self._frames):
            # A log is written from its beginning: what stands before a frame of this turn is of this turn, whatever
            # its own head says.
            era = Era.PRESENT if number < self._taken else Era.BEYOND if number < self._of_turn else Era.LEFT_OVER
            limit = None if era is Era.BEYOND else wanted
            yield from self._rows_of(self._frame(number), frame.page == 1, era, limit, in_log=True)

    @property
    def has_log(self) -> bool:
        """Whether there are frames to look at."""
        return bool(self._frames)

    def _page(self, number: int) -> bytes:
        assert self._database is not None
        self._database.seek((number - 1) * PAGE_BYTES)
        return self._database.read(PAGE_BYTES)

    def _frame(self, number: int) -> bytes:
        assert self._wal is not None
        self._wal.seek(WAL_HEAD_BYTES + number * FRAME_BYTES + FRAME_HEAD_BYTES)
        return self._wal.read(PAGE_BYTES)

    def _rows_of(
        self, page: bytes, is_first: bool, era: Era, wanted: Callable[[int], bool] | None, *, in_log: bool
    ) -> Iterator[Row]:
        for rowid, body, size, overflow in cells(page, FILE_HEAD_BYTES if is_first else 0):
            if wanted is not None and (rowid is None or not wanted(rowid)):
                continue
            if overflow:
                for whole in self._completed(body, size, overflow, in_log=in_log):
                    values = decode(whole)
                    if values is not None:
                        yield Row(rowid, values, era)
                continue
            values = decode(body)
            if values is not None:
                yield Row(rowid, values, era)

    def _completed(self, body: bytes, size: int, overflow: int, *, in_log: bool) -> Iterator[bytes]:
        """Yield the record with the rest that does not fit in its page: as in the file, and as in the log."""
        seen = set()
        for log_first in (in_log, not in_log):
            whole = self._chained(body, size, overflow, log_first=log_first)
            if whole is not None and whole not in seen:
                seen.add(whole)
                yield whole

    def _chained(self, body: bytes, size: int, page: int, *, log_first: bool) -> bytes | None:
        parts, have = [body], len(body)
        while have < size:
            content = self._newest(page, log_first=log_first)
            if content is None or len(content) < PAGE_BYTES:
                return None
            take = min(size - have, _OVERFLOW_BYTES)
            parts.append(content[4 : 4 + take])
            have += take
            (page,) = struct.unpack_from(">I", content)
        return b"".join(parts)

    def _newest(self, page: int, *, log_first: bool) -> bytes | None:
        in_file = self._page(page) if 0 < page <= self._pages else None
        in_log = self._frame(self._frames_of[page][-1]) if page in self._frames_of else None
        return (in_log or in_file) if log_first else (in_file or in_log)


def cells(page: bytes, head: int) -> Iterator[tuple[int | None, bytes, int, int]]:
    """Yield what each cell of a page holds: rowid, the bytes in this page, size of the whole, first overflow page."""
    if len(page) < PAGE_BYTES or page[head] not in (TABLE_LEAF, INDEX_LEAF, INDEX_INTERIOR):
        return
    kind = page[head]
    (count,) = struct.unpack_from(">H", page, head + 3)
    pointers = head + (12 if kind == INDEX_INTERIOR else 8)
    count = min(count, (PAGE_BYTES - pointers) // 2)
    local_max = _TABLE_LOCAL_MAX if kind == TABLE_LEAF else _INDEX_LOCAL_MAX
    for at in struct.unpack_from(f">{count}H", page, pointers):
        if kind == INDEX_INTERIOR:
            at += 4
        size, at = varint(page, at)
        rowid: int | None = None
        if kind == TABLE_LEAF:
            rowid, at = varint(page, at)
            if rowid >= 2**63:
                rowid -= 2**64
        if not 0 < size <= RECORD_BYTES_MAX or at >= PAGE_BYTES:
            continue
        if size <= local_max:
            if at + size <= PAGE_BYTES:
                yield rowid, page[at : at + size], size, 0
            continue
        local = _LOCAL_MIN + (size - _LOCAL_MIN) % _OVERFLOW_BYTES
        local = local if local <= local_max else _LOCAL_MIN
        if at + local + 4 <= PAGE_BYTES:
            (overflow,) = struct.unpack_from(">I", page, at + local)
            yield rowid, page[at : at + local], size, overflow


def varint(content: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place and the place behind it; zero past the end."""
    value = 0
    for _ in range(8):
        if at >= len(content):
            return 0, at
        octet = content[at]
        at += 1
        value = value << 7 | octet & 0x7F
        if octet < 0x80:
            return value, at
    if at >= len(content):
        return 0, at
    return value << 8 | content[at], at + 1


def decode(record: bytes) -> tuple[Value, ...] | None:
    """Return the columns of a record; None when it is none."""
    end, at = varint(record, 0)
    if not at < end <= len(record):
        return None
    body = end
    values: list[Value] = []
    while at < end:
        kind, at = varint(record, at)
        size = column_bytes(kind)
        if size is None or body + size > len(record) or len(values) >= COLUMNS_MAX:
            return None
        try:
            values.append(column(kind, record[body : body + size]))
        except UnicodeDecodeError:
            return None
        body += size
    return tuple(values) if body == len(record) else None


def column_bytes(kind: int) -> int | None:
    """Return how many bytes a column of a serial type takes; None for a type that does not exist."""
    if kind <= 6:
        return _INT_BYTES[kind]
    if kind == 7:
        return 8
    if kind in (8, 9):
        return 0
    return None if kind < 12 else (kind - 12) // 2


def column(kind: int, content: bytes) -> Value:
    """Return the value of a column. Raises UnicodeDecodeError for a text that is none."""
    if kind == 0:
        return None
    if kind <= 6:
        return int.from_bytes(content, "big", signed=True)
    if kind == 7:
        (number,) = struct.unpack(">d", content)
        return float(number)
    if kind in (8, 9):
        return kind - 8
    return content if kind % 2 == 0 else content.decode()
