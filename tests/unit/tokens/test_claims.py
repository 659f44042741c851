"""From claims to an identity: groups are never guessed, agents are never taken for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dbgate.model import Actor, Assurance, Identity
from dbgate.tokens import TokenRefused, identity_from
from dbgate.tokens.claims import MAX_ACTORS, MAX_GROUPS

CLAIMS: dict[str, Any] = {
    "iss": "https://login.example.com/t",
    "sub": "u-1",
    "iat": 1_700_000_000,
    "exp": 1_800_000_000,
    "email": "alice@example.com",
}


def identity(*, groups_claim: str = "groups", actor_claim: str = "", service: bool = False, **changes: Any) -> Identity:
    return identity_from(CLAIMS | changes, groups_claim=groups_claim, actor_claim=actor_claim, service=service)


def test_a_person() -> None:
    found = identity(name="Alice", groups=["dba", "engineering", "dba"])
    assert found == Identity(
        issuer="https://login.example.com/t",
        subject="u-1",
        email="alice@example.com",
        name="Alice",
        groups=("dba", "engineering"),
        actor=Actor.HUMAN,
        assurance=Assurance.OIDC,
        signed_in_at=datetime.fromtimestamp(1_700_000_000, UTC),
        expires_at=datetime.fromtimestamp(1_800_000_000, UTC),
    )


def test_a_service() -> None:
    assert identity(service=True).actor is Actor.SERVICE


@pytest.mark.parametrize(
    "groups",
    [
        "engineering",
        None,
        {"dba": True},
        [1],
        ["dba", None],
        [["dba"]],
        [""],
        ["d\x1bba"],
        ["a\u202eb"],
        ["x" * 257],
        7,
        True,
    ],
)
def test_groups_that_are_not_names_are_refused(groups: Any) -> None:
    with pytest.raises(TokenRefused, match="'groups' is not a list of group names"):
        identity(groups=groups)


def test_too_many_groups_are_refused_and_never_cut() -> None:
    assert len(identity(groups=[f"g{number}" for number in range(MAX_GROUPS)]).groups) == MAX_GROUPS
    with pytest.raises(TokenRefused, match="more than 1000 groups"):
        identity(groups=[f"g{number}" for number in range(MAX_GROUPS + 1)])


@pytest.mark.parametrize(
    "overage",
    [
        {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph.example.com"}}},
        {"_claim_names": {"groups": "src1"}},
        {"_claim_names": {"groups": "src1"}, "groups": ["dba"]},
        {"hasgroups": True},
        {"hasgroups": "true"},
    ],
)
def test_groups_kept_elsewhere_are_refused_and_never_read_as_none(overage: dict[str, Any]) -> None:
    with pytest.raises(TokenRefused, match="left the groups out because there are too many"):
        identity(**overage)


@pytest.mark.parametrize(
    "odd", [{"_claim_names": ["groups"]}, {"_claim_names": "groups"}, {"_claim_sources": {"src1": {}}}]
)
def test_odd_distributed_claims_are_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(TokenRefused, match="distributed claims"):
        identity(**odd)


def test_other_distributed_claims_do_not_matter() -> None:
    found = identity(_claim_names={"address": "src1"}, _claim_sources={"src1": {}}, groups=["dba"])
    assert found.groups == ("dba",)


def test_the_groups_claim_can_be_named() -> None:
    claim = "https://example.com/roles"
    named: dict[str, Any] = {"https://example.com/roles": ["dba"], "groups": ["other"], "hasgroups": True}
    found = identity(groups_claim=claim, **named)
    assert found.groups == ("dba",)
    with pytest.raises(TokenRefused, match="left the groups out"):
        identity(groups_claim=claim, _claim_names={"https://example.com/roles": "src1"})


def test_an_agent_acts_for_the_subject() -> None:
    found = identity(act={"sub": "report-bot", "act": {"sub": "earlier"}}, name="Alice")
    assert (found.subject, found.actor, found.on_behalf_of) == ("u-1", Actor.AGENT, "alice@example.com")
    assert found.name == "report-bot (by way of earlier) for Alice"


def test_an_agent_is_one_whatever_the_actor_claim_says() -> None:
    assert identity(actor_claim="kind", kind="human", act={"sub": "report-bot"}).actor is Actor.AGENT


@pytest.mark.parametrize("act", [None, "bot", {}, {"sub": ""}, {"sub": 3}, ["bot"], {"sub": "b\x07t"}])
def test_an_act_claim_that_names_nobody_is_refused(act: Any) -> None:
    with pytest.raises(TokenRefused, match="'act' names nobody"):
        identity(act=act)


@pytest.mark.parametrize("actor", list(Actor))
def test_the_issuer_can_say_what_the_actor_is(actor: Actor) -> None:
    assert identity(actor_claim="kind", kind=str(actor)).actor is actor


@pytest.mark.parametrize("value", ["robot", "Human", "", None, True, ["agent"]])
def test_an_unknown_actor_is_refused(value: Any) -> None:
    with pytest.raises(TokenRefused, match="'kind' is not one of: human, service, agent"):
        identity(actor_claim="kind", kind=value)


@pytest.mark.parametrize("verified", [False, "false", None, 0])
def test_an_unverified_email_is_not_shown(verified: Any) -> None:
    found = identity(email_verified=verified)
    assert found.email == ""
    assert found.label == "u-1"


@pytest.mark.parametrize("odd", [{"email": ["alice@example.com"]}, {"name": {"first": "Alice"}}, {"name": "x" * 321}])
def test_text_claims_of_another_type_are_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(TokenRefused, match=f"{next(iter(odd))!r} is not text"):
        identity(**odd)
    absent: dict[str, Any] = dict.fromkeys(odd)
    assert identity(**absent).subject == "u-1"


@pytest.mark.parametrize(
    "inner", [None, "bot", {}, {"sub": ""}, {"sub": 3}, {"sub": "a", "act": 7}], ids=lambda inner: str(inner)
)
def test_a_nested_act_claim_names_somebody_all_the_way(inner: Any) -> None:
    with pytest.raises(TokenRefused, match="'act' names nobody"):
        identity(act={"sub": "report-bot", "act": inner})


def test_a_chain_of_agents_has_an_end() -> None:
    chain: dict[str, Any] = {"sub": "last"}
    for _ in range(MAX_ACTORS - 1):
        chain = {"sub": "bot", "act": chain}
    assert identity(act=chain).name.startswith("bot (by way of bot, ")
    with pytest.raises(TokenRefused, match=f"more than {MAX_ACTORS} parties"):
        identity(act={"sub": "bot", "act": chain})


@pytest.mark.parametrize(
    "marks",
    [
        {"idtyp": "app"},
        {"gty": "client-credentials"},
        {"azp": "u-1"},
        {"client_id": "u-1"},
        {"appid": "u-1"},
        {"cid": "u-1"},
        {"azp": "batch", "preferred_username": "service-account-batch"},
    ],
    ids=lambda marks: "-".join(marks),
)
def test_a_token_that_a_client_got_for_itself_is_no_persons(marks: dict[str, Any]) -> None:
    assert identity(**marks).actor is Actor.SERVICE


def test_an_agent_for_somebody_without_an_email_is_for_the_subject() -> None:
    found = identity(act={"sub": "bot"}, email=None, name=None)
    assert (found.on_behalf_of, found.name) == ("u-1", "bot for u-1")
    assert identity(act={"sub": "bot"}, email="a@example.com", name=None).name == "bot for a@example.com"


def test_no_actor_claim_is_none_even_where_a_claim_has_no_name() -> None:
    nameless: dict[str, Any] = {"": "agent"}
    assert identity(**nameless).actor is Actor.HUMAN


def test_a_persons_token_names_its_client_too() -> None:
    marks: dict[str, Any] = {"azp": "dbgate", "client_id": "dbgate", "preferred_username": "alice", "idtyp": "user"}
    assert identity(**marks).actor is Actor.HUMAN
