"""Where a replay stands, and what its keys do. No terminal and no clock: time is handed in."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dbgate.audit.replay.recording import Recording

MIN_SPEED, MAX_SPEED = 1 / 64, 1024.0
SKIP_S = 5.0
_EPSILON = 1e-9


@dataclass(slots=True)
class Options:
    """How to play. `speed` 2 is twice as fast; no pause is longer than `idle_limit_s` (None: as recorded)."""

    speed: float = 1.0
    idle_limit_s: float | None = 2.0
    step: bool = False


@dataclass(slots=True)
class Focus:
    """What the view must not scroll away: a frame, and a text in it or else its beginning."""

    cue: int
    needle: str = ""


@dataclass(slots=True)
class Player:
    """A recording being played. `shown` frames are to be seen; `position_s` counts played time, pauses cut.

    While the recording is still being read, what needs more of it than there is waits until all is read.
    """

    recording: Recording
    options: Options
    position_s: float = 0.0
    shown: int = 0
    playing: bool = False
    exact: bool = False
    scroll: int = 0
    """Lines that the view stands above the end."""
    focus: Focus | None = None
    needle: str = ""
    message: str = ""
    _times: Sequence[float] = ()
    _waiting: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self._lay_out()

    @property
    def total_s(self) -> float:
        """How long it plays, at speed 1."""
        return self._times[-1] if self._times else 0.0

    @property
    def is_over(self) -> bool:
        """Whether everything is shown."""
        return self.recording.is_whole and self.shown >= len(self._times)

    def read(self, most: int) -> None:
        """Read so many records more; once all are, do what waited for it. Raises what reading them raises."""
        self.recording.read(most)
        if self.recording.is_whole and self._waiting is not None:
            act, self._waiting = self._waiting, None
            self.message = ""
            act()

    def forget(self) -> None:
        """What waits for the rest is not wanted any more."""
        self._waiting, self.message = None, ""

    def _waits(self, act: Callable[[], None]) -> bool:
        """Whether more has to be read first; `act` then follows."""
        if self.recording.is_whole:
            return False
        self.playing = False
        self._waiting, self.message = act, "as soon as all is read"
        return True

    @property
    def idle_limit_s(self) -> float | None:
        """The longest pause now, in seconds; None for pauses as recorded."""
        return None if self.exact else self.options.idle_limit_s

    @property
    def current(self) -> int:
        """The last frame shown; -1 before the first."""
        return self.shown - 1

    def next_marked(self, mark: str, from_s: float) -> float | None:
        """When the first record with a mark is shown that is shown at `from_s` or later, in seconds of played time."""
        first = self._next(mark, bisect_left(self._times, from_s), forward=True)
        return None if first is None else self._times[first]

    def begin(self) -> None:
        """Show what stands at the beginning, and play on; in steps, wait before the first statement."""
        first = self._next("statement", 0, forward=True) if self.options.step else None
        self._show(bisect_right(self._times, _EPSILON) if first is None else first)
        self.playing = not self.options.step

    def begin_at(self, index: int) -> None:
        """Show everything up to a frame and the rest of its record, and play on; in steps, wait."""
        self._land(index)
        self.playing = not self.options.step and not self.is_over

    def advance(self, elapsed_s: float) -> bool:
        """Let time pass, in seconds of the viewer's clock. Returns whether anything changed."""
        if not self.playing:
            return False
        self.position_s = min(self.position_s + elapsed_s * self.options.speed, self.total_s)
        reached = bisect_right(self._times, self.position_s + _EPSILON)
        if reached > self.shown:
            self._follow(reached)
        if self.is_over:
            self.playing = False
        return True

    def due_s(self) -> float | None:
        """After how many seconds of the viewer's clock the next frame is due; None when nothing plays."""
        if not self.playing or self.shown >= len(self._times):
            return None
        return max(self._times[self.shown] - self.position_s, 0.0) / self.options.speed

    def toggle(self) -> None:
        """Pause or go on; from the beginning when all was shown. In steps: the next statement."""
        if self.options.step:
            self.next_statement()
            return
        if self.is_over:
            self.seek(0.0)
            self.playing = True
            return
        self.playing = not self.playing
        if self.playing:
            self._follow(self.shown)

    def next_statement(self) -> None:
        """Show everything up to the next statement but one: it waits before each."""
        following = self._next("statement", self.shown, forward=True)
        after = None if following is None else self._next("statement", following + 1, forward=True)
        if after is None and self._waits(self.next_statement):
            return
        if following is None:
            self.message = "this is the end"
            self._show(len(self._times))
            return
        self._show(after if after is not None else len(self._times))

    def toggle_step(self) -> None:
        """Wait before each statement, or play."""
        self.options.step = not self.options.step
        self.playing = False
        self.message = "waits before each statement" if self.options.step else "plays on: space"

    def frame(self, *, forward: bool) -> None:
        """One frame further or back, paused."""
        self.playing = False
        if forward and self.shown >= len(self._times) and self._waits(lambda: self.frame(forward=True)):
            return
        self._show(min(max(self.shown + (1 if forward else -1), 1), len(self._times)))

    def seek(self, to_s: float) -> None:
        """Go to a time of the played recording, in seconds. A replay that plays goes on from there."""
        if to_s > self.total_s and self._waits(lambda: self.seek(to_s)):
            return
        to_s = min(max(to_s, 0.0), self.total_s)
        self._show(max(bisect_right(self._times, to_s + _EPSILON), min(1, len(self._times))))
        self.position_s = to_s

    def skip(self, by_s: float) -> None:
        """Go that far on or back."""
        self.seek(self.position_s + by_s)

    def seek_part(self, tenths: int) -> None:
        """Go to so many tenths of the whole."""
        if tenths and self._waits(lambda: self.seek_part(tenths)):
            return
        self.seek(self.total_s * tenths / 10)

    def faster(self, *, up: bool) -> None:
        """Twice or half the speed."""
        self.options.speed = min(max(self.options.speed * (2 if up else 0.5), MIN_SPEED), MAX_SPEED)

    def toggle_exact(self) -> None:
        """Pauses as recorded, or cut; the replay stays where it is."""
        self.exact = not self.exact
        shown = self.shown
        self._lay_out()
        self.position_s = self._times[shown - 1] if shown else 0.0
        limit = self.idle_limit_s
        self.message = "pauses as recorded" if limit is None else f"pauses cut to {limit:g} s"

    def jump(self, mark: str, *, forward: bool) -> None:
        """Go to the next or previous record with a mark, paused, so that all of that record is seen."""
        here = self.focus.cue if self.focus is not None else self.current
        found = self._next(mark, here + (1 if forward else -1), forward=forward)
        if found is None and forward and self._waits(lambda: self.jump(mark, forward=True)):
            return
        if found is None:
            self.message = f"no {'further' if forward else 'earlier'} {mark}"
        else:
            self._land(found)

    def search(self, needle: str, *, forward: bool = True) -> None:
        """Look for a text in everything that was recorded, shown already or not."""
        self.needle = needle
        if needle:
            self.again(forward=forward)

    def again(self, *, forward: bool) -> None:
        """The next or previous place of the text that was looked for."""
        if not self.needle:
            self.message = "nothing to look for: / and a text"
            return
        here = self.focus.cue if self.focus is not None else self.current
        found = self.recording.search(self.needle, here + (1 if forward else -1), forward=forward)
        on = found is not None and (found > here if forward else found < here)
        if not on and self._waits(lambda: self.again(forward=forward)):
            return
        if found is None:
            self.message = f"not found: {self.needle}"
            return
        self._land(found, self.needle)
        self.message = "" if on else f"went on from the {'beginning' if forward else 'end'}"

    def scroll_by(self, lines: int) -> None:
        """Scroll up (positive) or down. The view keeps within what there is."""
        self.focus = None
        self.scroll = max(self.scroll + lines, 0)

    def _next(self, mark: str, start: int, *, forward: bool) -> int | None:
        marked = self.recording.marked[mark]
        place = bisect_left(marked, start) if forward else bisect_right(marked, start) - 1
        return marked[place] if 0 <= place < len(marked) else None

    def _land(self, index: int, needle: str = "") -> None:
        """Stop at a frame, with all of its record shown."""
        if not self._times:
            return
        self.playing = False
        self._show(self.recording.last_of_record(index) + 1)
        self.focus = Focus(index, needle)

    def _show(self, count: int) -> None:
        self._follow(count)
        self.position_s = self._times[count - 1] if count else 0.0

    def _follow(self, count: int) -> None:
        self.shown, self.scroll, self.focus = count, 0, None

    def _lay_out(self) -> None:
        self._times = self.recording.times(self.idle_limit_s)
