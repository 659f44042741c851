"""The prompt: multi-line editing, history, highlighting, proposals, and what stands around the text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec
from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.enums import DEFAULT_BUFFER, EditingMode
from prompt_toolkit.filters import Condition, has_focus, is_searching
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.formatted_text.utils import fragment_list_width
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout.processors import (
    HighlightMatchingBracketProcessor,
    Processor,
    Transformation,
    TransformationInput,
)
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.styles import Style
from pygments.lexers.sql import PostgresLexer

from dbgate.doors.shell.completion import SqlCompleter
from dbgate.doors.shell.interface import About
from dbgate.doors.shell.pieces import cut, is_complete
from dbgate.model import TransactionStatus
from dbgate.text import printable

WARNING_S = 60.0
"""The toolbar counts down for so long before the session ends for idleness."""

MAX_MARKED_CHARS = 20_000
"""In longer texts further lines are not told what is open."""

_TICK_S = 1.0
_STATES = {TransactionStatus.OPEN: "*", TransactionStatus.FAILED: "!", TransactionStatus.UNKNOWN: "?"}
_HINTS = {
    TransactionStatus.OPEN: "transaction open",
    TransactionStatus.FAILED: "transaction failed: ROLLBACK ends it",
}
_STYLE = Style.from_dict(
    {
        "target": "ansigreen",
        "production": "ansired bold",
        "environment": "ansibrightblack",
        "open": "ansiyellow bold",
        "failed": "ansired bold",
        "continuation": "ansibrightblack",
        "bottom-toolbar": "noreverse ansibrightblack",
        "warning": "ansired bold",
        "completion-menu.meta": "italic",
        "auto-suggestion": "ansibrightblack",
    }
)


class SessionOver(Exception):
    """The session ended while the person was typing."""


class Status(msgspec.Struct):
    """What stands around the text, as the shell knows it. `idle_since` is in monotonic seconds."""

    transaction: TransactionStatus = TransactionStatus.IDLE
    masked: tuple[str, ...] = ()
    took: str = ""
    idle_left: Callable[[], float | None] = lambda: None
    over: Callable[[], str] = lambda: ""


class Prompt:
    """Reads what a person types."""

    def __init__(
        self, about: About, status: Status, completer: SqlCompleter, history: History, *, use_color: bool = True
    ) -> None:
        self._about = about
        self.status = status
        self._session: PromptSession[str] = PromptSession(
            message=self.message,
            multiline=True,
            prompt_continuation=self.continuation,
            bottom_toolbar=self.toolbar,
            completer=completer,
            complete_in_thread=True,
            complete_while_typing=True,
            history=history,
            auto_suggest=AutoSuggestFromHistory(),
            lexer=PygmentsLexer(PostgresLexer),
            key_bindings=bindings(),
            style=_STYLE,
            color_depth=None if use_color else ColorDepth.DEPTH_1_BIT,
            editing_mode=EditingMode.VI if about.vi else EditingMode.EMACS,
            input_processors=[HighlightMatchingBracketProcessor(chars="[](){}"), Visible()],
            enable_open_in_editor=True,
            tempfile_suffix=".sql",
            enable_suspend=True,
        )

    def read(self, default: str = "") -> str:
        """Return what was typed. Raises `EOFError` (Ctrl-D), `KeyboardInterrupt` (Ctrl-C), `SessionOver`."""
        return self._session.prompt(default=default, pre_run=self._watch)

    def message(self) -> StyleAndTextTuples:
        """`target environment*=> `"""
        about, state = self._about, self.status.transaction
        strong = "class:production" if about.is_production else "class:target"
        fragments: StyleAndTextTuples = [(strong, printable(about.target.name))]
        if about.target.environment:
            style = "class:production" if about.is_production else "class:environment"
            fragments.append((style, f" {printable(about.target.environment)}"))
        if state in _STATES:
            fragments.append(("class:open" if state is TransactionStatus.OPEN else "class:failed", _STATES[state]))
        return [*fragments, ("", "=> ")]

    def continuation(self, width: int, line_number: int, wrap_count: int) -> StyleAndTextTuples:
        """The margin of further lines, with what is still open before them: a quote, a comment, a parenthesis."""
        if wrap_count:
            return [("", " " * width)]
        mark = open_mark("\n".join(get_app().current_buffer.text.split("\n")[:line_number]))
        width = max(fragment_list_width(self.message()), 3)
        return [("class:continuation", f"{mark}> ".rjust(width))]

    def toolbar(self) -> StyleAndTextTuples:
        """Who, under which policy, what was masked, how long it took."""
        status = self.status
        parts = [self._about.who, f"policy {self._about.policy}"]
        parts += [f"masked: {some(status.masked)}"] if status.masked else []
        parts += [_HINTS[status.transaction]] if status.transaction in _HINTS else []
        parts += [status.took] if status.took else []
        fragments: StyleAndTextTuples = [("", printable(" " + " · ".join([*parts, "\\? for help"])))]
        left = status.idle_left()
        if left is not None and left <= WARNING_S:
            fragments.append(("class:warning", f"  the session ends in {max(left, 0):.0f} s: it is idle"))
        return fragments

    def _watch(self) -> None:
        get_app().create_background_task(self._tick())

    async def _tick(self) -> None:
        """End the prompt when the session is over; keep the countdown going."""
        while True:
            why = self.status.over()
            app = get_app()
            if why and app.is_running and not app.is_done:
                app.exit(exception=SessionOver(why))
                return
            left = self.status.idle_left()
            if left is not None and left <= WARNING_S:
                app.invalidate()
            await asyncio.sleep(_TICK_S)


@lru_cache(maxsize=256)
def open_mark(text: str) -> str:
    """What is open at the end of `text`; for a very long one just `-`, so that typing stays quick."""
    return "-" if len(text) > MAX_MARKED_CHARS else cut(text).opened or "-"


class Visible(Processor):
    """Shows invisible characters of the text (bidirectional controls and the like) as a mark: what runs is what is seen."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """Replace them one for one, so that the cursor stays where it is."""
        fragments = transformation_input.fragments
        if all(fragment[1].isascii() for fragment in fragments):
            return Transformation(fragments)
        shown: StyleAndTextTuples = []
        for style, text, *_ in fragments:
            shown += [("class:warning", "\ufffd") if is_invisible(char) else (style, char) for char in text]
        return Transformation(shown)


def is_invisible(char: str) -> bool:
    """Whether a character would not be seen. Control characters are not meant: prompt-toolkit shows those."""
    return ord(char) > 0xA0 and printable(char) != char


def some(names: Sequence[str], limit: int = 4) -> str:
    """The first few names."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def bindings() -> KeyBindings:
    """The keys that differ from prompt-toolkit's own."""
    keys = KeyBindings()
    editing = has_focus(DEFAULT_BUFFER) & ~is_searching

    @Condition
    def is_choosing() -> bool:
        state = get_app().current_buffer.complete_state
        return state is not None and state.current_completion is not None

    @keys.add("enter", filter=editing & is_choosing)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None

    @keys.add("enter", filter=editing & ~is_choosing)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_complete(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.newline()

    @keys.add(Keys.Vt100MouseEvent, eager=True)
    def _(event: KeyPressEvent) -> None:
        """A colour typed or pasted as an escape sequence looks like a mouse, which the shell has none of."""

    @keys.add("escape", "enter", filter=editing)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    return keys
