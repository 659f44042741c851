"""Does a condition give the same when it is counted and when it runs, right after, in the same transaction?

`current_setting('transaction_read_only')` does not, nor does `random()`: rows that are counted by them say nothing.
Source: `provolatile` of PostgreSQL 15 to 18, and the functions that show the state of the session or its transaction.
"""

from __future__ import annotations

from typing import Any

from dbgate.gate.names import kind_of, strings
from dbgate.gate.relations import SYSTEM_SCHEMAS

_CHANGING = frozenset(
    """array_sample array_shuffle clock_timestamp current_setting currval gen_random_uuid lastval nextval pg_blocking_pids
    pg_current_snapshot pg_current_xact_id pg_current_xact_id_if_assigned pg_listening_channels pg_lock_status
    pg_notification_queue_usage pg_prepared_xact pg_safe_snapshot_blocking_pids pg_show_all_settings pg_sequence_last_value
    pg_trigger_depth pg_xact_status random random_normal set_config setseed setval statement_timestamp timeofday
    txid_current txid_current_if_assigned txid_current_snapshot txid_status uuidv4 uuidv7""".split()
)
_CHANGING_PREFIXES = ("pg_stat_", "pg_get_sequence", "pg_get_wal", "pg_get_wait", "pg_last_", "pg_snapshot_")


def is_steady(tree: Any) -> bool:
    """Whether nothing below a node asks for what changes by itself, or with the transaction. Names are qualified."""
    todo = [tree]
    while todo:
        current = todo.pop()
        if isinstance(current, list):
            todo += current
        elif isinstance(current, dict):
            if not _may_stay(current):
                return False
            todo += [v for v in current.values() if isinstance(v, dict | list)]
    return True


def _may_stay(node: dict[str, Any]) -> bool:
    kind, body = kind_of(node)
    match kind:
        case "FuncCall":
            names = strings(body.get("funcname", ()))[-1:]
            if names == ["current_setting"] and _names_steady_setting(body):
                return True
        case "ColumnRef":  # `x.random` may be a call
            names = strings(body.get("fields", ()))[1:]
        case "A_Indirection":
            names = strings(body.get("indirection", ()))
        case "RangeTableSample":
            return False
        case "RangeVar" if body.get("schemaname") in SYSTEM_SCHEMAS:
            return False
        case _:
            return True
    return not any(name in _CHANGING or name.startswith(_CHANGING_PREFIXES) for name in names)


def _names_steady_setting(call: dict[str, Any]) -> bool:
    """Counting changes `transaction_read_only` alone; masks read the key of their session."""
    kind, body = kind_of(next(iter(call.get("args", ())), None))
    name = body.get("sval", {}).get("sval", "") if kind == "A_Const" else ""
    return bool(name) and not name.lower().startswith("transaction")
