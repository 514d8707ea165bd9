"""Loaded by every Python that has this folder in PYTHONPATH: makes the bug named by PLANTED_BUG part of the program.

In the process of the tests and in every gateway they start. The text of one module is changed while it is loaded;
nothing on disk is.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

ROOT = Path(__file__).parents[3]
BUGS = ROOT / "tests" / "data" / "planted_bugs.toml"


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module with one piece of its text exchanged."""

    def __init__(self, name: str, path: str, old: str, new: str) -> None:
        super().__init__(name, path)
        self._old, self._new = old, new

    def get_code(self, fullname: str) -> CodeType:
        text = self.get_data(self.path).decode()
        if text.count(self._old) != 1:
            sys.exit(f"the text to exchange occurs {text.count(self._old)} times in {self.path}: {self._old!r}")
        return compile(text.replace(self._old, self._new), self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds that one module."""

    def __init__(self, file: Path, old: str, new: str) -> None:
        self._name = ".".join(file.with_suffix("").parts)
        self._loader = (str(ROOT / file), old, new)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        file, old, new = self._loader
        return importlib.machinery.ModuleSpec(fullname, _Loader(fullname, file, old, new), origin=file)


def _plant(name: str) -> None:
    bugs = tomllib.loads(BUGS.read_text())["bug"]
    bug = next(bug for bug in bugs if bug["name"] == name)
    sys.meta_path.insert(0, _Finder(Path(bug["file"]), bug["old"], bug["new"]))


if os.environ.get("PLANTED_BUG"):
    _plant(os.environ["PLANTED_BUG"])
