"""Which figures speak for which control, what dbgate does for it, and what it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Control:
    """One control. `figures` name entries of `figures.FIGURES`."""

    id: str
    title: str
    does: str
    figures: tuple[str, ...]
    limits: str


@dataclass(frozen=True, slots=True)
class Standard:
    """A set of controls."""

    title: str
    controls: Sequence[Control]


_SIGN_IN = (
    "Every session begins with an identity that the company's OpenID provider vouches for, and is bound to a target and a "
    "policy. dbgate has no accounts of its own: who may use it is decided by the provider's groups."
)
_ACCOUNTS = (
    "dbgate does not create, change or remove accounts: the provider does. The database's own accounts, and sessions that "
    "do not go through dbgate, are not in these figures."
)
_DECIDED = (
    "Each statement is parsed with the database's own grammar and decided by policy before it is sent: deny beats approve "
    "beats allow, and what no rule matches is denied. Labelled columns are masked in the database unless the policy opens them."
)
_BYPASS = (
    "Where people hold the database's password themselves, they can go around dbgate: compare the database's own log, or "
    "let its role log in from the bastion only."
)
_DUTIES = (
    "A rule can ask for reviewers in several clauses; all must be met by different people, none of them the one who asked or "
    "the human behind an agent. A grant is signed and bound to identity, target, statement, parameters, rows and policy."
)
_RECORDED = (
    "Each statement is on disk before it is sent, with who, where, when, what, why and what was decided; its outcome follows. "
    "If recording fails, the statement does not run."
)
_PROTECTED = (
    "Records are chained by hash, sessions are sealed with Ed25519, and starts, seals and objects are leaves of a signed, "
    "append-only log. Objects are created once and never replaced."
)
_KEYS = (
    "Whoever holds the installation's key and machine can record something else than what happened. A log proves that "
    "nothing was taken away only against a checkpoint or a witness from elsewhere, and retention is the bucket's to enforce."
)

SOC2 = (
    Control(
        "CC6.1", "Logical access to data is restricted", _DECIDED,
        ("statements", "ran", "denied", "labelled", "masked", "clear", "unmasked", "policies"), _BYPASS,
    ),
    Control(
        "CC6.2", "Users are known and authorised before access", _SIGN_IN,
        ("sessions", "people", "unverified_sessions", "agent_sessions", "who", "groups"), _ACCOUNTS,
    ),
    Control(
        "CC6.3", "Access follows roles, least privilege and separation of duties", _DUTIES,
        ("granted", "requested", "approvals", "approved", "requests_denied", "self_approved", "broke_glass", "unreviewed",
         "requests", "data"),
        "Whether the groups, rules and reviewers are the right ones is for the owner of the policy to judge.",
    ),
    Control(
        "CC6.8", "Unauthorised or malicious software is prevented",
        "Statements that define functions, load extensions, read or write files, or run programs are refused unless the "
        "policy allows them by name; functions, operators and settings are on lists of known ones.",
        ("definitions", "administration", "denied", "unread", "changes"),
        "This covers code inside the database that arrives through dbgate. Nothing is said about hosts and other software.",
    ),
    Control(
        "CC7.2", "Anomalies are watched for",
        "Denials, refused attempts, rolled back statements and broken glass are recorded and can be exported as they happen "
        "(dbgate audit export), with the guesses at hidden values that constraints allow.",
        ("denied", "refused_attempts", "rolled_back", "guesses", "failed", "unknown_outcomes", "crashed_sessions", "broke_glass",
         "denials", "attempts"),
        "That somebody looked at them, and acted, is not recorded here.",
    ),
    Control(
        "CC8.1", "Changes are authorised and recorded",
        "Changes of definitions and data run only as policy allows, under approvals where it asks for them, and never touch "
        "more rows than were approved. The policy itself is named by its digest in each session.",
        ("writes", "definitions", "granted", "agent_writes", "rolled_back", "policies", "changes", "policy_use"),
        "How a policy file came to be changed is the version control's to show: compare its history with these digests.",
    ),
)  # fmt: skip

FEDRAMP = (
    Control(
        "AC-2", "Account Management", _SIGN_IN,
        ("people", "sessions", "unverified_sessions", "agent_sessions", "who", "groups"), _ACCOUNTS,
    ),
    Control(
        "AC-3", "Access Enforcement", _DECIDED,
        ("statements", "ran", "denied", "unread", "masked", "clear", "policies", "policy_use"), _BYPASS,
    ),
    Control(
        "AC-5", "Separation of Duties", _DUTIES,
        ("requested", "approvals", "approved", "requests_denied", "self_approved", "refused_attempts", "requests"),
        "That two accounts are two people is for the provider to ensure.",
    ),
    Control(
        "AC-6", "Least Privilege",
        "Labelled columns are masked unless a group, or a grant for a time, opens their tag. Agents can be held to reading. "
        "Breaking the glass needs a reason, alerts reviewers, and is reviewed afterwards.",
        ("labelled", "masked", "clear", "unmasked", "definitions", "administration", "agent_writes", "broke_glass", "unreviewed",
         "data", "in_clear", "exceptions"),
        "Whether the groups and rules give no more than is needed is for the owner of the policy to judge.",
    ),
    Control(
        "AU-2", "Event Logging", _RECORDED,
        ("sessions", "statements", "denied", "unread", "failed", "requested", "refused_attempts"), _BYPASS,
    ),
    Control(
        "AU-3", "Content of Audit Records",
        "A record names the kind of event, its time, the target, the host and door, the identity and whom it acts for, and "
        "the outcome. Samples in this pack show them.",
        ("statements", "without_reason", "unknown_outcomes", "samples"),
        "Values of labelled columns, and parameters that meet them, are recorded masked.",
    ),
    Control(
        "AU-6", "Audit Record Review, Analysis, and Reporting",
        "Records can be searched with SQL, summed up by person, table, column and tag, replayed, and exported to a SIEM.",
        ("denials", "attempts", "data", "exceptions", "unreviewed"),
        "That somebody reviewed them is not recorded here, but for the reviews of broken glass.",
    ),
    Control(
        "AU-9", "Protection of Audit Information", _PROTECTED, ("unsealed_sessions", "crashed_sessions"), _KEYS,
    ),
    Control(
        "AU-10", "Non-repudiation",
        "Each session is sealed with the installation's key and carries the identity that the provider signed for; an "
        "approval is a grant signed by the service, and carries its reviewers.",
        ("people", "unverified_sessions", "granted", "self_approved"),
        "The seal is the installation's, not the person's own signature. Identities without a provider (local) prove nothing.",
    ),
    Control(
        "AU-12", "Audit Record Generation", _RECORDED,
        ("statements", "ran", "unknown_outcomes", "unsealed_sessions", "crashed_sessions", "open_ends"), _BYPASS,
    ),
)  # fmt: skip

STANDARDS: Mapping[str, Standard] = {
    "soc2": Standard("SOC 2, Trust Services Criteria", SOC2),
    "fedramp": Standard("FedRAMP, NIST SP 800-53 Rev. 5", FEDRAMP),
}

LIMITS = (
    "The figures count what is in the bucket. Sessions that were not shipped by the time of this report, and access that did "
    "not go through dbgate, are not among them.",
    "What the approvals service decided reaches the bucket once its transcript is sealed, every hour by default: of the last "
    "hour of a period, requests and reviews may be missing.",
    "Figures are computed from records as they stand; the verdicts above say whether these verify. Where a verdict does not "
    "hold, no figure that rests on that session should be relied on.",
    "A verdict is worth what its keys are worth. Check that the key ids above are those that were taken from a safe place.",
    "Whoever controls a machine that records can record something else than what happened before it is sealed.",
    "Rows are those that statements returned or changed, not the number of people whose data was seen.",
    "Times are those of the recording machines' clocks, in UTC.",
    "The sample is small. It shows what records look like, and proves nothing about those that were not drawn.",
    "This pack is evidence for an assessment. It is not an attestation, and does not say that a control is met.",
)
