"""Rings of values: what refers to itself in a circle and is of no more use, found at its time.

Theory of operation. Python frees a value when nothing refers to it. Values in a ring refer to each other and have to be
looked for, and how often that happens goes by how many values there are. The values of a scan make no rings, so looking
every 700 values, the default, costs a tenth of all processor time and finds nothing. But connections of the local API
make some: a transport and its protocol, an error and the frames it was raised in, each with what was read. Looked for
only every 100,000 values, those of half an hour stay about, sixty megabytes of them. So there is a look by the clock as
well: at what is young often, at everything now and then. On a gateway at rest the first takes a tenth of
a millisecond.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Final

VALUES: Final = (100_000, 20, 20)
"""After how many new values there is a look in any case: between two looks by the clock that is a crowd of scans."""
YOUNG_S: Final = 30.0
"""Between two looks at what was made since the last ones."""
ALL_EVERY: Final = 20
"""Of these looks one is at everything: what was still in use when it was young."""
_YOUNG, _ALL = 1, 2


def expect_few_rings() -> None:
    """Look for rings by number only in crowds. What is there now, the code, is never looked at again."""
    gc.freeze()
    gc.set_threshold(*VALUES)


class RingWatch:
    """Looks for rings by the clock. Belongs to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, look: Callable[[int], object] = gc.collect) -> None:
        """`look` is told the generation up to which it is to look, as `gc.collect` numbers them."""
        self._loop = loop
        self._look = look
        self._looks = 0

    def begin(self) -> None:
        """Look from now on, as long as the loop runs."""
        self._loop.call_later(YOUNG_S, self._next)

    def _next(self) -> None:
        self._looks += 1
        self._look(_YOUNG if self._looks % ALL_EVERY else _ALL)
        self.begin()
