"""Settings that a statement sets, resets or shows, by SET, RESET and SHOW or by `set_config('…', '…', …)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dbgate.gate.allow.settings import setting_verdict, timeout_ms
from dbgate.gate.names import kind_of
from dbgate.gate.policy.model import Limits
from dbgate.model import Tree

if TYPE_CHECKING:
    from dbgate.gate.contents import Contents


def change_setting(body: Tree, contents: Contents, limits: Limits) -> None:
    """A SET or RESET: refuse what may not be changed, or not so."""
    name = str(body.get("name", "")).lower()
    if body.get("kind") == "VAR_RESET_ALL":
        contents.refuse("RESET ALL would reset what dbgate has set", "reset single settings")
        return
    contents.settings.append(name)
    action = "set" if body.get("kind") in {"VAR_SET_VALUE", "VAR_SET_MULTI"} else "reset"
    value = _value(body.get("args", ()))
    found = setting_verdict(name, action, value)
    if found.safe or (found.special == "search_path" and _plain_path(body)):
        return
    if found.special == "bounded" and _within(name, action, value, limits):
        return
    contents.refuse(f"the setting {name} cannot be changed: {found.reason}", found.hint)


def _value(args: Sequence[Tree]) -> str | None:
    """The one constant of a SET, in text form."""
    if len(args) != 1:
        return None
    kind, body = kind_of(args[0])
    if kind != "A_Const":
        return None
    for key, inner in (("sval", "sval"), ("ival", "ival"), ("fval", "fval")):
        if key in body:
            return str(body[key].get(inner, 0 if key == "ival" else ""))
    return None


def _plain_path(body: Tree) -> bool:
    """Whether a search path leaves `pg_catalog` in front, and temporary objects out of the way of functions."""
    names = [n["A_Const"].get("sval", {}).get("sval", "") for n in body.get("args", ()) if "A_Const" in n]
    return "pg_catalog" not in names[1:] and not any(n.startswith("pg_temp") for n in names)


def _within(name: str, action: str, value: str | None, limits: Limits) -> bool:
    """Whether a timeout stays within the policy's limit; without one it may have any value."""
    limit = {"statement_timeout": limits.statement_timeout_s, "lock_timeout": limits.lock_timeout_s}.get(
        name, limits.idle_s
    )
    if limit is None:
        return True
    wanted = timeout_ms(value) if value is not None else None
    return action == "set" and wanted is not None and 0 < wanted <= limit * 1000


def show_setting(body: Tree, contents: Contents) -> None:
    """A SHOW: refuse what may not be seen."""
    name = str(body.get("name", "")).lower()
    contents.settings.append(name)
    found = setting_verdict(name, "show")
    if not found.safe:
        contents.refuse(f"the setting {name} cannot be shown: {found.reason}", found.hint)


def sets(arguments: Sequence[Tree], contents: Contents, limits: Limits) -> bool:
    """Whether `set_config('name', 'value', …)` does what a SET may do."""
    constants = [constant(argument) for argument in arguments[:2] if "A_Const" in argument]
    if len(arguments) != 3 or len(constants) != 2 or None in constants:
        return False
    name, value = str(constants[0]).lower(), constants[1]
    contents.settings.append(name)
    found = setting_verdict(name, "set", value)
    return found.safe or (found.special == "bounded" and _within(name, "set", value, limits))


def constant(node: Tree) -> str | None:
    """The text of a string constant, through casts; None for any other expression."""
    kind, body = kind_of(node)
    while kind == "TypeCast":
        kind, body = kind_of(body.get("arg"))
    value = body.get("sval", {}).get("sval") if kind == "A_Const" else None
    return str(value) if value is not None else None
