"""The shell's loop: read, run, show, until somebody leaves or the session is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from dbgate.doors.shell.commands import COMMANDS, perform
from dbgate.doors.shell.desk import Desk, Directory
from dbgate.doors.shell.display import ShellDisplay
from dbgate.doors.shell.interface import About, Driver
from dbgate.doors.shell.interrupts import Interrupts
from dbgate.doors.shell.pieces import Piece, cut, is_farewell
from dbgate.doors.shell.screen import other_terminal
from dbgate.doors.shell.why import tags_of
from dbgate.errors import EXIT_DENIED, EXIT_INTERRUPTED, EXIT_OK, DbgateError, Interrupted, UsageError
from dbgate.model import TransactionStatus
from dbgate.text import printable

if TYPE_CHECKING:
    from dbgate.doors.shell.prompt import Prompt
    from dbgate.session.effects import Finished


def run_shell(driver: Driver, display: ShellDisplay, about: About, *, version: str = "") -> int:
    """Run the shell on a terminal until the person leaves, and return the exit code.

    0, unless the session broke: then the code of what broke it. Errors of the session itself are raised.
    """
    with Interrupts(driver, display) as interrupts:
        try:
            return Shell(driver, display, about, interrupts).interact(version)
        finally:
            display.show_on_screen()


def run_script(driver: Driver, display: ShellDisplay, about: About, text: str) -> int:
    """Run statements and backslash commands without a terminal; return the exit code of the first failure."""
    with Interrupts(driver, display) as interrupts:
        shell = Shell(driver, display, about, interrupts)
        try:
            shell.run_text(text)
        finally:
            display.show_on_screen()
        return shell.exit_code


class Shell:
    """One person's session at the prompt. `ask` asks a question and returns the answer."""

    def __init__(
        self,
        driver: Driver,
        display: ShellDisplay,
        about: About,
        interrupts: Interrupts,
        ask: Callable[[str], str] | None = None,
    ) -> None:
        self._driver = driver
        self._display = display
        self._about = about
        self._interrupts = interrupts
        self._ask = ask
        self._last_used = time.monotonic()
        self.directory = Directory(driver)
        self.desk = Desk(driver, display, about, self.directory, self.run_text, self._unmask)
        self.exit_code = EXIT_OK
        """Of the first failure."""
        self._latest_code = EXIT_OK
        self._ended = EXIT_OK
        self.took = ""
        display.tags = lambda: tags_of(driver.last_decision)

    def interact(self, version: str) -> int:
        """The loop at the terminal."""
        from prompt_toolkit.application import create_app_session

        self.directory.begin()
        with create_app_session(output=None if self._display.screen.is_terminal else other_terminal()):
            prompt = self._open_prompt()
            self._greet(version)
            while not self._is_over():
                try:
                    self._handle(self._read(prompt))
                except KeyboardInterrupt:
                    continue
                except EOFError:
                    self.desk.is_leaving = self._may_leave()
        self.directory.settle()
        return self._farewell()

    def run_text(self, text: str) -> bool:
        """Run statements and commands as of a file; stop at the first failure, and say what was left out."""
        typed = cut(text)
        pieces = [*typed.pieces, *([Piece(typed.rest)] if typed.rest else [])]
        return self._run(pieces)

    def _handle(self, text: str) -> None:
        """Run what was typed at the prompt. What is unfinished goes back to the prompt."""
        typed = cut("\\q" if is_farewell(text) else text)
        self.desk.prefill = typed.rest
        self._run(list(typed.pieces))

    def _run(self, pieces: list[Piece]) -> bool:
        for number, piece in enumerate(pieces):
            is_done = self._command(piece) if piece.is_command else self._statement(piece)
            if self.desk.is_leaving or self._driver.closed or self._interrupts.terminated:
                return is_done
            if not is_done:
                left = len(pieces) - number - 1
                if left:
                    what = "what follows was" if left == 1 else f"the {left} that follow were"
                    self._display.message("notice", f"stopped at the failure: {what} not run")
                return False
        return True

    def _command(self, piece: Piece) -> bool:
        try:
            perform(self.desk, piece.text)
            if self.desk.is_leaving:
                self.desk.is_leaving = self._may_leave()
        except DbgateError as error:
            self._display.message("error", error.message, error.hint)
            self._failed(error.exit_code)
            return False
        code, self.desk.failed = self.desk.failed, EXIT_OK
        if code:
            self._failed(code)
        return not code

    def _unmask(self, tags: Sequence[str], reason: str) -> int:
        """Ask to see tags in clear, and return the exit code of the first failure."""
        first = EXIT_OK
        self.directory.settle()
        with self._interrupts.busy():
            for finished in self._driver.unmask(tags, reason):
                first = first or finished.exit_code
                self._after(finished)
        return first

    def _failed(self, exit_code: int) -> None:
        self.exit_code = self.exit_code or exit_code
        self._latest_code = exit_code

    def _statement(self, piece: Piece) -> bool:
        """Run one statement (as it was cut: the gate may find several). Tells whether all went well."""
        self.directory.settle()
        self._display.masked_columns = ()
        self._display.expanded_once = piece.expanded
        self.desk.latest = piece.text
        went_well = True
        try:
            with self._interrupts.busy():
                for finished in self._timed(self._driver.execute(piece.text)):
                    went_well = finished.exit_code == EXIT_OK and went_well
                    self._failed(finished.exit_code)
                    self._after(finished)
        except Interrupted:
            self._display.message("notice", "interrupted")
            went_well = False
            self._failed(EXIT_INTERRUPTED)
        except UsageError as error:
            self._display.message("error", error.message, error.hint)
            went_well = False
            self._failed(error.exit_code)
        finally:
            self._display.settle()
            self._display.expanded_once = False
            self._last_used = time.monotonic()
        if not self._driver.closed:
            self.directory.refresh()
        return went_well

    def _timed(self, lives: Iterator[Finished]) -> Iterator[Finished]:
        """The same, with the time that each took, reading in the pager left out."""
        started, paused = time.monotonic(), self._display.screen.paused_s
        for finished in lives:
            took_s = time.monotonic() - started - (self._display.screen.paused_s - paused)
            self.took = duration(took_s)
            if self._display.options.timing:
                self.desk.tell(f"Time: {self.took}")
            yield finished
            started, paused = time.monotonic(), self._display.screen.paused_s

    def _after(self, finished: Finished) -> None:
        """A wait that was broken off: the request stays, unless the person takes it back."""
        request = str(finished.detail.get("request") or "")
        is_pending = finished.detail.get("status") == "pending" and finished.exit_code == EXIT_INTERRUPTED
        if not (request and is_pending and self._ask and self._about.withdraw) or self._interrupts.terminated:
            return
        self._display.settle()
        with self._interrupts.at_rest():
            answer = self._answer(f"Keep request {printable(request)} waiting? [Y/n: withdraw it] ")
        if not answer.startswith(("n", "w")):
            again = "run the statement again" if finished.statement_id else "ask again"
            self._display.message("notice", f"request {request} stays; {again} to go on waiting")
            return
        try:
            status = self._about.withdraw(request)
            self._display.message("notice", f"request {request} is {status}")
        except DbgateError as error:
            self._display.message("error", error.message, error.hint)

    def _answer(self, question: str) -> str:
        """The answer in lower case; empty when there is none."""
        if self._ask is None:
            return ""
        try:
            return self._ask(question).strip().lower()
        except (EOFError, KeyboardInterrupt):
            return ""

    def _may_leave(self) -> bool:
        """Whether to leave; asks when a transaction is open."""
        if self._ask is None or self._driver.transaction is not TransactionStatus.OPEN:
            return True
        try:
            answer = self._ask("A transaction is open; leaving rolls it back. Leave? [y/N] ")
        except KeyboardInterrupt:
            return False
        except EOFError:
            return True
        return answer.strip().lower().startswith("y")

    def _is_over(self) -> bool:
        return bool(self.desk.is_leaving or self._driver.closed or self._interrupts.terminated)

    def _over(self) -> str:
        """Why the session has to end, while the person is typing."""
        return self._interrupts.terminated or self._driver.overdue()

    def _idle_left(self) -> float | None:
        """Seconds until the policy ends the session for idleness."""
        limit_s = self._about.idle_s
        return None if limit_s is None else limit_s - (time.monotonic() - self._last_used)

    def _read(self, prompt: Prompt) -> str:
        """What was typed; empty when the session ended meanwhile."""
        from dbgate.doors.shell.prompt import SessionOver

        prompt.status.transaction = self._driver.transaction
        prompt.status.masked = self._display.masked_columns
        prompt.status.took = self.took
        default, self.desk.prefill = self.desk.prefill, ""
        try:
            return prompt.read(default)
        except SessionOver as over:
            self._display.message("notice", f"{over}: the session ends", "open a new one with dbgate connect")
            self.desk.is_leaving = True
            self._ended = EXIT_DENIED
            return ""

    def _open_prompt(self) -> Prompt:
        from prompt_toolkit import prompt as ask

        from dbgate.doors.shell.completion import SqlCompleter
        from dbgate.doors.shell.history import TargetHistory, history_path
        from dbgate.doors.shell.prompt import Prompt, Status

        def report(text: str) -> None:
            self._display.message("notice", text)

        history = TargetHistory(history_path(self._about.state_dir, self._about.target.name), report)
        history.open()
        self.desk.past = history.load_history_strings
        self._ask = self._ask or ask
        commands = [(name, command.help) for name, command in COMMANDS.items()]
        status = Status(idle_left=self._idle_left, over=self._over)
        completer = SqlCompleter(self.directory.current, commands)
        return Prompt(self._about, status, completer, history, use_color=self._display.screen.style.is_on)

    def _greet(self, version: str) -> None:
        about = self._about
        environment = f" ({about.target.environment})" if about.target.environment else ""
        self.desk.tell(
            printable(f"dbgate {version} · {about.target.name}{environment} as {about.who} · policy {about.policy}"),
            printable(f"This session is recorded: {self._driver.session}. \\? lists the commands, \\q leaves."),
            "",
        )

    def _farewell(self) -> int:
        """Say why a session ended that was not left, and return the exit code."""
        if self._interrupts.terminated:
            return EXIT_INTERRUPTED
        if self._driver.closed:
            self._display.message("notice", f"the session is over: {self._driver.closed}")
            return self._latest_code
        return self._ended


def duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
