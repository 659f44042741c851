"""The data-changing parts of a statement, each as a text that stands alone, so that its rows can be counted.

`EXPLAIN ANALYZE UPDATE …`, `COPY (DELETE …) TO STDOUT` and what was prepared hold one; a WITH clause may hold several.
Locks are left out, for counting takes none, and rows that are inserted draw no numbers. Every text is parsed and has to be the part of the
statement's own tree that it stands for; what cannot be taken apart so is None, and rules on rows count as met.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dbgate.errors import StatementError
from dbgate.gate.lexer import Offsets, Tokens, clause
from dbgate.gate.names import column_references, kind_of, strings
from dbgate.gate.splice import Edit, RewriteError, Splices, expression_tree, normal
from dbgate.gate.syntax import parse_one
from dbgate.model import Tree

CHANGES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_STARTS = frozenset({"with", "select", "insert", "update", "delete", "merge"})
_LOCKS = (("update",), ("no", "key", "update"), ("share",), ("key", "share"))
_NUMBER = "CAST(0 AS bigint)"


def changing_parts(text: str) -> tuple[str, ...] | None:
    """The parts of a statement that change data; the statement's own first, if it is one. None when it has others."""
    try:
        quiet = _quiet(_inner(text))
        return None if quiet is None else _split(quiet)
    except (LookupError, RewriteError, StatementError):
        return None


def _inner(text: str) -> str:
    """The query or data-changing statement that a statement holds. Raises `LookupError` when it cannot be found."""
    kind, body = kind_of(parse_one(text))
    if kind in CHANGES or kind == "SelectStmt":
        return text
    wanted = normal(body.get("query"))
    tokens = Tokens(text)
    for index, token in enumerate(tokens.list):
        if token.word not in _STARTS:
            continue
        end = len(text)
        if index and tokens.list[index - 1].text == "(":
            end = tokens.list[tokens.matching(index - 1)].start
        part = text[token.start : end]
        try:
            if normal(parse_one(part)) == wanted:
                return part
        except StatementError:
            continue
    raise LookupError(text)


def _quiet(text: str) -> str | None:
    """The text without `FOR UPDATE` and the like, and with constants for the numbers that sequences would give."""
    tree = _without_locks(parse_one(text))
    tokens, offsets = Tokens(text), Offsets(text)
    splices = Splices([Edit(start, end, " ") for start, end in _locks(tokens)])
    for body in _drawn(tree):
        start = tokens.index_at(offsets.to_chars(int(body["location"])))
        end = tokens.matching(tokens.name_end(start))
        splices.edits.append(Edit(tokens.list[start].start, tokens.list[end].end, _NUMBER))
        splices.nodes[id(body)] = expression_tree(_NUMBER)
    if not splices.edits:
        return text
    quiet = splices.apply(text)
    splices.prove(tree, quiet)
    return quiet


