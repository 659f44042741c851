"""A program on a terminal of its own, and what its screen shows."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import pexpect
import pyte

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 20.0


class AnsweringScreen(pyte.Screen):
    """A screen that answers a program's question where the cursor is."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(100, 30)
        self._terminal = terminal

    def write_process_input(self, data: str) -> None:
        self._terminal.type(data)


class Terminal:
    """Runs `argv` on a pseudo terminal of 100 by 30; `screen` is what a person would see."""

    def __init__(self, argv: Sequence[str], *, environment: dict[str, str] | None = None) -> None:
        kept = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        kept |= {"DBGATE_PAGER": "cat", "PYTHONPATH": str(ROOT)}
        self._screen = AnsweringScreen(self)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        self.child: pexpect.spawn[bytes] = pexpect.spawn(
            argv[0],
            list(argv[1:]),
            env=kept | (environment or {}),
            cwd=str(ROOT),
            dimensions=(30, 100),
            timeout=TIMEOUT_S,
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.child.close(force=True)

    @property
    def screen(self) -> str:
        """The lines of the screen, without trailing blanks."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def see(self, *texts: str, count: int = 1) -> str:
        """Wait until the screen shows each of `texts` at least `count` times at once; return the screen.

        A program may draw its screen in several writes: what should stand beside a text is named here, too.
        """
        end = time.monotonic() + TIMEOUT_S
        while missing := [text for text in texts if self.screen.count(text) < count]:
            if time.monotonic() > end or not self._read():
                raise AssertionError(f"{missing} not on the screen:\n{self.screen}")
        return self.screen

    def prompt(self) -> None:
        """Wait until the last line that is not the toolbar is an empty prompt."""
        end = time.monotonic() + TIMEOUT_S
        while not re.search(r"=>\s*\Z", self.screen.rsplit("\n", 1)[0].rstrip() + " "):
            if time.monotonic() > end or not self._read():
                raise AssertionError(f"there is no prompt:\n{self.screen}")

    def prompt_is_gone(self) -> None:
        """Wait until a statement runs: the toolbar is not shown then."""
        end = time.monotonic() + TIMEOUT_S
        while "\\? for help" in self.screen:
            if time.monotonic() > end or not self._read():
                raise AssertionError(f"the prompt is still there:\n{self.screen}")

    def type(self, text: str) -> None:
        """Press keys."""
        self.child.send(text)

    def line(self, text: str) -> None:
        """Type a line at a prompt, and Enter."""
        self.prompt()
        self.type(text + "\r")

    def resize(self, lines: int, columns: int) -> None:
        """Change the size of the terminal; its screen is empty then, until the program draws."""
        self._screen.resize(lines, columns)
        self._screen.erase_in_display(2)
        self.child.setwinsize(lines, columns)

    def end(self) -> int:
        """Wait for the program to end; return its exit status."""
        while self._read():
            pass
        self.child.close()
        return int(self.child.exitstatus if self.child.exitstatus is not None else -(self.child.signalstatus or 0))

    def _read(self) -> bool:
        """Take in what came; false at the end."""
        try:
            data = self.child.read_nonblocking(65536, timeout=0.2)
        except pexpect.TIMEOUT:
            return self.child.isalive()
        except pexpect.EOF:
            return False
        self.raw += data
        self._stream.feed(data)
        return True
