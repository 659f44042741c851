"""Columns in clear for a while: what a policy lets an identity ask for, and which columns a statement shows by a grant.

A grant opens tags for statements that only read. What writes is decided as if there were none: the reviewers agreed
to values being seen, not to their being stored elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from dbgate.errors import UsageError
from dbgate.gate.findings import labels_met
from dbgate.gate.policy.globs import is_glob, matches
from dbgate.gate.policy.match import tag_matches
from dbgate.gate.policy.model import Policy, Unmask, UnmaskApproval
from dbgate.gate.protection import Protection, Unmasked
from dbgate.gate.statement import Examined
from dbgate.model import Access, ColumnName, Deny, Identity, OpenedColumn
from dbgate.text import suggest


class Offer(msgspec.Struct, frozen=True):
    """Tags, without globs and sorted, that one `unmask` entry of the policy opens with approval."""

    rule: Unmask
    approval: UnmaskApproval
    tags: tuple[str, ...]


class Plan(msgspec.Struct, frozen=True):
    """What has to be asked so that tags are seen in clear, and those that the identity sees anyway."""

    offers: tuple[Offer, ...]
    in_clear: tuple[str, ...] = ()


def plan_unmasking(policy: Policy, identity: Identity, wanted: Sequence[str]) -> Plan | Deny:
    """Whom to ask for the tags that `wanted` names, by tag or by glob: as few requests as the policy's entries allow.

    Raises `UsageError` for what names no tag of the policy.
    """
    offered, in_clear = _offered(policy, identity), always_visible(policy, identity)
    asked: dict[str, None] = {}
    for name in wanted:
        found = _named(policy, name)
        usable = [tag for tag in found if tag in offered or tag in in_clear]
        if not usable:
            return _not_offered(identity, found)
        asked |= dict.fromkeys(usable)
    left = [tag for tag in asked if tag not in in_clear]
    offers: list[Offer] = []
    while left:
        rules = dict.fromkeys(rule for tag in left for rule in offered[tag])
        rule = max(rules, key=lambda r: sum(r in offered[tag] for tag in left))
        covered = sorted(tag for tag in left if rule in offered[tag])
        if rule.approval is not None:
            offers.append(Offer(rule, rule.approval, tuple(covered)))
        left = [tag for tag in left if tag not in covered]
    return Plan(tuple(offers), tuple(tag for tag in asked if tag in in_clear))


def imagined_grant(policy: Policy, identity: Identity, wanted: Sequence[str]) -> Unmasked:
    """What would be open if reviewers agreed to `wanted`. Raises `UsageError` where the identity could not ask for it."""
    if not wanted:
        return Unmasked()
    plan = plan_unmasking(policy, identity, wanted)
    if isinstance(plan, Deny):
        raise UsageError(plan.reason, hint=plan.hint)
    tags = tuple(sorted({tag for offer in plan.offers for tag in offer.tags}))
    return Unmasked(tags, tuple((tag, "imagined") for tag in tags))


def always_visible(policy: Policy, identity: Identity) -> tuple[str, ...]:
    """The tags that an identity sees in clear without asking anybody."""
    globs = [glob for rule in _rules_for(policy, identity) if rule.approval is None for glob in rule.tags]
    return tuple(tag for tag in known_tags(policy) if tag_matches(globs, tag))


def offers_for(policy: Policy, identity: Identity, tags: Iterable[str]) -> tuple[Offer, ...]:
    """The entries by which an identity may ask for any of `tags`, which it sees masked. Never raises."""
    offered, in_clear = _offered(policy, identity), always_visible(policy, identity)
    found: dict[Unmask, list[str]] = {}
    for tag in sorted(set(tags)):
        if tag in offered and tag not in in_clear:
            found.setdefault(offered[tag][0], []).append(tag)
    return tuple(Offer(r, r.approval, tuple(names)) for r, names in found.items() if r.approval is not None)


def columns_with(protection: Protection, tags: Sequence[str]) -> tuple[ColumnName, ...]:
    """The columns of a database that carry any of the tags."""
    wanted = set(tags)
    labels = (label for columns in protection.labels.values() for found in columns.values() for label in found)
    return tuple(sorted({label.column for label in labels if label.tag in wanted}))


def only_reads(examined: Examined) -> bool:
    """Whether a statement writes, makes and locks nothing, so that a grant may show it values."""
    return not examined.found.targets and examined.made is None and examined.access.strength <= Access.READ.strength


def opened_columns(examined: Examined, protection: Protection) -> tuple[tuple[ColumnName, str], ...]:
    """The labelled columns that only a grant lets the identity see and that the statement meets, each with its tag.

    A column that another tag hides is a mask as a whole; that of a view may hold some values in clear beside masks.
    A view that chooses its rows by such a column is named as `schema.view.*`.
    """
    met = labels_met(examined.found)
    hidden = {label.column for label in met if label.hidden and not _of_view(label.column, protection)}
    found = {(x.column, x.tag) for x in met if x.column not in hidden and protection.opens(x.tag)}
    for entry in examined.found.reads:
        view = entry.relation
        tags = protection.tags.predicates.get(view.oid, ()) if view else ()
        found |= {(ColumnName(view.schema, view.name, "*"), tag) for tag in tags if view and protection.opens(tag)}
    return tuple(sorted(found))


def _of_view(column: ColumnName, protection: Protection) -> bool:
    relation = protection.schema.by_name.get((column.schema, column.table))
    return relation is not None and relation.kind == "v"


def by_grant(opened: Iterable[tuple[ColumnName, str]], unmasked: Unmasked) -> tuple[OpenedColumn, ...]:
    """The opened columns, each with the grant that opens its tag."""
    grants = dict(unmasked.grants)
    return tuple(OpenedColumn(column, tag, grants[tag]) for column, tag in opened if tag in grants)


def known_tags(policy: Policy) -> tuple[str, ...]:
    """The tags that the policy's `classify` entries give."""
    return tuple(dict.fromkeys(entry.tag for entry in policy.classify))


def _rules_for(policy: Policy, identity: Identity) -> list[Unmask]:
    groups = set(identity.groups)
    return [rule for rule in policy.unmask if groups & set(rule.groups)]


def _offered(policy: Policy, identity: Identity) -> dict[str, list[Unmask]]:
    """The tags that the identity may ask for, each with the entries that let it."""
    rules = [rule for rule in _rules_for(policy, identity) if rule.approval is not None]
    found = {tag: [rule for rule in rules if tag_matches(rule.tags, tag)] for tag in known_tags(policy)}
    return {tag: opening for tag, opening in found.items() if opening}


def _named(policy: Policy, name: str) -> list[str]:
    """The tags that a tag or a glob names."""
    known = known_tags(policy)
    found = [tag for tag in known if (matches(name, tag) if is_glob(name) else tag == name)]
    if not found:
        raise UsageError(f"no such tag: {name}", hint=suggest(name, known) or "the policy labels nothing")
    return found


def _not_offered(identity: Identity, tags: Sequence[str]) -> Deny:
    groups = ", ".join(identity.groups) or "none"
    return Deny(
        f"no unmask entry of the policy lets you ask to see {', '.join(tags)} in clear", hint=f"your groups: {groups}"
    )
