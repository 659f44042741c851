"""Who may decide a request, and whether enough people have agreed. Pure.

Reviewers are distinct people, never the requester nor the human behind an agent, and one person fills
one place only, however many groups they are in. People of two issuers are told apart by their e-mail addresses;
where one has none, nobody can tell, and they count as one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from dbgate.model import Actor, Identity, ReviewClause


def fold(text: str) -> str:
    """An e-mail or a name in the form in which two are compared: NFKC, without case and outer spaces."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def same_person(one: Identity, other: Identity) -> bool:
    """Whether two identities are one person: the same issuer and subject, or the same e-mail."""
    return one.key == other.key or (bool(fold(one.email)) and fold(one.email) == fold(other.email))


def cannot_be_told_apart(one: Identity, other: Identity) -> bool:
    """Whether two people of two issuers may be one: a subject says nothing at another issuer, so both need an e-mail."""
    people = Actor.SERVICE not in (one.actor, other.actor)
    return people and one.issuer != other.issuer and not (fold(one.email) and fold(other.email))


def is_behind(person: Identity, agent: Identity) -> bool:
    """Whether `agent` acts on behalf of `person`, by e-mail, or by subject at the same issuer."""
    behind = fold(agent.on_behalf_of)
    by_subject = behind == fold(person.subject) and person.issuer == agent.issuer
    return bool(behind) and (behind == fold(person.email) or by_subject)


def why_not(reviewer: Identity, requester: Identity, clauses: Sequence[ReviewClause]) -> str:
    """Why `reviewer` may not decide a request of `requester`; empty when they may."""
    if reviewer.actor is not Actor.HUMAN:
        return f"only people decide requests, not {_plural(reviewer.actor)}"
    if reviewer.on_behalf_of:
        return "only people who act for themselves decide requests"
    if reviewer.key == requester.key:
        return "nobody decides their own request"
    if same_person(reviewer, requester):
        return "nobody decides their own request: it was filed with the same e-mail address"
    if is_behind(reviewer, requester):
        return "nobody decides a request that an agent filed on their behalf"
    if cannot_be_told_apart(reviewer, requester):
        return (
            "you and the requester signed in at different issuers, and not both with an e-mail: you may be one person"
        )
    if not any(in_clause(reviewer, clause) for clause in clauses):
        wanted = ", ".join(sorted({group for clause in clauses for group in clause.groups}))
        return f"the policy asks for reviewers in: {wanted}"
    return ""


def why_not_break(person: Identity, groups: Sequence[str]) -> str:
    """Why `person` may not run at once, before anybody agrees, what is open to `groups`; empty when they may."""
    if person.actor is not Actor.HUMAN or person.on_behalf_of:
        return "only people who act for themselves break the glass"
    if set(person.groups).isdisjoint(groups):
        return f"the policy lets only these groups break the glass: {', '.join(sorted(groups)) or 'none'}"
    return ""


def who_else(person: Identity, clauses: Sequence[ReviewClause]) -> str:
    """What to tell somebody who may not decide: whom to ask instead, or which groups they are in."""
    if not any(in_clause(person, clause) for clause in clauses):
        return f"your groups: {', '.join(person.groups) or 'none'}"
    return f"ask somebody else in: {', '.join(sorted({group for clause in clauses for group in clause.groups}))}"


def owns(person: Identity, requester: Identity) -> bool:
    """Whether a request is the person's own: they filed it, or the agent that acts for them did, at the same issuer.

    Another issuer may give anybody an e-mail; that must not open a request to them.
    """
    return person.key == requester.key or (person.issuer == requester.issuer and is_behind(person, requester))


def is_requester(caller: Identity, requester: Identity) -> bool:
    """Whether the caller is exactly who asked: an agent is neither its human nor another agent of theirs."""
    return (caller.key, caller.actor) == (requester.key, requester.actor) and (
        caller.actor is not Actor.AGENT
        or (caller.name, caller.on_behalf_of) == (requester.name, requester.on_behalf_of)
    )


def may_see(
    person: Identity, requester: Identity, clauses: Sequence[ReviewClause], approvers: Sequence[Identity]
) -> bool:
    """Whether a request concerns the person: it is their own, theirs to decide, or they approved it."""
    return (
        owns(person, requester)
        or any(in_clause(person, clause) for clause in clauses)
        or any(person.key == approver.key for approver in approvers)
    )


def in_clause(person: Identity, clause: ReviewClause) -> bool:
    """Whether the person is in one of the clause's groups."""
    return not set(person.groups).isdisjoint(clause.groups)


def open_places(approvers: Sequence[Identity], clauses: Sequence[ReviewClause]) -> tuple[ReviewClause, ...]:
    """The clauses with the number of people each still needs, after the best assignment of `approvers`.

    Every approver fills at most one place. The assignment is a maximum bipartite matching
    (augmenting paths, Kuhn 1955), so nobody is wasted on a place that somebody else could fill.
    Approvers who are one person count once.
    """
    places = [number for number, clause in enumerate(clauses) for _ in range(clause.count)]
    people = _distinct(approvers)
    holder: dict[int, int] = {}

    def seat(person: int, tried: set[int]) -> bool:
        for place, clause in enumerate(places):
            if place in tried or not in_clause(people[person], clauses[clause]):
                continue
            tried.add(place)
            if place not in holder or seat(holder[place], tried):
                holder[place] = person
                return True
        return False

    for person in range(len(people)):
        seat(person, set())
    missing = [0] * len(clauses)
    for place, clause in enumerate(places):
        if place not in holder:
            missing[clause] += 1
    return tuple(
        ReviewClause(groups=clause.groups, count=count) for clause, count in zip(clauses, missing, strict=True) if count
    )


def places(clauses: Sequence[ReviewClause]) -> int:
    """How many people all clauses need together."""
    return sum(clause.count for clause in clauses)


def _distinct(people: Sequence[Identity]) -> list[Identity]:
    found: list[Identity] = []
    for person in people:
        if not any(same_person(person, known) or cannot_be_told_apart(person, known) for known in found):
            found.append(person)
    return found


def _plural(actor: Actor) -> str:
    return {"service": "services", "agent": "agents"}[actor.value]
