"""What a replay looks like on a screen of so many columns and lines: the session so far, and where it stands."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from math import inf, nextafter

from prompt_toolkit.utils import get_cwidth

from dbgate.audit.frames import who_and_where
from dbgate.audit.replay.player import Player
from dbgate.audit.replay.stream import SPACED
from dbgate.text import printable

Fragment = tuple[str, str]
"""A style of prompt_toolkit, and a text."""
Line = list[Fragment]

STYLES = {
    "header": "ansicyan",
    "statement": "bold",
    "allow": "ansigreen",
    "mask": "ansiyellow",
    "approval": "ansimagenta",
    "deny": "bold ansired",
    "outcome": "ansibrightblack",
    "notice": "ansiyellow",
    "error": "ansired",
    "end": "ansicyan",
}
FOUND = "reverse"
BAR = "reverse"
FOOT = 4
"""Lines at the foot of the screen."""
_KEPT = 256
_BAR_MARKS = {"fault": "F", "denial": "D", "error": "E", "write": "W", "approval": "A"}
"""What the bar shows, the gravest first: the letters are the keys that go there."""


class View:
    """Draws a player. It keeps the lines of the frames that it drew last."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._wrapped: OrderedDict[tuple[int, int], list[str]] = OrderedDict()
        self._bar_for = (0, False, 0)
        self._bar_kept: dict[int, str] = {}

    def draw(self, width: int, height: int, *, over: list[str] | None = None, prompt: str | None = None) -> list[Line]:
        """The screen's lines, exactly `height`. `over` stands in the place of the session, `prompt` in that of the last line."""
        width, foot = max(width, 1), FOOT if height > FOOT else 1 if height > 1 else 0
        if over is None:
            body = self._body(width, height - foot)
        else:
            body = [[("", line)] for text in over for line in wrap(text, width)][: height - foot]
        body += [[] for _ in range(height - foot - len(body))]
        rows = [
            [(BAR if row < FOOT - 1 else "", fit(text, width))] for row, text in enumerate(self._foot(width, prompt))
        ]
        return body + (rows if prompt is None or foot == FOOT else rows[::-1])[:foot]

    def _body(self, width: int, height: int) -> list[Line]:
        """The last lines that are shown, or those that are scrolled to."""
        player = self._player
        need = height + player.scroll
        focus = player.focus.cue if player.focus is not None else player.shown
        blocks: list[list[tuple[int, str]]] = []
        count, index = 0, player.shown
        while index > 0 and (count < need or index > focus):
            index -= 1
            blocks.append([(index, line) for line in self._lines(index, width)])
            count += len(blocks[-1])
        lines = [line for block in reversed(blocks) for line in block]
        if player.focus is not None:
            player.scroll = self._scroll_to_focus(lines, height)
        player.scroll = min(player.scroll, max(count - height, 0))
        end = count - player.scroll
        return [self._painted(cue, text) for cue, text in lines[max(end - height, 0) : end]]

    def _scroll_to_focus(self, lines: list[tuple[int, str]], height: int) -> int:
        """How far to scroll so that the focus is on the screen."""
        focus = self._player.focus
        if focus is None:
            return 0
        rows = [row for row, (cue, _) in enumerate(lines) if cue == focus.cue]
        found = [row for row in rows if focus.needle and _find(lines[row][1], focus.needle)]
        row = next(iter(found or rows), len(lines))
        return max(len(lines) - height - max(row - 1, 0), 0)

    def _lines(self, index: int, width: int) -> list[str]:
        key = (index, width)
        if key in self._wrapped:
            self._wrapped.move_to_end(key)
            return self._wrapped[key]
        role = self._player.recording.cues[index].role
        lines = [""] * (role in SPACED) + wrap(self._player.recording.text(index), width)
        self._wrapped[key] = lines
        while len(self._wrapped) > _KEPT:
            self._wrapped.popitem(last=False)
        return lines

    def _painted(self, cue: int, text: str) -> Line:
        style = STYLES.get(self._player.recording.cues[cue].role, "")
        needle = self._player.needle
        line: Line = []
        at = 0
        for start, end in _find(text, needle) if needle else ():
            line += [(style, text[at:start]), (f"{style} {FOUND}", text[start:end])]
            at = end
        return [*line, (style, text[at:])]

    def _foot(self, width: int, prompt: str | None) -> tuple[str, ...]:
        player = self._player
        last = prompt if prompt is not None else printable(player.message) or self._integrity()
        who = f" {who_and_where(player.recording.start)}"
        return self._position(width), who, self._decision(), f" {last}"

    def _position(self, width: int) -> str:
        player, options = self._player, self._player.options
        state = "step" if options.step else "play" if player.playing else "end" if player.is_over else "stop"
        more = "" if player.recording.is_whole else "+"
        parts = [f"{state:<4} {stamp(player.position_s)} / {stamp(player.total_s)}{more}", f"{speed(options.speed)}x"]
        if player.exact or options.idle_limit_s is None:
            parts.append("exact")
        cue = player.recording.cues[player.current] if player.current >= 0 else None
        at = player.recording.clock(cue.at_s) if cue else None
        if at is not None:
            began = player.recording.clock(0.0)
            is_same_day = began is not None and began.date() == at.date()
            parts.append(at.strftime("%H:%M:%S UTC" if is_same_day else "%Y-%m-%d %H:%M:%S UTC"))
        total = len(player.recording.statements)
        if total:
            parts.append(f"statement {player.recording.begun(player.shown)} of {total}{more}")
        text = " " + "  ".join(parts) + "  "
        room = width - len(text) - 1
        return text + self._bar(room) if room >= 10 else text

    def _bar(self, room: int) -> str:
        """The whole recording as a line: what was played, and where there is something to jump to."""
        player = self._player
        played = round(room * player.position_s / player.total_s) if player.total_s else room
        marks = self._bar_marks(room, exact=player.exact)
        return "".join(marks.get(column, "=" if column < played else "-") for column in range(room))

    def _bar_marks(self, room: int, *, exact: bool) -> dict[int, str]:
        """The letters on the bar by column; they change only with its width, the pauses, and what was read."""
        key = (room, exact, len(self._player.recording.cues))
        if self._bar_for != key:
            self._bar_for, self._bar_kept = key, {}
            for mark, letter in reversed(_BAR_MARKS.items()):
                self._bar_kept |= dict.fromkeys(self._columns_of(mark, room), letter)
        return self._bar_kept

    def _columns_of(self, mark: str, room: int) -> Iterator[int]:
        """The columns of the bar below which a mark stands. Looks once for each column, however many there are."""
        total_s, from_s = self._player.total_s, 0.0
        while (at_s := self._player.next_marked(mark, from_s)) is not None:
            column = min(int(room * at_s / total_s) if total_s else 0, room - 1)
            yield column
            from_s = max(total_s * (column + 1) / room, nextafter(at_s, inf))
            if column == room - 1:
                return

    def _decision(self) -> str:
        """What was decided of the statement, who approved it, and by which rules."""
        statement = self._player.recording.statement_at(self._player.current)
        if statement is None:
            return ""
        people = f" by {statement.approved_by}" if statement.approved_by else ""
        rules = f" (rules: {statement.rules})" if statement.rules else ""
        return f" #{statement.number} {statement.decision}{people}{rules}"

    def _integrity(self) -> str:
        recording = self._player.recording
        integrity = recording.integrity
        if not recording.is_whole and integrity.fault_cue is None:
            return f"? keys   reading and checking: {recording.records:,} records"
        proven = integrity.fault_cue is None or self._player.shown <= integrity.fault_cue
        return f"? keys   {'checked' if proven else 'NOT PROVEN FROM HERE ON'}: {integrity.text}"


