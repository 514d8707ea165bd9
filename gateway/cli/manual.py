"""Man pages and shell completion, written from the commands themselves when the package is built.

    python -m gateway.cli.manual --date 2026-11-25 FOLDER

makes `man1/dockline.1`, one page a command (`dockline-events.1` has its sub-commands), and `dockline.bash`, `.zsh` and
`.fish`. What a page says is what `--help` says: there is one text.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SHELLS = ("bash", "zsh", "fish")
SEE_ALSO = "dockline(1), systemctl(1), journalctl(1)"


def main() -> None:
    """Write everything into the folder that the command line names."""
    parser = argparse.ArgumentParser(description="Write man pages and shell completion.")
    parser.add_argument("--date", required=True, help="date on the pages, YYYY-MM-DD")
    parser.add_argument("folder", type=Path)
    wanted = parser.parse_args()
    write_manual(wanted.folder, date=wanted.date)


def write_manual(folder: Path, *, date: str) -> None:
    """Write the man pages and completion scripts of the program into `folder`."""
    (folder / "man1").mkdir(parents=True, exist_ok=True)
    for name, text in pages(date):
        (folder / "man1" / f"{name}.1").write_text(text)
    for shell in SHELLS:
        (folder / f"dockline.{shell}").write_text(completion(shell))


def completion(shell: str) -> str:
    """Return the script that has a shell ask the program itself."""
    from typer._completion_shared import get_completion_script

    from gateway.cli.errors import COMPLETE_VARIABLE

    script = get_completion_script(prog_name="dockline", complete_var=COMPLETE_VARIABLE, shell=shell)
    if shell == "zsh":
        # zsh takes the file as the body of the function that it calls at each Tab: then it has to complete, and not
        # to say who will at the next one. Only where somebody sources it, there is no completion under way.
        named = "compdef _dockline_completion dockline"
        head, found, rest = script.rpartition(named)
        assert found, "typer writes another script now"
        is_called = "(( ${+compstate} ))"
        script = f"{head}if {is_called}; then\n  _dockline_completion\nelse\n  {named}\nfi{rest}"
    return script + "\n"


def pages(date: str) -> Iterator[tuple[str, str]]:
    """Yield name and text of each man page: the program, and each command with what is below it."""
    import typer

    from gateway.cli import EPILOG, build_app

    program: Any = typer.main.get_command(build_app())
    below = [(name, command) for name, command in sorted(program.commands.items()) if not command.hidden]
    lines = [*_head("dockline", date, _first_sentence(program)), ".SH SYNOPSIS", ".B dockline", "COMMAND [OPTIONS]"]
    lines += [".SH DESCRIPTION", *_text(_help(program)), ".SH COMMANDS"]
    for name, command in below:
        lines += [".TP", f".BR {_escape(f'dockline-{name}')} (1)", *_text(_first_sentence(command))]
    lines += [".SH OPTIONS", *_options(program), ".SH EXIT STATUS", *_text(EPILOG.removeprefix("Exit codes: "))]
    lines += [".SH FILES", *_files(), ".SH SEE ALSO", *_text(", ".join(f"dockline-{name}(1)" for name, _ in below))]
    yield "dockline", _joined(lines)
    for name, command in below:
        yield f"dockline-{name}", _page(name, command, date)


def _page(name: str, command: Any, date: str) -> str:
    lines = [*_head(f"dockline-{name}", date, _first_sentence(command)), ".SH SYNOPSIS"]
    children = sorted(getattr(command, "commands", {}).items())
    if not children:
        lines += [*_synopsis(f"dockline {name}", command), ".SH DESCRIPTION", *_text(_help(command))]
        lines += [".SH OPTIONS", *_options(command)]
    else:
        for child, one in children:
            lines += [*_synopsis(f"dockline {name} {child}", one), ".br"]
        lines += [".SH DESCRIPTION", *_text(_help(command))]
        for child, one in children:
            lines += [f".SS {_escape(f'dockline {name} {child}')}", *_text(_help(one)), *_options(one)]
    return _joined([*lines, ".SH SEE ALSO", *_text(SEE_ALSO)])


def _head(name: str, date: str, summary: str) -> list[str]:
    title = f'.TH "{name.upper()}" "1" "{date}" "dockline" "Dockline"'
    return [title, ".SH NAME", f"{_escape(name)} \\- {_escape(summary.rstrip('.'))}"]


def _synopsis(words: str, command: Any) -> list[str]:
    context = _context(command)
    arguments = [piece for param in command.params if _is_argument(param) for piece in param.get_usage_pieces(context)]
    return [f".B {_escape(words)}", _escape(" ".join(["[OPTIONS]", *arguments]))]


def _options(command: Any) -> Iterator[str]:
    for param in command.params:
        record = param.get_help_record(_context(command))
        if record is None:
            continue
        names, text = record
        yield ".TP"
        yield f".B {_escape(names.strip())}"
        yield from _text(text or "")
    yield ".TP"
    yield ".B \\-\\-help"
    yield "Show the help and exit."


def _files() -> list[str]:
    known = (
        ("/etc/dockline/gateway.toml", "The configuration."),
        ("/opt/dockline/share/dockline/config/gateway.toml", "Every key there is, with a comment."),
        ("/var/lib/dockline", "The outbox."),
    )
    return [line for path, text in known for line in (".TP", f".I {_escape(path)}", text)]


def _context(command: Any) -> Any:
    return command.context_class(command, info_name=command.name)


def _is_argument(param: Any) -> bool:
    return bool(param.param_type_name == "argument")


def _help(command: Any) -> str:
    return inspect.cleandoc(command.help or "").partition("\f")[0]


def _first_sentence(command: Any) -> str:
    return " ".join(_help(command).split("\n\n")[0].split()).partition(". ")[0].rstrip(".") + "."


def _text(text: str) -> list[str]:
    """Return roff lines for plain text: its paragraphs, filled."""
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]
    return [line for part in paragraphs for line in (_escape(part), ".PP")][:-1]


def _escape(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace(" ·", ";")
    return f"\\&{escaped}" if escaped[:1] in {".", "'"} else escaped


def _joined(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
