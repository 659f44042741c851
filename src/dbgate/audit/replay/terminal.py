"""A replay on a terminal of its own: draws, waits for keys and for time to pass, and leaves the terminal as it was."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import NamedTuple

from prompt_toolkit.application import Application
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import FormattedTextControl, Layout, Window
from prompt_toolkit.output import ColorDepth

from dbgate.audit.replay.player import SKIP_S, Player
from dbgate.audit.replay.view import FOOT, View
from dbgate.errors import DbgateError
from dbgate.text import printable

TICK_S = 0.1
MAX_NEEDLE = 200
READ_RECORDS = 500
"""So many records are read at once while a session is shown."""


class Key(NamedTuple):
    """Keys that do something: their names for prompt_toolkit, what the help calls them, and what it says."""

    names: tuple[str, ...]
    shown: str
    about: str
    does: tuple[Callable[[Player], object], ...]
    """One action for all names, or one for each."""


def _part(tenths: int) -> Callable[[Player], object]:
    return lambda player: player.seek_part(tenths)


def _jumps(mark: str) -> tuple[Callable[[Player], object], ...]:
    return (lambda player: player.jump(mark, forward=True)), (lambda player: player.jump(mark, forward=False))


KEYS = (
    Key((" ",), "space", "play, pause; in steps: the next statement", (Player.toggle,)),
    Key(
        ("right", "left"),
        "→ ←",
        "5 seconds on, back",
        (lambda player: player.skip(SKIP_S), lambda player: player.skip(-SKIP_S)),
    ),
    Key(
        ("home", "end"),
        "Home End",
        "the beginning, the end",
        (lambda player: player.seek(0), lambda player: player.seek_part(10)),
    ),
    Key(
        tuple("0123456789"),
        "0 … 9",
        "so many tenths of the whole",
        tuple(_part(tenths) for tenths in range(10)),
    ),
    Key(
        (".", ","),
        ". ,",
        "one piece on, back",
        (lambda player: player.frame(forward=True), lambda player: player.frame(forward=False)),
    ),
    Key(("]", "["), "] [", "the next, previous statement", _jumps("statement")),
    Key(("d", "D"), "d D", "the next, previous denial", _jumps("denial")),
    Key(("a", "A"), "a A", "the next, previous approval", _jumps("approval")),
    Key(("w", "W"), "w W", "the next, previous write", _jumps("write")),
    Key(("e", "E"), "e E", "the next, previous error", _jumps("error")),
    Key(("f", "F"), "f F", "the next, previous fault of the record itself", _jumps("fault")),
    Key(
        (">", "<"),
        "> <",
        "twice, half the speed",
        (lambda player: player.faster(up=True), lambda player: player.faster(up=False)),
    ),
    Key(("i",), "i", "pauses as recorded, or cut", (Player.toggle_exact,)),
    Key(("s",), "s", "wait before each statement, or play on", (Player.toggle_step,)),
    Key(
        ("n", "N"),
        "n N",
        "the next, previous place of the text",
        (lambda player: player.again(forward=True), lambda player: player.again(forward=False)),
    ),
    Key(
        ("up", "down"),
        "↑ ↓",
        "scroll, also by Page Up and Page Down",
        (lambda player: player.scroll_by(1), lambda player: player.scroll_by(-1)),
    ),
)

HELP = [
    *(f"  {key.shown:<10} {key.about}" for key in KEYS[:-2]),
    "  /          look for a text, Enter",
    *(f"  {key.shown:<10} {key.about}" for key in KEYS[-2:]),
    "  ?          these keys",
    "  q          leave",
]


class Screen:
    """The application: what the keys do, and what is drawn."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._view = View(player)
        self._typed: str | None = None
        self._help = False
        self._at = time.monotonic()
        self._drawn_at = self._at
        self._app: Application[None] = Application(
            layout=Layout(Window(FormattedTextControl(self._draw, show_cursor=False), always_hide_cursor=True)),
            key_bindings=self._bindings(),
            full_screen=True,
            color_depth=ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None,
        )
        self._app.ttimeoutlen = 0.1

    def run(self) -> None:
        """Play until the viewer leaves. Raises `KeyboardInterrupt` for Ctrl-C."""

        def begin() -> None:
            self._app.create_background_task(self._pass_time())

        self._app.run(pre_run=begin)

    async def _pass_time(self) -> None:
        while True:
            while not self._player.recording.is_whole:
                await self._read()
            due_s = self._player.due_s()
            await asyncio.sleep(TICK_S if due_s is None else min(max(due_s, 0.01), TICK_S))
            if self._tick():
                self._app.invalidate()

    async def _read(self) -> None:
        """Read on, a little at a time, so that keys are heard and time passes."""
        try:
            self._player.read(READ_RECORDS)
        except (DbgateError, OSError) as error:
            self._app.exit(exception=error)
            await asyncio.Event().wait()  # until the application has ended
        self._tick()
        wait_s = TICK_S if self._player.playing else 5 * TICK_S
        if self._at - self._drawn_at >= wait_s or self._player.recording.is_whole:
            self._drawn_at = self._at
            self._app.invalidate()
        await asyncio.sleep(0)

    def _tick(self) -> bool:
        now = time.monotonic()
        elapsed_s, self._at = now - self._at, now
        return self._player.advance(elapsed_s)

    def _draw(self) -> StyleAndTextTuples:
        size = self._app.output.get_size()
        prompt = None if self._typed is None else f"/{printable(self._typed)}_"
        lines = self._view.draw(size.columns, size.rows, over=HELP if self._help else None, prompt=prompt)
        drawn: StyleAndTextTuples = []
        for line in lines:
            drawn += [*line, ("", "\n")]
        return drawn[:-1]

    def _bindings(self) -> KeyBindings:
        bindings = KeyBindings()
        typing = Condition(lambda: self._typed is not None)
        for key in KEYS:
            for place, name in enumerate(key.names):
                does = key.does[place % len(key.does)]
                bindings.add(name, filter=~typing)(self._action(does))
        bindings.add("pageup", filter=~typing)(self._action(lambda _: self._scroll_page(1)))
        bindings.add("pagedown", filter=~typing)(self._action(lambda _: self._scroll_page(-1)))
        bindings.add("/", filter=~typing)(lambda _: self._type(""))
        bindings.add("?", filter=~typing)(lambda _: self._show_help())
        bindings.add("q", filter=~typing)(lambda event: event.app.exit())
        bindings.add("escape", filter=~typing)(self._action(lambda _: None))
        bindings.add("c-c")(lambda event: event.app.exit(exception=KeyboardInterrupt))
        bindings.add("c-d", filter=~typing)(lambda event: event.app.exit())
        bindings.add("c-l")(lambda event: event.app.renderer.clear())
        bindings.add("enter", filter=typing)(lambda _: self._look())
        bindings.add("escape", filter=typing)(lambda _: self._type(None))
        bindings.add("backspace", filter=typing)(lambda _: self._type(self._typed[:-1] if self._typed else None))
        bindings.add("c-u", filter=typing)(lambda _: self._type(""))
        bindings.add(Keys.Any, filter=typing)(lambda event: self._add(event.data))
        bindings.add(Keys.BracketedPaste, filter=typing)(lambda event: self._add(event.data))
        return bindings

    def _action(self, does: Callable[[Player], object]) -> Callable[[KeyPressEvent], None]:
        def act(_: KeyPressEvent) -> None:
            self._tick()
            self._player.forget()
            self._help = False
            does(self._player)

        return act

    def _show_help(self) -> None:
        self._help = not self._help

    def _scroll_page(self, sign: int) -> None:
        self._player.scroll_by(sign * max(self._app.output.get_size().rows - FOOT - 1, 1))

    def _type(self, text: str | None) -> None:
        self._typed = text

    def _add(self, data: str) -> None:
        """More of the text to look for. Keys that are no text count for nothing."""
        if self._typed is not None and data.isprintable():
            self._typed = (self._typed + data)[:MAX_NEEDLE]

    def _look(self) -> None:
        needle, self._typed = self._typed or self._player.needle, None
        self._tick()
        self._player.forget()
        self._player.search(needle)
