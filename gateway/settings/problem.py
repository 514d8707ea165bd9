"""What is wrong with a configuration, in words for a technician.

SettingsError      the operator's file; exit code 78, which the unit does not restart
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in one file."""

    file: str
    line: int
    path: str
    """Where: `device[2].url` is the key `url` of the second `[[device]]`. Empty for the file as a whole."""
    what: str
    suggestion: str | None = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: "
        path = f"{self.path}: " if self.path else ""
        tail = f"; {self.suggestion}" if self.suggestion else ""
        return f"{where}{path}{self.what}{tail}"


class SettingsError(Exception):
    """The configuration cannot be used."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.file, problem.line, problem.path)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def path_text(path: Sequence[str | int]) -> str:
    """Return a path as people write it, elements counted from one: `device[2].url`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            text += f".{part}" if text else part
    return text


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return "did you mean ..." with the nearest known word, or None when nothing is near."""
    candidates = sorted(set(known))
    lowered = {candidate.lower(): candidate for candidate in candidates}
    near = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.55)
    return f'did you mean "{lowered[near[0]]}"?' if near else None


def one_of(words: Iterable[str]) -> str:
    """Return "one of a, b, c"."""
    return "one of " + ", ".join(f'"{word}"' for word in words)
