"""How a command fails: one sentence, a hint, an exit code; never a traceback.

    Failure      what a command says when it cannot do what was asked

The codes are those of sysexits.h.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

EXIT_NOT_AS_HOPED = 1
EXIT_USAGE = 64
EXIT_NO_DAEMON = 69
EXIT_FAULT = 70
EXIT_IN_USE = 73
EXIT_DISK = 74
EXIT_NOT_ALLOWED = 77
EXIT_CONFIG = 78
EXIT_INTERRUPTED = 130

EXIT_CODES = {
    0: "done",
    EXIT_NOT_AS_HOPED: "not as hoped: an alarm, a failed check, something that is not there, a refusal",
    EXIT_USAGE: "wrong command line",
    EXIT_NO_DAEMON: "no daemon answers",
    EXIT_FAULT: "fault of the program; the sentence names a file to send in",
    71: "no memory (`run`)",
    EXIT_IN_USE: "outbox in use, or not to be created",
    EXIT_DISK: "disk or input/output error",
    EXIT_NOT_ALLOWED: "not allowed: a file, or what your role may do",
    EXIT_CONFIG: "configuration; systemd does not start the service again",
    EXIT_INTERRUPTED: "interrupted with Ctrl-C; the demo, the bench and simulators: by SIGTERM or SIGHUP too",
}
"""Code and meaning, for people; `daemon` has those of `run`."""

COMPLETE_VARIABLE = "_DOCKLINE_COMPLETE"
"""Set by the completion script of a shell."""


class Failure(Exception):
    """A command cannot do what was asked."""

    def __init__(self, message: str, *, hint: str | None = None, code: int = EXIT_NOT_AS_HOPED) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    import typer
    from typer.exceptions import TyperException

    from gateway.cli import build_app

    if COMPLETE_VARIABLE in os.environ:
        from typer._completion_classes import completion_init

        completion_init()  # a shell asks what the word under the cursor may be
    command = typer.main.get_command(build_app())
    try:
        code = command.main(list(arguments), prog_name="dockline", standalone_mode=False)
        # What is still buffered fails here, where it can be said, and not while Python ends.
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except Failure as failure:
        say(str(failure), failure.hint)
        return failure.code
    except TyperException as error:
        show = getattr(error, "show", None)
        show() if show is not None else say(str(error))
        return EXIT_USAGE
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output left (`| head`): not worth a word, and Python must not try to flush again.
        _silence_output()
        return 0
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            return 0  # the same, where a table was printed: rich has silenced the output and ends with 1
        raise
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        say(f"{what}{error.strerror or error}")
        _silence_output()
        return EXIT_NOT_ALLOWED if isinstance(error, PermissionError) else EXIT_DISK
    except Exception as bug:  # noqa: BLE001 - an operator sees a sentence, never a traceback
        say(f"Something went wrong that nobody foresaw ({type(bug).__name__}).", f"report it with {keep_trace()}")
        return EXIT_FAULT


def _silence_output() -> None:
    """Let nothing more be written to standard output, not even what is buffered, which Python would try as it ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(message: str, hint: str | None = None) -> None:
    """Print a failure to standard error. What it quotes of others tells the terminal nothing."""
    from gateway.log import escape_lines

    print(escape_lines(message), file=sys.stderr)
    if hint:
        print(escape_lines(f"  hint: {hint}"), file=sys.stderr)


def keep_trace() -> str:
    """Write the traceback of the exception in hand to a file of ours and return its path."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="dockline-trace-", suffix=".txt", delete=False) as file:
            traceback.print_exc(file=file)
            return file.name
    except OSError:
        return "the command line you used; the details could not be written"
