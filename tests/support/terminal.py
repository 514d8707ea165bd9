"""A command at a real terminal: a pseudo-terminal of a stated size, its words awaited, keys pressed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]
BOUND_S = 60.0
PROGRAM = (sys.executable, "-m", "gateway")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]")


class Terminal:
    """One program behind one terminal. `async with Terminal("status") as terminal:`."""

    def __init__(
        self, *arguments: str, columns: int = 100, lines: int = 40, program: Sequence[str] = PROGRAM, **environ: str
    ) -> None:
        self._command = [*program, *arguments]
        self._environ = environ
        self._size = struct.pack("HHHH", lines, columns, 0, 0)
        self._changed = asyncio.Event()
        self._seen = 0
        self._master = -1
        self._is_gone = False
        self.raw = b""
        self.process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, self._size)
        self.process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**{k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "COLUMNS"}}, "TERM": "xterm-256color"}
            | self._environ,
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509 - nothing but one system call
        )
        os.close(slave)
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(self._master, self._readable)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.kill()
        await asyncio.to_thread(self.process.wait, BOUND_S)
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)

    @property
    def text(self) -> str:
        """Everything shown so far, without colours and moves of the cursor."""
        return _ESCAPES.sub("", self.raw.decode("utf-8", "replace")).replace("\r\n", "\n")

    async def sees(self, words: str) -> str:
        """Return what was shown since the last time, once `words` are in it."""
        try:
            async with asyncio.timeout(BOUND_S):
                while words not in self.text[self._seen :] and not self._is_gone:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass
        if words not in self.text[self._seen :]:
            raise AssertionError(f"never {words!r}; since the last words it showed:\n{self.text[self._seen :]}")
        end = self.text.index(words, self._seen) + len(words)
        shown, self._seen = self.text[self._seen : end], end
        return shown

    async def answers(self, question: str, answer: str) -> None:
        """Wait for a question and type the answer. One whose answer is not shown has to be named to its last blank:
        what is typed before that is thrown away, as at every log-in.
        """
        await self.sees(question)
        self.press(answer + "\n")

    def press(self, keys: str) -> None:
        """Press keys; "\\x03" is Ctrl-C."""
        os.write(self._master, keys.encode())

    async def ended(self) -> int:
        """Return the exit code."""
        assert self.process is not None
        code = await asyncio.to_thread(self.process.wait, BOUND_S)
        async with asyncio.timeout(BOUND_S):
            while not self._is_gone:
                self._changed.clear()
                await self._changed.wait()
        return code

    def _readable(self) -> None:
        try:
            chunk = os.read(self._master, 65536)
        except BlockingIOError:
            return
        except OSError:  # the program has gone: Linux says EIO
            chunk = b""
        if not chunk:
            asyncio.get_running_loop().remove_reader(self._master)
            self._is_gone = True
        self.raw += chunk
        self._changed.set()


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
