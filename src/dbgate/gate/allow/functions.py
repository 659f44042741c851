"""Which functions of `pg_catalog` a statement may call.

The lists stand in `safe_functions.txt` and `refused_functions.txt`, one name a line; `tools/review_functions.py` compares
them with the `pg_proc` of real servers (PostgreSQL 15 to 18). The gate asks by name, before the server has resolved
the call, so a name is as unsafe as its worst overload; only the number of arguments can tell overloads apart.

A function can be called without a `FuncCall` node: `('x'::text).pg_read_file` and `row.name` (PostgreSQL manual, 8.16.5)
call it with one argument. The names in an `A_Indirection` and the last one of a `ColumnRef` have to be asked about
too, with `argument_count=1`.
"""

from __future__ import annotations

import functools
import os

from dbgate.gate.allow.verdict import NOT_REVIEWED, SAFE, UNKNOWN, Verdict

__all__ = ["NOT_REVIEWED", "REASONS", "SAMPLE_METHODS", "Verdict", "call_by_dot", "refused", "safe", "verdict"]

_FOLDER = os.path.dirname(__file__)  # noqa: PTH120 (pathlib and importlib.resources cost start-up time)

REASONS: dict[str, tuple[str, str]] = {
    "large-objects": ("large objects are data that no policy can label", "keep the data in a bytea column"),
    "locks": ("it takes or releases locks that the statement does not show", "use LOCK or SELECT … FOR UPDATE"),
    "not-callable": ("it cannot be called from SQL", ""),
    "other-sessions": ("it shows what other sessions do", "see pg_stat_activity, without the statements' text"),
    "own-query-text": ("it shows statements as dbgate sent them", "see the session's record"),
    "reads-files": ("it reads the server's files", ""),
    "reads-relations": ("it reads relations that it is told by name", "select from them"),
    "replication": ("it reads or steers the write-ahead log and replication", ""),
    "row-samples": ("it shows samples of stored rows", ""),
    "runs-sql": ("it runs text as SQL", "write the query as a statement of its own"),
    "server-internals": ("it serves the server and its administrators", ""),
    "settings": ("it reads or changes settings past dbgate", "use SHOW, SET and RESET"),
    "signals": ("it steers the server or other sessions", ""),
    "sleeps": ("it only waits", "wait outside the database"),
    "type-input-output": ("it is the inner part of a type", "use a cast"),
    "writes": ("it changes the database behind the statement's verb", ""),
}
"""Why a function is refused: class → (the reason, what to do instead)."""

_SETTING = Verdict(False, "setting-reader", "it takes the name of a setting as a constant", kind="settings")
_SETS = Verdict(
    False, "setting-writer", "it changes a setting that may not be changed, or not so", "use SET", kind="settings"
)
_TYPE = Verdict(False, "type-reader", "it takes the name of a type, whose checks may run code", "use a cast")
_SEQUENCE = Verdict(
    False,
    "writes-sequence",
    "it changes a sequence, which has to be named by a constant",
    "write 'schema.sequence', or pg_get_serial_sequence('schema.table', 'column')",
)
_NUMBER = Verdict(
    False,
    "reads-sequence",
    "it shows the last number of a sequence, which has to be named by a constant",
    "write 'schema.sequence', or use RETURNING",
    kind="reads-relations",
)
_TRANSACTION = Verdict(
    False, "assigns-transaction-id", "it assigns a transaction id", "use pg_current_xact_id_if_assigned()", "writes"
)

SPECIAL: dict[str, Verdict] = {
    "current_setting": _SETTING,
    "currval": _NUMBER,
    "lastval": _NUMBER,
    "nextval": _SEQUENCE,
    "pg_current_xact_id": _TRANSACTION,
    "pg_input_error_info": _TYPE,
    "pg_input_is_valid": _TYPE,
    "set_config": _SETS,
    "setval": _SEQUENCE,
    "txid_current": _TRANSACTION,
}
"""Functions that are safe under a condition.

- `setting-reader`: the first argument is a constant, and that setting may be shown (`setting_verdict(…, "show")`).
- `setting-writer`: name and value are constants, and a `SET` may give the setting that value.
- `type-reader`: the second argument is a constant that names a type which a cast may name.
- `reads-sequence`: the first argument is a constant that names a sequence which numbers nothing hidden; without an argument, no
  sequence of the database does.
- `writes-sequence`: the first argument is a constant; the statement then writes that sequence.
- `assigns-transaction-id`: changes no data; a gate that lets it pass counts the statement as a write.
"""

