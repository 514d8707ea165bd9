"""`dockline`, and `python -m gateway`."""

from __future__ import annotations

import sys

from gateway.early_reload import EARLY_RELOAD
from gateway.standard_streams import open_closed_streams, spell_out_what_cannot_be_said


def main() -> None:
    """Run the command line and exit with its code."""
    if sys.argv[1:2] == ["run"]:
        EARLY_RELOAD.listen()  # before the imports, which take most of a start
    open_closed_streams()
    spell_out_what_cannot_be_said()
    from gateway.cli.errors import run_command

    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
