"""Where in a TOML file each key stands.

Theory of operation. `tomllib` gives values without positions, and a complaint without a line number sends a
technician hunting. This scanner walks a document that `tomllib` has already accepted, so it never has to judge: it
only finds where keys, headers, array elements and inline tables begin. It knows the four kinds of strings, comments,
arrays of tables and dotted keys; every other value is "anything up to a separator".

A path is a tuple of keys and indices as they would be used on the parsed document: `("device", 1, "url")`.
"""

from __future__ import annotations

import tomllib
from bisect import bisect_right

Path = tuple[str | int, ...]

_BARE_END = frozenset(" \t\r\n.=]#")
_SCALAR_END = frozenset(",]}#\r\n")


class Positions:
    """Line numbers (from 1) of the keys of one document."""

    def __init__(self, text: str) -> None:
        """Scan `text`, which must be valid TOML."""
        self._lines: dict[Path, int] = {(): 1}
        self._array_length: dict[Path, int] = {}
        self._starts = [0, *(index + 1 for index, char in enumerate(text) if char == "\n")]
        self._text = text
        self._at = 0
        self._scan_document()

    def __contains__(self, path: Path) -> bool:
        return path in self._lines

    def paths(self) -> frozenset[Path]:
        """Return every path that was found, the root `()` included."""
        return frozenset(self._lines)

    def line(self, path: Path) -> int:
        """Return the line of `path`, or of its nearest ancestor that stands in the file."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    # -- document level

    def _scan_document(self) -> None:
        table: Path = ()
        while self._skip_blank():
            if self._text.startswith("[[", self._at):
                table = self._scan_array_header()
            elif self._text[self._at] == "[":
                table = self._scan_table_header()
            else:
                self._scan_pair(table)

    def _scan_table_header(self) -> Path:
        start = self._at
        self._at += 1
        path = self._resolve(self._scan_key())
        self._at += 1
        self._note_with_parents(path, start)
        return path

    def _scan_array_header(self) -> Path:
        start = self._at
        self._at += 2
        keys = self._scan_key()
        self._at += 2
        array = (*self._resolve(keys[:-1]), keys[-1])
        index = self._array_length.get(array, 0)
        self._array_length[array] = index + 1
        self._note_with_parents(array, start)
        element = (*array, index)
        self._note(element, start)
        return element

    def _resolve(self, keys: tuple[str, ...]) -> Path:
        """A header through an array of tables means its latest element."""
        path: Path = ()
        for key in keys:
            path = (*path, key)
            if path in self._array_length:
                path = (*path, self._array_length[path] - 1)
        return path

    # -- keys and values

    def _scan_pair(self, table: Path) -> None:
        start = self._at
        path = (*table, *self._scan_key())
        self._at += 1  # the equals sign
        self._note_with_parents(path, start)
        self._skip_spaces()
        self._scan_value(path)

    def _scan_key(self) -> tuple[str, ...]:
        """Return the parts of a dotted key and stop at what follows it."""
        parts: list[str] = []
        while True:
            self._skip_spaces()
            parts.append(self._scan_key_part())
            self._skip_spaces()
            if self._text[self._at : self._at + 1] != ".":
                return tuple(parts)
            self._at += 1

    def _scan_key_part(self) -> str:
        start = self._at
        if self._text[start] in "\"'":
            self._scan_string()
            key: str = tomllib.loads("key = " + self._text[start : self._at])["key"]
            return key
        while self._at < len(self._text) and self._text[self._at] not in _BARE_END:
            self._at += 1
        return self._text[start : self._at]

    def _scan_value(self, path: Path) -> None:
        char = self._text[self._at]
        if char in "\"'":
            self._scan_string()
        elif char == "[":
            self._scan_array(path)
        elif char == "{":
            self._scan_inline_table(path)
        else:
            while self._at < len(self._text) and self._text[self._at] not in _SCALAR_END:
                self._at += 1

    def _scan_array(self, path: Path) -> None:
        self._at += 1
        index = 0
        while self._skip_blank() and self._text[self._at] != "]":
            if self._text[self._at] == ",":
                self._at += 1
                continue
            element = (*path, index)
            self._note(element, self._at)
            self._scan_value(element)
            index += 1
        self._at += 1

    def _scan_inline_table(self, path: Path) -> None:
        self._at += 1
        while self._skip_blank() and self._text[self._at] != "}":
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._scan_pair(path)
        self._at += 1

    def _scan_string(self) -> None:
        quote = self._text[self._at]
        if self._text.startswith(quote * 3, self._at):
            self._at = self._string_end(self._at + 3, quote * 3)
            # Up to two quotes may stand directly before the closing three.
            for _ in range(2):
                if self._text.startswith(quote, self._at):
                    self._at += 1
        else:
            self._at = self._string_end(self._at + 1, quote)

    def _string_end(self, start: int, closing: str) -> int:
        at = start
        while not self._text.startswith(closing, at):
            at += 2 if self._text[at] == "\\" and closing[0] == '"' else 1
        return at + len(closing)

    # -- blanks and notes

    def _skip_spaces(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in " \t":
            self._at += 1

    def _skip_blank(self) -> bool:
        """Move past white space and comments; return False at the end of the document."""
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif char in " \t\r\n":
                self._at += 1
            else:
                return True
        return False

    def _note_with_parents(self, path: Path, at: int) -> None:
        for length in range(1, len(path) + 1):
            self._note(path[:length], at)

    def _note(self, path: Path, at: int) -> None:
        """The first place wins: `[[device]]` is known by its first element."""
        self._lines.setdefault(path, bisect_right(self._starts, at))
