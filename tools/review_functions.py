"""Compare the allow-lists of `dbgate.gate.allow` with real servers, and add what was reviewed.

    python tools/review_functions.py DSN…                        list what no list has; exit code 1 if there is anything
    python tools/review_functions.py DSN… --write                also file what cannot be called from SQL as such
    python tools/review_functions.py --safe NAME NAME            file functions as safe, once a person has read their code
    python tools/review_functions.py --refuse writes NAME NAME   file functions under a reason
    python tools/review_functions.py --counts                    how many stand where (docs/functions.md)

The questions of a review: does it read a relation, a file, another session, the text of a statement or a setting; does
it run text as SQL or call functions by name; does it write, lock, wait or signal. `IMMUTABLE` is a promise of its
author, not an answer.
"""

from __future__ import annotations

import argparse
import collections
import sys
from pathlib import Path

import psycopg

from dbgate.gate.allow import functions
from dbgate.gate.allow.functions import INFORMATION_SCHEMA, REASONS, SPECIAL, TYPE_CALLS
from dbgate.gate.allow.system import system_verdict
from dbgate.gate.allow.verdict import NOT_REVIEWED

FOLDER = Path(functions.__file__).parent
SAFE, REFUSED = FOLDER / "safe_functions.txt", FOLDER / "refused_functions.txt"
KNOWN_TYPES = TYPE_CALLS | set(
    "gtsvector pg_brin_bloom_summary pg_brin_minmax_multi_summary pg_dependencies pg_mcv_list pg_ndistinct pg_node_tree".split()
)
"""Base types: those that a call may name, and those that only the server makes values of."""

FUNCTIONS = """
SELECT p.proname, pg_get_function_identity_arguments(p.oid), format_type(p.prorettype, NULL), p.provolatile,
  'internal'::regtype = ANY (p.proargtypes::oid[]) OR p.prorettype IN ('internal'::regtype, 'trigger'::regtype,
    'event_trigger'::regtype, 'language_handler'::regtype, 'fdw_handler'::regtype, 'index_am_handler'::regtype,
    'table_am_handler'::regtype, 'tsm_handler'::regtype) AS closed,
  'cstring'::regtype = ANY (p.proargtypes::oid[]) OR '_cstring'::regtype = ANY (p.proargtypes::oid[])
    OR p.prorettype = 'cstring'::regtype AS inner_part,
  coalesce(obj_description(p.oid, 'pg_proc'), '')
FROM pg_proc p WHERE p.pronamespace = %s::regnamespace ORDER BY 1, 2
"""
RELATIONS = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v', 'm', 'f', 'p') ORDER BY 1, 2
"""
TYPES = """
SELECT typname FROM pg_type
WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND typcategory <> 'A' ORDER BY 1
"""


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dsn", nargs="*", help="servers to compare with")
    parser.add_argument("--write", action="store_true", help="file what cannot be called from SQL")
    parser.add_argument("--safe", nargs="+", default=[], metavar="NAME", help="functions that are safe")
    parser.add_argument("--refuse", nargs="+", default=[], metavar="NAME", help="a reason, and functions to refuse")
    parser.add_argument("--counts", action="store_true", help="print how many names stand where")
    options = parser.parse_args()
    file(options.safe, options.refuse[1:], options.refuse[0] if options.refuse else "")
    if options.counts:
        print_counts()
    missing = 0
    for dsn in options.dsn:
        missing += review(dsn, write=options.write)
    return 1 if missing else 0


def review(dsn: str, *, write: bool) -> int:
    """Print what no list has on one server; return how many names that are."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(FUNCTIONS, ["pg_catalog"]).fetchall()
        own = connection.execute(FUNCTIONS, ["information_schema"]).fetchall()
        relations = connection.execute(RELATIONS).fetchall()
        types = connection.execute(TYPES).fetchall()
        version = connection.info.server_version // 10000
    unknown = unreviewed({row[0] for row in rows})
    if write:
        closed = {name for name in unknown if all(row[4] for row in rows if row[0] == name)}
        inner = {name for name in unknown - closed if all(row[4] or row[5] for row in rows if row[0] == name)}
        file([], sorted(closed), "not-callable")
        file([], sorted(inner), "type-input-output")
        unknown -= closed | inner
    found = [f"function {r[0]}({r[1]}) -> {r[2]}, {r[3]}: {r[6]}" for r in rows if r[0] in unknown]
    found += [f"function information_schema.{r[0]}" for r in own if r[0] not in INFORMATION_SCHEMA]
    found += [f"type {name}" for (name,) in types if name not in KNOWN_TYPES]
    found += [
        f"relation {schema}.{name}" for schema, name in relations if system_verdict(schema, name).reason == NOT_REVIEWED
    ]
    for line in found:
        print(f"PostgreSQL {version}: not reviewed: {line}")
    return len(found)


def unreviewed(names: set[str]) -> set[str]:
    """The names that stand on no list."""
    return names - functions.safe() - set(functions.refused()) - set(SPECIAL)


def file(safe: list[str], refused: list[str], kind: str) -> None:
    """Add names to the lists and write the files anew, sorted. A name moves when it stood elsewhere."""
    if refused and kind not in REASONS:
        sys.exit(f"error: no such reason: {kind}\nhint: one of {', '.join(sorted(REASONS))}")
    if not safe and not refused:
        return
    kinds = {name: k for name, k in functions.refused().items() if name not in safe} | dict.fromkeys(refused, kind)
    names = (functions.safe() | set(safe)) - set(refused)
    by_kind: dict[str, list[str]] = collections.defaultdict(list)
    for name, k in kinds.items():
        by_kind[k].append(name)
    SAFE.write_text(head(SAFE) + "".join(f"{name}\n" for name in sorted(names)))
    REFUSED.write_text(
        head(REFUSED)
        + "".join(f"[{k}]\n" + "".join(f"{name}\n" for name in sorted(by_kind[k])) for k in sorted(by_kind))
    )
    functions.safe.cache_clear()
    functions.refused.cache_clear()


def head(path: Path) -> str:
    """The comment lines at the top of a list."""
    return "".join(line for line in path.read_text().splitlines(keepends=True) if line.startswith("#"))


def print_counts() -> None:
    """Print how many names stand on each list, as rows of the table in docs/functions.md."""
    print(f"| safe | {len(functions.safe())} |")
    for kind, count in sorted(collections.Counter(functions.refused().values()).items()):
        print(f"| {kind} | {count} | {REASONS[kind][0]} |")


if __name__ == "__main__":
    sys.exit(main())
