"""Plays a script on three sessions in step, and says of every statement what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tools.regress.checks import Checks
from tools.regress.outcomes import Outcome, Verdict
from tools.regress.script import Command, Statement, read_arguments, read_script, replace_variables
from tools.regress.seen import Seen, difference
from tools.regress.sessions import Direct, Gated, end_prepared
from tools.regress.step import Step
from tools.regress.trees import is_select, tree_of
from tools.regress.twin import Twin

_SHOWS_ONLY = frozenset("pset echo qecho warn a t x timing o w p encoding r errverbose".split())
_TRUE = frozenset({"true", "on", "1", "yes", "t", "y"})


@dataclass(slots=True)
class Played:
    """What came of a file: outcomes, and how many items were left out, by reason."""

    outcomes: list[Outcome] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Places:
    """The DSNs of the three servers, and what the suite's scripts ask the environment for."""

    direct: str
    gated: str
    twin: str
    environment: dict[str, str]


class Play:
    """One file, on fresh sessions."""

    def __init__(self, file: Path, places: Places) -> None:
        self._name = file.stem
        self._items = read_script(file.read_text(encoding="utf-8", errors="replace"))
        self._places = places
        self._variables: dict[str, str] = {}
        self.played = Played()

    def run(self) -> Played:
        """Play the file."""
        self._connect()
        skipping: list[str] = []
        try:
            for item in self._items:
                if isinstance(item, Command) and item.name in {"if", "elif", "else", "endif"}:
                    self._branch(item, skipping)
                elif any(state != "now" for state in skipping):
                    continue
                elif isinstance(item, Statement):
                    self._statement(item)
                elif item.name == "quit":
                    break
                else:
                    self._command(item)
        finally:
            self._close()
        left = [end_prepared(dsn) for dsn in (self._places.direct, self._places.gated, self._places.twin)]
        self.played.left_out["prepared transactions that the script left behind"] += max(left)
        return self.played

    def _connect(self) -> None:
        self._direct = Direct(self._places.direct)
        self._gated = Gated(self._places.gated)
        self._twin = Twin(self._places.twin)
        self._checks = Checks(self._direct, self._gated, self._twin)
        self._step = Step(self._direct, self._gated, self._twin)

    def _close(self) -> None:
        for session in (self._direct, self._gated, self._twin):
            session.close()

    # -- backslash commands ----------------------------------------------------------------------------------

    def _branch(self, command: Command, states: list[str]) -> None:
        r"""`\if` and its kin; a state is `now`, `later` (no branch was taken yet) or `done`."""
        if command.name == "if":
            states.append("now" if self._holds(command) else "later")
        elif states and command.name == "endif":
            states.pop()
        elif states and states[-1] == "now":
            states[-1] = "done"
        elif states and states[-1] == "later" and (command.name == "else" or self._holds(command)):
            states[-1] = "now"

    def _holds(self, command: Command) -> bool:
        return "".join(read_arguments(command.argument, self._direct.variables)).lower() in _TRUE

    def _command(self, command: Command) -> None:
        arguments = read_arguments(command.argument, self._direct.variables)
        if command.name == "set" and arguments:
            for session in (self._direct, self._gated, self._twin):
                words = read_arguments(command.argument, session.variables)
                session.variables[words[0]] = "".join(words[1:])
        elif command.name == "unset" and arguments:
            for session in (self._direct, self._gated, self._twin):
                session.variables.pop(arguments[0], None)
        elif command.name == "getenv" and len(arguments) > 1:
            for session in (self._direct, self._gated, self._twin):
                session.variables[arguments[0]] = self._places.environment.get(arguments[1], "")
        elif command.name in {"c", "connect"} and set(arguments) <= {"-"}:
            kept = self._direct.variables, self._gated.variables, self._twin.variables
            self._close()
            self._connect()
            self._direct.variables, self._gated.variables, self._twin.variables = kept
        elif command.name == "copy" and command.data is not None:
            self._copy_in(f"COPY {command.argument}", command.data)
        elif command.name not in _SHOWS_ONLY:
            self.played.left_out[
                f"psql's own command \\{command.name[:1] if command.name[0] == 'd' else command.name}"
            ] += 1

    def _copy_in(self, text: str, data: str) -> None:
        """psql's own \\copy runs directly everywhere."""
        self._direct.copy_in(text, data)
        self._gated.bypass(text, data)
        self._twin.copy_in(text, data)
        self.played.left_out["psql's own command \\copy"] += 1

    # -- statements ------------------------------------------------------------------------------------------

    def _statement(self, statement: Statement) -> None:
        if statement.joined or statement.send in {"gdesc", "bind", "watch"}:
            what = "several statements in one message" if statement.joined else f"psql's own command \\{statement.send}"
            self.played.left_out[what] += 1
            return
        texts = [replace_variables(statement.text, s.variables) for s in (self._direct, self._gated, self._twin)]
        for part in _parts(statement, texts):
            direct, gated, twin = self._compare(statement, *part)
        if statement.send == "gset":
            for session, seen in ((self._direct, direct), (self._gated, gated), (self._twin, twin)):
                _set_variables(session.variables, seen, statement.argument)
        elif statement.send == "gexec":
            made = zip(_cells(direct), _cells(gated), _cells(twin), strict=False)
            for texts_made in made:
                self._compare(Statement(texts_made[0], statement.line), *texts_made)

    def _compare(self, statement: Statement, text: str, gated_text: str, twin_text: str) -> tuple[Seen, Seen, Seen]:
        """Run one statement on the three sessions, keep them in step, and note the verdict."""
        tree = tree_of(gated_text)
        data = statement.data
        direct = self._direct.run(text) if data is None else self._direct.copy_in(text, data)
        gated = self._gated.run(gated_text)
        verdict, reason = self._checks.verdict(tree, twin_text, direct, gated)
        twin = self._twin.run(twin_text) if data is None else self._twin.copy_in(twin_text, data)
        if verdict is Verdict.DIFFERENT and difference(direct, twin, ordered=True):
            verdict = Verdict.UNSTABLE
        note = ""
        if verdict is Verdict.IDENTICAL and direct.rows != gated.rows:
            note = "rows in another order"
        if verdict is Verdict.REFUSED and direct.failed:
            verdict, note = Verdict.BOTH, f"{direct.sqlstate} {direct.message}"[:200]
        shown = " ".join(gated_text.split())
        self.played.outcomes.append(
            Outcome(self._name, statement.line, shown[:2000], verdict, is_select(tree), reason, note)
        )
        gated = self._step.follow(gated_text, data, direct, gated)
        if self._step.apart:
            self.played.left_out["statements that left the databases in different states"] += 1
        return direct, gated, twin


def _parts(statement: Statement, texts: list[str]) -> Iterator[tuple[str, str, str]]:
    """The texts as they are sent: what stands in a variable may be several statements."""
    if statement.data is not None or all(text == statement.text for text in texts):
        yield (texts[0], texts[1], texts[2])
        return
    cut = [[item.text for item in read_script(text) if isinstance(item, Statement)] or [text] for text in texts]
    yield from zip(*cut, strict=False)


def _set_variables(variables: dict[str, str], seen: Seen, prefix: str) -> None:
    if len(seen.rows) == 1:
        for name, value in zip(seen.names, seen.rows[0], strict=True):
            if value is None:
                variables.pop(prefix + name, None)
            else:
                variables[prefix + name] = value


def _cells(seen: Seen) -> Iterator[str]:
    for row in seen.rows:
        yield from (cell for cell in row if cell is not None)
