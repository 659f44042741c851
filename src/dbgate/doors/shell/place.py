"""Where the cursor stands in a statement: what may come next, and which tables are in scope."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

import msgspec

from dbgate.doors.shell.names import folded
from dbgate.doors.shell.words import RESERVED
from dbgate.gate.lexer import Token, tokens

_SENTINEL = "\x01"


class Wants(Enum):
    """What may stand at the cursor."""

    NOTHING = auto()
    START = auto()
    RELATION = auto()
    COLUMN = auto()
    TARGET_COLUMN = auto()
    CONDITION = auto()
    SETTING = auto()
    TYPE = auto()
    KEYWORD = auto()


class TableRef(msgspec.Struct, frozen=True):
    """A table as a statement names it: names folded, `schema` and `alias` perhaps empty."""

    schema: str
    name: str
    alias: str = ""

    @property
    def called(self) -> str:
        """The name that columns are qualified with."""
        return self.alias or self.name


class Place(msgspec.Struct, frozen=True):
    """The cursor's place. `prefix` is the unfinished word, `qualifier` the names before its dots (folded).

    `tables` are all tables of the statement, in order; `queries` the names of its common table expressions.
    """

    wants: Wants
    prefix: str = ""
    qualifier: tuple[str, ...] = ()
    tables: tuple[TableRef, ...] = ()
    queries: tuple[str, ...] = ()


_RELATION_WORDS = frozenset({"from", "join", "into", "update", "table", "truncate", "view", "copy", "references"})
_COLUMN_WORDS = frozenset({"select", "where", "having", "returning", "by", "when", "distinct", "and", "or", "not"})
_PASSED = frozenset({"only", "lateral", "if", "exists", "concurrently"})
_AFTER_VALUE = frozenset({"word", "quoted", "string", "number", "param", "name"})


def place_of(text: str, cursor: int) -> Place:
    """Find the cursor's place in `text` (which may hold several statements)."""
    before = list(tokens(text[:cursor] + _SENTINEL))
    if not before or before[-1].text != _SENTINEL:
        return Place(Wants.NOTHING)  # within a comment
    before.pop()
    before, prefix = _unfinished(before, text[:cursor], cursor)
    if prefix is None:
        return Place(Wants.NOTHING)
    start = _statement_start(before)
    before = before[start:]
    before, qualifier = _qualifier(before)
    behind = _first_statement(list(tokens(text[cursor:])))
    tables, queries = _scope([*before, *behind])
    wants = Wants.COLUMN if qualifier else _wanted(before)
    if qualifier and _wanted(before) in {Wants.RELATION, Wants.TYPE}:
        wants = _wanted(before)
    return Place(wants, prefix, qualifier, tables, queries)


def _unfinished(before: list[Token], text: str, cursor: int) -> tuple[list[Token], str | None]:
    """The tokens before the word that is being typed, and that word; None where nothing is to be proposed."""
    for index, token in enumerate(before):
        if token.kind == "other" and token.text in {"'", "$"}:
            return before, None
        if token.kind == "other" and token.text == '"':
            return before[:index], text[token.start :]
    if before and before[-1].end == cursor:
        last = before[-1]
        if last.kind == "word":
            return before[:-1], last.text
        if last.kind in {"quoted", "string", "number", "param", "name"}:
            return before, None
    return before, ""


def _statement_start(before: Sequence[Token]) -> int:
    for index in range(len(before) - 1, -1, -1):
        if before[index].text == ";":
            return index + 1
    return 0


def _first_statement(behind: list[Token]) -> list[Token]:
    for index, token in enumerate(behind):
        if token.text == ";":
            return behind[:index]
    return behind


def _qualifier(before: list[Token]) -> tuple[list[Token], tuple[str, ...]]:
    names: list[str] = []
    end = len(before)
    while end >= 2 and before[end - 1].text == "." and before[end - 2].kind in {"word", "quoted"}:
        names.insert(0, folded(before[end - 2].text))
        end -= 2
    return before[:end], tuple(names)


def _wanted(before: Sequence[Token]) -> Wants:
    """What may follow these tokens of one statement."""
    if not before:
        return Wants.START
    first = before[0].word
    stack = [Wants.START]
    for index, token in enumerate(before):
        last = before[index - 1] if index else None
        if token.text == "(" and token.kind == "mark":
            stack.append(_opened(stack[-1], last))
        elif token.text == ")" and token.kind == "mark" and len(stack) > 1:
            stack.pop()
        else:
            stack[-1] = _after_word(token, last, first, stack[-1])
    return _at_end(before[-1], before[-2] if len(before) > 1 else None, stack[-1])


def _opened(outer: Wants, last: Token | None) -> Wants:
    """What stands first in a parenthesis."""
    word = last.word if last else ""
    if outer is Wants.RELATION:
        is_list_of_names = last is not None and last.kind in {"word", "quoted"} and word not in RESERVED
        return Wants.TARGET_COLUMN if is_list_of_names else Wants.START
    return Wants.START if word in {"as", "exists", "in", "union", "intersect", "except"} else Wants.COLUMN


