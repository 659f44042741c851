"""Keeps the three databases in the same state, whatever the gate refused or put masks into.

What the gate refuses runs past it, so that the statements behind it find what they expect. Two things are the other
way round. A setting that the gate refuses stays as it was everywhere: the gate reads statements by it. And a table
that was filled through the gate holds masks, so it is made again past the gate.
"""

from __future__ import annotations

from tools.regress.seen import Seen
from tools.regress.sessions import Direct, Gated, setting
from tools.regress.trees import changed_setting, defines, filled_table, from_prepared, tree_of

from dbgate.gate.names import literal, qualified, quote
from dbgate.model import Rewrite, Tree

_ABORT = "ABORTED BY THE COMPARISON"
"""No SQL: brings an open transaction to the failed state that another session is in."""


class Step:
    """Three sessions, to be kept in step."""

    def __init__(self, direct: Direct, gated: Gated, twin: Direct) -> None:
        self._direct, self._gated, self._twin = direct, gated, twin
        self.apart = False
        """Whether the latest statement took effect on one side only, for all that was done."""

    def follow(self, text: str, data: str | None, direct: Seen, gated: Seen) -> Seen:
        """Bring the sessions into the same state after `text` ran on all three; what the gated one gives in the end."""
        tree = tree_of(text)
        denied = bool(self._gated.shown.denied)
        name, local = changed_setting(tree)
        if denied and name:
            self._set_back(name, local=local)
        elif denied or (gated.failed and (not direct.failed or gated.transaction != direct.transaction)):
            gated = self._gated.bypass(text, data, defines=defines(tree))
            if from_prepared(tree) and not gated.failed and (table := filled_table(tree)):
                self._copy_over(_name(table))
        elif not gated.failed and self._rewritten() and (table := filled_table(tree)):
            gated = self._fill_again(table, text, gated)
        if gated.transaction == "failed" and direct.transaction == "open":
            for session in (self._direct, self._twin):
                session.run(_ABORT)
        elif direct.transaction == "failed" and gated.transaction == "open":
            gated = self._gated.bypass(_ABORT)
        elif direct.transaction == "idle" and gated.transaction != "idle":
            self._gated.bypass("ROLLBACK")
        self.apart = gated.failed != direct.failed and not (denied and name)
        return gated

    def _rewritten(self) -> bool:
        judgement = self._gated.last_judgement
        return judgement is not None and isinstance(judgement.decision, Rewrite)

    def _set_back(self, name: str, *, local: bool) -> None:
        """Undo a setting that the gate refused where it was not refused."""
        value = setting(self._gated.connection, name)
        if value is None:
            return
        scope = "true" if local else "false"
        for session in (self._direct, self._twin):
            if setting(session.connection, name) not in {None, value}:
                session.run(f"SELECT pg_catalog.set_config({literal(name)}, {literal(value)}, {scope})")

    def _fill_again(self, table: Tree, text: str, gated: Seen) -> Seen:
        if not gated.status.startswith("SELECT"):
            return gated  # it was there already
        self._gated.bypass(f"DROP TABLE {_name(table)}", defines=False)
        return self._gated.bypass(text)

    def _copy_over(self, name: str) -> None:
        """Give a table of the gated database the rows that it has in the direct one."""
        lines = b"".join(self._direct.connection.copy_out(f"COPY {name} TO STDOUT"))
        self._gated.bypass(f"TRUNCATE {name}", defines=False)
        self._gated.bypass(f"COPY {name} FROM STDIN", lines.decode(), defines=False)


def _name(table: Tree) -> str:
    """The name of a table as the statement has it."""
    schema = table.get("schemaname", "")
    return qualified(schema, table["relname"]) if schema else quote(table["relname"])
