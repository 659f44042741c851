"""The text of a write's clauses, found by its tokens: WITH, FROM or USING, WHERE, and MERGE's branches."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from dbgate.gate.lexer import Offsets, Tokens, clause
from dbgate.gate.names import kind_of
from dbgate.gate.splice import normal
from dbgate.gate.syntax import parse_one
from dbgate.model import Tree


class ClauseText:
    """A data-changing statement's text, its tree's `body`, and where its target stands."""

    def __init__(self, text: str, body: Tree) -> None:
        self.text = text
        self.tokens = Tokens(text)
        self.start = self.tokens.index_at(Offsets(text).to_chars(int(body["relation"]["location"])))

    def find(self, word: str) -> int | None:
        """The index of a keyword at the top level behind the target; `IS DISTINCT FROM` is none."""
        return clause(self.tokens, self.start, word)

    def conflict(self) -> int | None:
        """The index of ON CONFLICT: the last one before DO. A join may have an ON, too, and a column may be called conflict."""
        tokens, do = self.tokens.list, self.find("do")
        pairs = [i for i in range(self.start, do or 0) if tokens[i].word == "on" and tokens[i + 1].word == "conflict"]
        return pairs[-1] if pairs else None

    def begin(self, index: int) -> int:
        """The offset of a token."""
        return self.tokens.list[index].start

    def end(self, index: int) -> int:
        """The offset behind a token."""
        return self.tokens.list[index].end

    def between(self, first: int, last: int) -> str:
        """The text behind one token and before another."""
        return self.text[self.end(first) : self.begin(last)]

    def prefix(self, body: Tree) -> str | None:
        """The text of the statement's WITH clause; None when it changes data itself."""
        clause = body.get("withClause")
        if not clause:
            return ""
        if any("SelectStmt" not in n["CommonTableExpr"]["ctequery"] for n in clause["ctes"]):
            return None
        index = self.start
        while index > 0 and self.tokens.list[index].word not in {"insert", "update", "delete", "merge"}:
            index -= 1
        return self.text[: self.begin(index)]


class Branch(msgspec.Struct, frozen=True):
    """One WHEN of a MERGE: for which pairs, on which further condition (text, or empty), and what it does."""

    matched: str
    condition: str
    does: str
    assigned: frozenset[str] = frozenset()


_DOES = {"CMD_UPDATE": "update", "CMD_DELETE": "delete", "CMD_INSERT": "insert"}
_PAIRS = {"MERGE_WHEN_NOT_MATCHED_BY_SOURCE": "by source", "MERGE_WHEN_NOT_MATCHED_BY_TARGET": "by target"}


def branches(clauses: ClauseText, body: Tree) -> list[Branch] | None:
    """The branches of a MERGE, in order; None unless each condition's text holds the branch's own condition."""
    texts = list(_conditions(clauses))
    nodes = [node["MergeWhenClause"] for node in body["mergeWhenClauses"]]
    if len(texts) != len(nodes):
        return None
    found = []
    for text, node in zip(texts, nodes, strict=True):
        made = kind_of(parse_one(f"SELECT WHERE {text}"))[1].get("whereClause") if text else None
        if normal(made) != normal(node.get("condition")):
            return None
        assigned = frozenset(n["ResTarget"]["name"] for n in node.get("targetList", ()))
        pairs = _PAIRS.get(node.get("matchKind", ""), "matched")
        found.append(Branch(pairs, text, _DOES.get(node.get("commandType", ""), ""), assigned))
    return found


def _conditions(clauses: ClauseText) -> Iterator[str]:
    """The text between AND and THEN of every WHEN at the top level; empty where there is none."""
    depth, begun, condition = 0, False, -1
    for index in range(clauses.find("when") or len(clauses.tokens.list), len(clauses.tokens.list)):
        token = clauses.tokens.list[index]
        if token.word == "case":
            depth += 1
        elif token.word == "end" and depth:
            depth -= 1
        elif depth == 0 and token.word == "when":
            begun, condition = True, -1
        elif depth == 0 and begun and token.word == "and" and condition < 0:
            condition = index
        elif depth == 0 and begun and token.word == "then":
            yield clauses.between(condition, index) if condition >= 0 else ""
            begun = False
