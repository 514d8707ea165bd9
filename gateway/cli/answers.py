"""Answers at a terminal: each is checked by the loader and tried out; a wrong one is asked for again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from gateway.settings import Settings
    from gateway.setup.draft import Draft, Table
    from gateway.setup.trial import Tried
    from gateway.wiring import World

    Trial = Callable[[Settings], Coroutine[Any, Any, Tried | None]]

NEEDED = frozenset({"id", "gateway", "path", "url", "name", "bind", "certificate", "key"})
"""Keys whose question has no empty answer, unless it says so."""


@dataclass(slots=True)
class Answers:
    """Asks for what a draft lacks."""

    draft: Draft
    config: Path
    world: World

    def key(self, table: Table, key: str, question: str, place: str, *, default: str | None) -> None:
        """Ask for one value until the loader finds nothing wrong with it; an empty answer leaves the key out."""
        from gateway.setup.draft import problems_at

        while True:
            answer = ask(question, default)
            if answer:
                table[key] = answer  # in its place, when it has one
            elif default is None and key in NEEDED:
                bad("This cannot be left out.")
                continue
            else:
                table.pop(key, None)
            with self.draft.rehearsed(self.config) as found:
                wrong = problems_at(found, f"{place}.{key}")
            if not wrong:
                return
            for sentence in wrong:
                bad(sentence)

    def stands(self, tables: list[Table], place: str, trial: Trial) -> bool:
        """Return whether the last of `tables` is kept: it is sound, and works or is kept all the same."""
        from gateway.settings import SettingsError
        from gateway.setup.draft import problems_at

        with self.draft.rehearsed(self.config) as found:
            wrong = problems_at(found, place)
            for sentence in wrong:
                bad(sentence)
            if wrong:
                tables.pop()
                return False
            if isinstance(found, tuple):
                raise SettingsError(found)
            tried = asyncio.run(trial(found))
        if tried is None or tried.works:
            if tried is not None:
                good(tried.text)
            return True
        bad(tried.text)
        if tried.hint:
            print(f"    {tried.hint}")
        if typer.confirm("Keep it all the same?", default=False):
            return True
        tables.pop()
        return False


def ask(question: str, default: str | None, *, hide: bool = False) -> str:
    """Return an answer without white space around it; empty only where a default is given."""
    while True:
        shown = bool(default) and not hide
        answer = str(typer.prompt(question, default=default or "", show_default=shown, hide_input=hide)).strip()
        if answer or default is not None:
            return answer
        bad("This cannot be left out.")


def ask_number(question: str, default: str) -> str:
    """Return the digits of a number."""
    while not (answer := ask(question, default)).isdecimal():
        bad(f'"{answer}" is no number.')
    return answer


def ask_one_of(question: str, allowed: Sequence[str], default: str) -> str:
    """Return one of some words."""
    from gateway.settings.problem import did_you_mean

    while (answer := ask(question, default)) not in allowed:
        bad(f'"{answer}" is none of {", ".join(allowed)}. {did_you_mean(answer, allowed) or ""}'.rstrip())
    return answer


def heading(text: str) -> None:
    """Begin a group of questions."""
    from gateway.cli.show import print_line

    print_line(f"\n{text}", "bold")


def good(text: str) -> None:
    """Say that an answer proved true."""
    from gateway.cli.show import plain, print_line

    print_line(f"  ok: {plain(text)}", "green")


def bad(text: str) -> None:
    """Say what is wrong with an answer."""
    from gateway.cli.show import plain, print_line

    print_line(f"  no: {plain(text)}", "red")