def _after_word(token: Token, last: Token | None, first: str, state: Wants) -> Wants:
    """The state behind a word."""
    word = token.word
    before = last.word if last else ""
    if word in {"set", "show", "reset"} and last is None:
        return Wants.SETTING
    if word == "set":
        return Wants.TARGET_COLUMN
    if word == "update" and last is not None:
        return state if before == "for" else Wants.TARGET_COLUMN
    if word == "using":
        return Wants.RELATION if first in {"delete", "merge"} else Wants.COLUMN
    if word == "on":
        return Wants.RELATION if first in {"create", "grant", "revoke", "comment"} else Wants.CONDITION
    if word in _RELATION_WORDS and not (word == "from" and before == "distinct"):
        return Wants.RELATION
    if word in {"and", "or"} and state in {Wants.CONDITION, Wants.TARGET_COLUMN}:
        return state
    if word in _COLUMN_WORDS:
        return Wants.COLUMN
    return state


def _at_end(last: Token, before_last: Token | None, state: Wants) -> Wants:
    """What may come directly behind `last` in a clause of that state."""
    word = last.word
    if last.kind == "cast" or (word == "as" and state is Wants.COLUMN and _within_cast(before_last)):
        return Wants.TYPE
    if last.kind == "other":
        return Wants.NOTHING
    if state is Wants.START:
        return Wants.START if last.text == "(" else Wants.KEYWORD
    if state is Wants.SETTING:
        return Wants.SETTING if word in {"set", "show", "reset", "local", "session"} else Wants.KEYWORD
    if state is Wants.RELATION:
        awaits = word in _RELATION_WORDS | _PASSED | {"using", "on"} or last.text == ","
        return Wants.RELATION if awaits else Wants.KEYWORD
    is_value = last.kind in _AFTER_VALUE and word not in RESERVED and word not in {"by", "set", "returning"}
    if is_value or last.text == ")" or word in {"null", "true", "false", "end"}:
        return Wants.KEYWORD
    if state is Wants.TARGET_COLUMN and last.kind == "operator":
        return Wants.COLUMN
    return state


def _within_cast(token: Token | None) -> bool:
    return token is not None and token.kind in _AFTER_VALUE and token.word not in RESERVED


def _scope(statement: Sequence[Token]) -> tuple[tuple[TableRef, ...], tuple[str, ...]]:
    """The tables and common table expressions that a statement names, at whatever depth."""
    tables: list[TableRef] = []
    queries: list[str] = []
    index = 0
    in_list = False
    first = statement[0].word if statement else ""
    while index < len(statement):
        token = statement[index]
        word = token.word
        opens = word in {"from", "join", "into"} or (word == "update" and index == 0)
        opens = opens or (word == "using" and first in {"delete", "merge"})
        if opens or (in_list and token.text == ","):
            in_list = word in {"from", "using"} or in_list
            index, table = _table(statement, index + 1, is_target=word == "into")
            tables += [table] if table else []
            continue
        if word in RESERVED and word not in {"as", "on"}:
            in_list = False
        if word == "as" and _begins_query(statement, index):
            queries.append(folded(statement[index - 1].text))
        index += 1
    return tuple(dict.fromkeys(tables)), tuple(queries)


def _begins_query(statement: Sequence[Token], index: int) -> bool:
    """Whether the `as` at `index` belongs to `name AS (` of a WITH."""
    is_with = statement[0].word in {"with", "explain"}
    behind = [t.text.lower() for t in statement[index + 1 : index + 4]]
    opens = "(" in behind and all(text in {"(", "not", "materialized"} for text in behind[: behind.index("(")])
    return is_with and opens and index > 0 and statement[index - 1].kind in {"word", "quoted"}


def _table(statement: Sequence[Token], index: int, *, is_target: bool) -> tuple[int, TableRef | None]:
    """Read `[ONLY] [schema.]name [[AS] alias]` from `index`; return where to go on. A target may have columns behind it."""
    while index < len(statement) and statement[index].word in {"only", "lateral"}:
        index += 1
    if index >= len(statement) or not _is_name(statement[index]):
        return index, None
    names = [folded(statement[index].text)]
    index += 1
    while index + 1 < len(statement) and statement[index].text == "." and _is_name(statement[index + 1]):
        names.append(folded(statement[index + 1].text))
        index += 2
    if index < len(statement) and statement[index].text == "(" and not is_target:
        return index, None  # a function
    has_as = index < len(statement) and statement[index].word == "as"
    at = index + has_as
    alias = ""
    if at < len(statement) and _is_name(statement[at]) and statement[at].word not in {"set", "values"}:
        alias = folded(statement[at].text)
        index = at + 1
    return index, TableRef(names[-2] if len(names) > 1 else "", names[-1], alias)


def _is_name(token: Token) -> bool:
    return token.kind == "quoted" or (token.kind == "word" and token.word not in RESERVED)
