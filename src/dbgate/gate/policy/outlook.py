"""What a policy lets an identity do in general, before any statement is known."""

from __future__ import annotations

from collections.abc import Mapping

from dbgate.gate.policy.match import is_meant
from dbgate.gate.policy.model import Policy, Rule
from dbgate.gate.policy.verbs import VERBS
from dbgate.model import Access, Identity

SHOWN = (Access.READ, Access.WRITE, Access.DDL, Access.ADMIN)


def outlook(policy: Policy, identity: Identity, environment: str) -> Mapping[Access, str]:
    """For each access that some rule opens to the identity: `allow`, or `approve` when only reviewers can.

    An access that a rule denies whatever the statement is left out. Single statements may still be denied.
    """
    rules = [r for r in policy.rules if is_meant(r.when, identity, environment)]
    found: dict[Access, str] = {}
    for access in SHOWN:
        effects = {r.effect for r in rules if _concerns(r, access)}
        if any(r.effect == "deny" and _is_total(r, access) for r in rules):
            continue
        if "allow" in effects or "approve" in effects:
            found[access] = "allow" if "allow" in effects else "approve"
    return found


def _concerns(rule: Rule, access: Access) -> bool:
    """Whether a rule can match statements of that access on the database's own tables."""
    when = rule.when
    if when.access and access not in when.access:
        return False
    if when.verbs and access not in {VERBS[verb] for verb in when.verbs}:
        return False
    return not when.tables or any(not glob.startswith("pg_temp.") for glob in when.tables)


def _is_total(rule: Rule, access: Access) -> bool:
    """Whether a rule matches every statement of that access."""
    when = rule.when
    narrow = when.tables or when.tags or when.rows or when.where_missing or when.inside or when.outside or when.verbs
    return not narrow and _concerns(rule, access)