def wrap(text: str, width: int) -> list[str]:
    """The lines of a text, none wider than `width` columns."""
    found: list[str] = []
    for line in text.expandtabs(8).split("\n"):
        if line.isascii():
            found += [line[at : at + width] for at in range(0, len(line), width)] or [""]
        else:
            found += _pieces(line, width)
    return found


def fit(text: str, width: int) -> str:
    """A text cut or filled up to exactly `width` columns."""
    if get_cwidth(text) > width:
        text = next(_pieces(text, max(width - 1, 0)), "") + "…" if width > 1 else text[:width]
    return text + " " * (width - get_cwidth(text))


def stamp(seconds: float) -> str:
    """`1:05`, `2:07:30`."""
    minutes, rest = divmod(int(seconds + 1e-6), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def speed(factor: float) -> str:
    """`2`, `0.5`, `0.015625`."""
    return f"{factor:g}"


def _pieces(line: str, width: int) -> Iterator[str]:
    """A line cut wherever it would get wider than `width` columns."""
    start = taken = 0
    for index, char in enumerate(line):
        columns = get_cwidth(char)
        if taken + columns > width and index > start:
            yield line[start:index]
            start, taken = index, 0
        taken += columns
    yield line[start:]


def _find(text: str, needle: str) -> list[tuple[int, int]]:
    """Where a text holds the needle; case counts only when the needle has an upper-case letter."""
    where = text if needle != needle.lower() else text.lower()
    if len(where) != len(text):
        return []  # some letters change their number: better no mark than one in the wrong place
    return [match.span() for match in re.finditer(re.escape(needle), where)]
