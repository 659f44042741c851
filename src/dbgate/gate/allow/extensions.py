"""Functions of well-known extensions that run text as SQL, or read relations, pages, files or other servers past the gate.

Trust in an extension (`functions: {extensions: […]}`) does not cover them; each has to be allowed by its own signature.
"""

from __future__ import annotations

_ALL = "*"
_PAST: dict[str, frozenset[str]] = {
    name: frozenset(functions.split())
    for name, functions in {
        "adminpack": _ALL,
        "age": "cypher",
        "amcheck": _ALL,
        "citus": "run_command_on_all_nodes run_command_on_colocated_placements run_command_on_coordinator "
        "run_command_on_placements run_command_on_shards run_command_on_workers",
        "dblink": _ALL,
        "lo": _ALL,
        "pageinspect": _ALL,
        "pg_background": _ALL,
        "pg_cron": _ALL,
        "pg_qualstats": _ALL,
        "pg_stat_monitor": _ALL,
        "pg_stat_statements": _ALL,
        "pg_surgery": _ALL,
        "pg_walinspect": _ALL,
        "pgtap": _ALL,
        "plproxy": _ALL,
        "postgis": "find_srid st_estimatedextent st_findextent",
        "tablefunc": "connectby crosstab crosstab2 crosstab3 crosstab4",
        "xml2": "xpath_table",
    }.items()
}


def reads_past_the_gate(extension: str, function: str) -> bool:
    """Whether a function of an extension brings out what no label can follow."""
    names = _PAST.get(extension, frozenset())
    return function in names or _ALL in names