def _without_locks(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_locks(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: _without_locks(value) for key, value in node.items() if key != "lockingClause"}


def _locks(tokens: Tokens) -> Iterator[tuple[int, int]]:
    """Where locking clauses seem to stand: `substring(x FOR update)` looks like one, and fails the proof."""
    words = [token.word for token in tokens.list]
    for index, word in enumerate(words):
        if word != "for":
            continue
        lock = next((k for k in _LOCKS if tuple(words[index + 1 : index + 1 + len(k)]) == k), None)
        if lock is None:
            continue
        last = index + len(lock)
        if words[last + 1 : last + 2] == ["of"]:
            last = tokens.name_end(last + 2) - 1
            while last + 2 < len(words) and tokens.list[last + 1].text == ",":
                last = tokens.name_end(last + 2) - 1
        if words[last + 1 : last + 2] == ["nowait"]:
            last += 1
        elif words[last + 1 : last + 3] == ["skip", "locked"]:
            last += 2
        yield tokens.list[index].start, tokens.list[last].end


def _drawn(tree: Tree) -> Iterator[Tree]:
    """The calls of `nextval` that make columns of inserted rows: a transaction that cannot write draws no number."""
    todo: list[Any] = [tree]
    while todo:
        current = todo.pop()
        if isinstance(current, list):
            todo += current
        elif isinstance(current, dict):
            kind, body = kind_of(current)
            select = body.get("selectStmt", {}).get("SelectStmt", {}) if kind == "InsertStmt" else {}
            if not select.get("distinctClause") and not select.get("groupClause"):
                for target in select.get("targetList", ()):
                    name, call = kind_of(target["ResTarget"].get("val"))
                    if name == "FuncCall" and strings(call.get("funcname", ()))[-1:] == ["nextval"]:
                        yield call
            todo += [v for v in current.values() if isinstance(v, dict | list)]


def _split(text: str) -> tuple[str, ...] | None:
    """A statement and the data-changing members of its WITH clause, each with the plain members before it."""
    tree = parse_one(text)
    kind, body = kind_of(tree)
    listed = body.get("withClause", {})
    members = [node["CommonTableExpr"] for node in listed.get("ctes", ())]
    if not any(kind_of(m["ctequery"])[0] in CHANGES for m in members):
        return (text,) if kind in CHANGES else ()
    if listed.get("recursive"):
        return None
    tokens, offsets = Tokens(text), Offsets(text)
    plain: list[tuple[str, Tree]] = []
    changing: set[str] = set()
    parts: list[str] = []
    end = 0
    for member in members:
        start = tokens.index_at(offsets.to_chars(int(member["location"])))
        opening = _opening(tokens, start)
        closing = tokens.matching(opening)
        end = tokens.list[closing].end
        query = text[tokens.list[opening].end : tokens.list[closing].start]
        if _names(member["ctequery"]) & changing:
            return None
        read = text[tokens.list[start].start : end], {"CommonTableExpr": member}
        if kind_of(member["ctequery"])[0] in CHANGES:
            parts.append(_alone(query, member["ctequery"], plain))
            shown = _as_query(query)
            if shown is None:
                changing.add(member["ctename"])
                continue
            before = text[tokens.list[start].start : tokens.list[opening].end]
            read = f"{before}{shown})", {"CommonTableExpr": {**member, "ctequery": parse_one(shown)}}
        plain.append(read)
    if kind in CHANGES:
        statement = {key: value for key, value in body.items() if key != "withClause"}
        if _names(statement) & changing:
            return None
        parts.insert(0, _alone(text[end:], {kind: statement}, plain))
    return tuple(parts)


def _as_query(text: str) -> str | None:
    """The query that gives what `DELETE … RETURNING …` returns, or an UPDATE that returns columns which it does not set.

    None when it is another statement, or the query cannot be made.
    """
    kind, body = kind_of(parse_one(text))
    if kind not in _READ_BEFORE or not body.get("returningList") or body.get("withClause"):
        return None
    if kind == "UpdateStmt" and _returns_new(body):
        return None
    key, word = _READ_BEFORE[kind]
    tokens = Tokens(text)
    start = tokens.index_at(Offsets(text).to_chars(int(body["relation"]["location"])))
    first = start - 1 if tokens.list[start - 1].word == "only" else start
    assigning = clause(tokens, start, "set") if kind == "UpdateStmt" else None
    using, where, returning = (clause(tokens, assigning or start, name) for name in (word, "where", "returning"))
    if returning is None:
        return None
    shown = text[tokens.list[returning].end :]
    stop = next(i for i in (assigning, using, where, returning) if i is not None)
    others = ""
    if using is not None:
        others = ", " + text[tokens.list[using].end : tokens.list[returning if where is None else where].start]
    condition = "" if where is None else text[tokens.list[where].start : tokens.list[returning].start]
    query = f"SELECT {shown} FROM {text[tokens.list[first].start : tokens.list[stop].start]}{others} {condition}"
    made = kind_of(parse_one(query))[1]
    found = [made.get("targetList"), made["fromClause"], made.get("whereClause")]
    wanted = [
        body["returningList"],
        [{"RangeVar": body["relation"]}, *body.get(key, [])],
        body.get("whereClause"),
    ]
    return query if normal(found) == normal(wanted) else None


_READ_BEFORE = {"DeleteStmt": ("usingClause", "using"), "UpdateStmt": ("fromClause", "from")}
"""Statements whose rows can be read before they run: where their tree and their text have the other relations."""


def _returns_new(body: Tree) -> bool:
    """Whether an UPDATE may return what it sets: a column of SET, a whole row, `*`, `old` and `new`."""
    relation = body["relation"]
    row = relation.get("alias", {}).get("aliasname") or relation["relname"]
    set_names = {node["ResTarget"].get("name", "") for node in body["targetList"]}
    for fields in column_references(body["returningList"]):
        names = strings(fields)
        if "A_Star" in fields[-1] or names[-1] in set_names or names == [row] or names[0] in {"old", "new"}:
            return True
    return False


def _opening(tokens: Tokens, start: int) -> int:
    """The index of the parenthesis that opens a member's query: `name (columns) AS NOT MATERIALIZED (`."""
    index = start
    while tokens.list[index].word != "as":  # which is reserved: no name is written so without quotes
        index = tokens.matching(index) + 1 if tokens.list[index].text == "(" else index + 1
    while tokens.list[index].text != "(":
        index += 1
    return index


def _alone(text: str, tree: Tree, plain: Sequence[tuple[str, Tree]]) -> str:
    """A part with the plain members before it. Raises `RewriteError` when that is not what stands in the tree."""
    kind, body = kind_of(tree)
    if not plain:
        wanted, made = tree, text
    elif body.get("withClause"):
        raise RewriteError("WITH within WITH")
    else:
        wanted = {kind: {**body, "withClause": {"ctes": [node for _, node in plain]}}}
        made = f"WITH {', '.join(member for member, _ in plain)} {text}"
    if normal(parse_one(made)) != normal(wanted):
        raise RewriteError("the part is not the statement's own")
    return made


def _names(node: Any) -> set[str]:
    """The names of all relations below a node that have no schema."""
    found: set[str] = set()
    todo = [node]
    while todo:
        current = todo.pop()
        if isinstance(current, list):
            todo += current
        elif isinstance(current, dict):
            if "relname" in current and not current.get("schemaname"):
                found.add(current["relname"])
            todo += [v for v in current.values() if isinstance(v, dict | list)]
    return found
