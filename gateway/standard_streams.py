"""Standard input, output and error, where whoever starts us has closed them or speaks another character set.

A service manager other than systemd, a `cron` line with `>&-` or a supervisor of a container may start a program with
none of the three open. Python then has None where a stream should be, and the first file that is opened gets number 2:
what a library writes to "standard error" would go into that file.
"""

from __future__ import annotations

import io
import os
import sys


def open_closed_streams() -> None:
    """Have the numbers 0, 1 and 2 lead somewhere, to the null device where they are closed. Call it before any file is
    opened."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)  # as those are that a shell opens
    os.close(number)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, "r", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False, errors="backslashreplace")


def spell_out_what_cannot_be_said() -> None:
    """Write characters that the terminal has no code for as `\\xfc`, as standard error does; a name of the site is no
    reason to fail."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
