"""docs/commands.md: every command with its arguments, options and exit codes, for people; made from the program."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer

from gateway.cli import build_app
from gateway.cli.errors import EXIT_CODES

HEAD = """\
# Commands

This page is made from the program (`make docs`); nobody writes in it. `man dockline` and `dockline COMMAND --help` say
the same. Tab completes commands, options, and the names of devices, stations and upstreams.

What holds for all of them:

- Commands ask the running gateway over its local socket: root and the service's user may do everything, others look,
  and groups named in `[api]` what those give. Whoever is somebody else brings `--token-file`. Where that makes sense a
  command reads the outbox itself, read-only, when no gateway runs, and says so.
- `--config FILE` (or `DOCKLINE_CONFIG`) names the configuration; without it `/etc/dockline/gateway.toml`.
- `--json` prints what is listed or shown as JSON on standard output, without colours, whatever the terminal.
- Colours and live pictures are for terminals; `NO_COLOR` is obeyed. A pipe or a file gets plain text, a line an entry.
- What is wrong is one sentence on standard error, with a hint where there is one; never a traceback.
- What devices and centres said is printed with its control characters spelled out.
"""
GLOBAL = ("config", "as_json", "token_file")


def commands_page() -> str:
    """Return the text of the page."""
    program: Any = typer.main.get_command(build_app())
    parts = [HEAD, "## Exit codes\n", "| code | meaning |\n|---|---|"]
    parts += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    parts += ["\n## All commands\n", "| | |\n|---|---|"]
    named = list(_named(program))
    parts += [f"| [`{words}`](#{_anchor(words)}) | {_first(command)} |" for words, command in named]
    for words, command in named:
        parts += _section(words, command)
    return "\n".join(parts) + "\n"


def _named(program: Any) -> Iterator[tuple[str, Any]]:
    for name, command in sorted(program.commands.items()):
        below = getattr(command, "commands", None)
        if below is None:
            yield f"dockline {name}", command
        else:
            for child, one in sorted(below.items()):
                yield f"dockline {name} {child}", one


def _anchor(words: str) -> str:
    return re.sub(r"[^\w -]", "", words.lower()).replace(" ", "-")


def _section(words: str, command: Any) -> Iterator[str]:
    context = command.context_class(command, info_name=words)
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option"]
    usage = " ".join([words, *(piece for param in arguments for piece in param.get_usage_pieces(context)), "[OPTIONS]"])
    yield f"\n### {words}\n\n```text\n{usage}\n```\n\n{_help(command)}"
    rows = [_row(param, context) for param in (*arguments, *options) if param.name not in GLOBAL]
    if rows:
        yield "\n| | |\n|---|---|"
        yield from rows
    shared = [option for option in options if option.name in GLOBAL]
    if shared:
        yield f"\nAlso {', '.join(f'`{max(option.opts, key=len)}`' for option in shared)}."


def _row(param: Any, context: Any) -> str:
    record = param.get_help_record(context)
    names, text = record if record is not None else (param.human_readable_name, "")
    cell = " ".join(str(text).split()).replace("|", "\\|")
    named = (
        re.sub(r"<list\[(\w+)\]>", r"<\1> ...", " ".join(names.split()))
        .replace(" range>", ">")
        .replace("<str>", "<text>")
    )
    return f"| `{named}` | {cell} |"


def _help(command: Any) -> str:
    return inspect.cleandoc(command.help or "").partition("\f")[0]


def _first(command: Any) -> str:
    text = " ".join(_help(command).split("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".") + "."