_BY_COUNT: dict[str, tuple[int, ...]] = {"ts_rewrite": (3,)}
"""Names whose overloads differ in safety, and the numbers of arguments that are safe; the others run text as SQL."""

INFORMATION_SCHEMA = frozenset(
    """_pg_char_max_length _pg_char_octet_length _pg_datetime_precision _pg_expandarray _pg_index_position
    _pg_interval_type _pg_numeric_precision _pg_numeric_precision_radix _pg_numeric_scale _pg_truetypid
    _pg_truetypmod""".split()
)
"""The functions of `information_schema`: computations on catalog values. pgJDBC calls `_pg_expandarray`."""

TYPE_CALLS = frozenset(
    """aclitem bit bool box bpchar bytea char cid cidr circle date datemultirange daterange float4 float8 inet int2
    int2vector int4 int4multirange int4range int8 int8multirange int8range interval json jsonb jsonpath line lseg macaddr
    macaddr8 money name nummultirange numrange numeric oid oidvector path pg_lsn pg_snapshot point polygon refcursor
    regclass regcollation regconfig regdictionary regnamespace regoper regoperator regproc regprocedure regrole regtype
    text tid time timestamp timestamptz timetz tsmultirange tsquery tsrange tstzmultirange tstzrange tsvector
    txid_snapshot uuid varbit varchar xid xid8 xml""".split()
)
"""Types that can be written as a call with one argument: `regclass('t')` is the cast `'t'::regclass`."""

SAMPLE_METHODS = frozenset({"bernoulli", "system"})
"""Methods that `TABLESAMPLE` may name (`RangeTableSample.method`); they are functions that nothing else can call."""


def verdict(name: str, argument_count: int | None = None, schema: str = "pg_catalog") -> Verdict:
    """Say whether a statement may call a built-in function by this name (as the parse tree writes it).

    `argument_count` is the number of arguments written in the call, or None when it is not known. `schema` is
    `pg_catalog` or `information_schema`; functions of other schemas are the policy's to allow.
    """
    if schema != "pg_catalog":
        return SAFE if schema == "information_schema" and name in INFORMATION_SCHEMA else UNKNOWN
    if name in safe():
        return SAFE
    if name in SPECIAL:
        return SPECIAL[name]
    if argument_count is not None and argument_count in _BY_COUNT.get(name, ()):
        return SAFE
    if name in TYPE_CALLS and argument_count in (None, 1):
        return SAFE
    kind = refused().get(name)
    if kind is None:
        return UNKNOWN
    reason, hint = REASONS[kind]
    return Verdict(False, reason=reason, hint=hint, kind=kind)


def call_by_dot(name: str) -> Verdict:
    """Say whether `expression.name` may stand in a statement where `name` may turn out to be a function.

    A name that is no built-in function is safe here: it can only be a field, or a function that the policy judges.
    """
    found = verdict(name, 1)
    return SAFE if found.reason == NOT_REVIEWED else found


@functools.cache
def safe() -> frozenset[str]:
    """The names of the functions that were reviewed as safe, whatever their arguments."""
    return frozenset(_lines("safe_functions.txt"))


@functools.cache
def refused() -> dict[str, str]:
    """The names of the functions that were reviewed as unsafe, each with its class of `REASONS`."""
    found: dict[str, str] = {}
    kind = ""
    for line in _lines("refused_functions.txt"):
        if line.startswith("["):
            kind = line[1:-1]
        else:
            found[line] = kind
    return found


def _lines(file: str) -> list[str]:
    with open(os.path.join(_FOLDER, file), encoding="ascii") as text:  # noqa: PTH118, PTH123
        return [line for line in text.read().split("\n") if line and not line.startswith("#")]
