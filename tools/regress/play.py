"""Plays a script on three sessions in step, and says of every statement what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tools.regress.outcomes import Outcome, Verdict
from tools.regress.script import Command, Statement, read_arguments, read_script, replace_variables
from tools.regress.seen import Seen, difference, same_types
from tools.regress.sessions import Direct, Gated
from tools.regress.twin import NotChecked, Twin, behind

from dbgate.errors import StatementError
from dbgate.gate.names import kind_of
from dbgate.gate.protection import Protection, Unmasked, protection_for
from dbgate.gate.syntax import parse_one
from dbgate.model import Deny, Rewrite, Tree

_ABORT = "ABORTED BY THE COMPARISON"
"""No SQL: brings an open transaction to the failed state that another session is in."""
_SHOWS_ONLY = frozenset("pset echo qecho warn a t x timing o w p encoding r errverbose".split())
_DATA_ONLY = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "CopyStmt", "FetchStmt"})
"""Statements that leave the catalog as it is."""
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
        return self.played

    def _connect(self) -> None:
        self._direct = Direct(self._places.direct)
        self._gated = Gated(self._places.gated)
        self._twin = Twin(self._places.twin)

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
        direct, gated, twin = self._compare(statement, *texts)
        if statement.send == "gset":
            for session, seen in ((self._direct, direct), (self._gated, gated), (self._twin, twin)):
                _set_variables(session.variables, seen, statement.argument)
        elif statement.send == "gexec":
            made = zip(_cells(direct), _cells(gated), _cells(twin), strict=False)
            for texts_made in made:
                self._compare(Statement(texts_made[0], statement.line), *texts_made)

    def _compare(self, statement: Statement, text: str, gated_text: str, twin_text: str) -> tuple[Seen, Seen, Seen]:
        """Run one statement on the three sessions, keep them in step, and note the verdict."""
        tree = _tree(gated_text)
        data = statement.data
        direct = self._direct.run(text) if data is None else self._direct.copy_in(text, data)
        gated = self._gated.run(gated_text)
        judgement = self._gated.last_judgement
        decision = judgement.decision if judgement else None
        denied = self._gated.shown.denied
        verdict, reason = Verdict.IDENTICAL, ""
        if denied:
            verdict, reason = Verdict.REFUSED, decision.reason if isinstance(decision, Deny) else denied
        elif found := difference(direct, gated, ordered=is_ordered(tree)):
            verdict, reason = Verdict.DIFFERENT, found
            if isinstance(decision, Rewrite) and (decision.masked or decision.output):
                verdict, reason = self._check_mask(tree, twin_text, direct, gated, decision, found)
            elif kind_of(tree)[0] == "FetchStmt" and self._gated.rewrote_cursor(kind_of(tree)[1].get("portalname", "")):
                verdict = Verdict.UNCHECKED
        twin = self._twin.run(twin_text) if data is None else self._twin.copy_in(twin_text, data)
        if verdict is Verdict.DIFFERENT and difference(direct, twin, ordered=True):
            verdict = Verdict.UNSTABLE
        note = ""
        if verdict is Verdict.IDENTICAL and direct.rows != gated.rows:
            note = "rows in another order"
        if verdict is Verdict.REFUSED and direct.failed:
            note = f"PostgreSQL gives an error too: {direct.sqlstate}"
        shown = " ".join(gated_text.split())
        self.played.outcomes.append(
            Outcome(self._name, statement.line, shown[:2000], verdict, is_select(tree), reason, note)
        )
        gated = self._bring_into_step(gated_text, data, direct, gated, denied=bool(denied))
        return direct, gated, twin

    def _check_mask(
        self, tree: Tree, text: str, direct: Seen, gated: Seen, decision: Rewrite, found: str
    ) -> tuple[Verdict, str]:
        """Whether an answer with masks is the one that masks should give."""
        kind = kind_of(tree)[0]
        if kind == "ExplainStmt":
            return (
                (Verdict.PLAN, "") if direct.names == gated.names and not gated.failed else (Verdict.DIFFERENT, found)
            )
        if kind in {"SelectStmt", "ExecuteStmt", "CopyStmt"}:
            try:
                wanted = self._masked_twin(text)
                wanted.transaction = gated.transaction
                found = difference(wanted, gated)
                if not found:
                    return Verdict.MASKED, ""
                again = self._masked_twin(text)
                again.transaction = gated.transaction
                if difference(wanted, again, ordered=True):
                    return Verdict.UNSTABLE, found
                return Verdict.DIFFERENT, f"with masks: {found}"
            except NotChecked as why:
                found = f"{found}; no twin: {why}"
        if _same_beside(direct, gated, decision.output):
            return Verdict.COLUMNS, ""
        if not gated.failed and direct.names == gated.names and same_types(direct.types, gated.types):
            return Verdict.UNCHECKED, found
        return Verdict.DIFFERENT, found

    def _masked_twin(self, text: str) -> Seen:
        judgement = self._gated.last_judgement
        if judgement is None:
            raise NotChecked("no judgement")
        protection = self._protection()
        oids = [touch.relation.oid for touch in judgement.statement.touches if touch.relation]
        return self._twin.masked(text, behind(oids, protection), protection)

    def _protection(self) -> Protection:
        gated = self._gated
        return protection_for(gated.catalog, gated.policy, gated.identity, Unmasked())

    def _bring_into_step(self, text: str, data: str | None, direct: Seen, gated: Seen, *, denied: bool) -> Seen:
        """Have the databases in the same state again where the gate refused, or an answer was another."""
        stopped = denied or (gated.failed and (not direct.failed or gated.transaction != direct.transaction))
        if stopped and gated.transaction != "failed":
            gated = self._gated.bypass(text, data, defines=kind_of(_tree(text))[0] not in _DATA_ONLY)
        if gated.transaction == "failed" and direct.transaction == "open":
            for session in (self._direct, self._twin):
                session.run(_ABORT)
        elif direct.transaction == "failed" and gated.transaction == "open":
            self._gated.bypass(_ABORT)
        return gated


def _same_beside(direct: Seen, gated: Seen, masked: tuple[int, ...]) -> bool:
    """Whether rows, in order, are the same but for masked columns."""
    if direct.failed or gated.failed or direct.names != gated.names or not same_types(direct.types, gated.types):
        return False
    if len(direct.rows) != len(gated.rows) or not masked or direct.transaction != gated.transaction:
        return False
    kept = [i for i in range(len(direct.names)) if i not in masked]
    return all([a[i] for i in kept] == [b[i] for i in kept] for a, b in zip(direct.rows, gated.rows, strict=True))


def _tree(text: str) -> Tree:
    try:
        return parse_one(text)
    except StatementError:
        return {}


def is_select(tree: Tree) -> bool:
    """Whether the statement is a query: SELECT, VALUES or TABLE, that makes no table."""
    kind, body = kind_of(tree) if tree else ("", {})
    while "larg" in body:
        body = body["larg"]
    return kind == "SelectStmt" and not body.get("intoClause")


def is_ordered(tree: Tree) -> bool:
    """Whether the query asks for an order."""
    kind, body = kind_of(tree) if tree else ("", {})
    return kind == "SelectStmt" and bool(body.get("sortClause"))


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


Progress = Callable[[str], None]
