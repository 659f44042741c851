"""A policy as frozen values. `read.py` makes them from YAML; `decide.py` and `labels.py` use them."""

from datetime import datetime, time

import msgspec

from dbgate.model import Access, Actor, ReviewClause, RuleRef, SessionLimits


class Classify(msgspec.Struct, frozen=True):
    """Columns that match any of the globs (`schema.table.column`, case-sensitive, `*` and `?`) carry `tag`."""

    columns: tuple[str, ...]
    tag: str
    ref: RuleRef


class MaskMethod(msgspec.Struct, frozen=True):
    """How a tag's columns are masked: `partial`, `email`, `null`, `token`, `hash` or `redact`.

    `first` and `last` (characters kept) belong to `partial`, `text` (what stands instead) to `redact`.
    """

    method: str
    first: int = 0
    last: int = 0
    text: str = "***"


class UnmaskApproval(msgspec.Struct, frozen=True):
    """Reviewers and duration of a temporary unmasking."""

    clauses: tuple[ReviewClause, ...]
    for_s: int


class Unmask(msgspec.Struct, frozen=True):
    """Members of any of `groups` see columns whose tag matches any glob of `tags` in clear."""

    tags: tuple[str, ...]
    groups: tuple[str, ...]
    ref: RuleRef
    approval: UnmaskApproval | None = None


class RowFilter(msgspec.Struct, frozen=True):
    """Only rows of `table` (a glob `schema.table`) where the SQL condition `where` holds are visible, except to `except_groups`."""

    table: str
    where: str
    ref: RuleRef
    except_groups: tuple[str, ...] = ()


class Comparison(msgspec.Struct, frozen=True):
    """A comparison with measured rows: `operator` is one of `>`, `>=`, `<`, `<=`, `=`."""

    operator: str
    value: int

    def holds(self, number: int) -> bool:
        """Whether `number operator value`."""
        match self.operator:
            case ">":
                return number > self.value
            case ">=":
                return number >= self.value
            case "<":
                return number < self.value
            case "<=":
                return number <= self.value
            case "=":
                return number == self.value
        raise ValueError(self.operator)

    def ceiling(self, number: int) -> int | None:
        """The largest number from `number` on for which the comparison gives the same; None when there is none."""
        for first in (self.value, self.value + 1):
            if first > number and self.holds(first) != self.holds(number):
                return first - 1
        return None


class Window(msgspec.Struct, frozen=True):
    """A weekly time window: `days` (0 Monday … 6 Sunday), from `start` to `end` (exclusive) in `zone` (IANA name).

    With `end` not after `start` the window runs over midnight and belongs to the day it starts on.
    """

    days: frozenset[int]
    start: time
    end: time
    zone: str


class When(msgspec.Struct, frozen=True):
    """The conditions of a rule, all of which must hold. None and empty mean "any".

    `tables` are globs over `schema.table`, `tags` globs over the tags of the columns the statement
    touches, `where_missing` asks for UPDATE or DELETE without an effective WHERE, `rows` compares
    measured rows, `outside`/`inside` are time windows.
    """

    groups: tuple[str, ...] = ()
    not_groups: tuple[str, ...] = ()
    access: tuple[Access, ...] = ()
    verbs: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    actor: tuple[Actor, ...] = ()
    where_missing: bool = False
    rows: Comparison | None = None
    outside: Window | None = None
    inside: Window | None = None


class Rule(msgspec.Struct, frozen=True):
    """A rule. `effect` is `allow`, `approve` or `deny`; all that follows `message` belongs to `approve`.

    A grant is good for `uses` runs of a statement or, with `session` limits, for all that the rule asks approval for, in one
    session and for `expires_s` seconds. `break_glass` are the groups that need no approval beforehand. With `at_commit`, a
    statement in a transaction runs, and its COMMIT waits.
    """

    ref: RuleRef
    when: When
    effect: str
    message: str = ""
    clauses: tuple[ReviewClause, ...] = ()
    expires_s: int = 3600
    uses: int = 1
    session: SessionLimits | None = None
    break_glass: tuple[str, ...] = ()
    at_commit: bool = False

    @property
    def id(self) -> str:
        """The rule's id."""
        return self.ref.id


class Limits(msgspec.Struct, frozen=True):
    """Limits on one statement and on a session. None means no limit of dbgate's own."""

    rows: int | None = None
    bytes: int | None = None
    statement_timeout_s: float | None = None
    lock_timeout_s: float | None = None
    idle_s: float | None = None
    session_s: float | None = None


class FunctionList(msgspec.Struct, frozen=True):
    """Functions that the policy allows beyond the reviewed built-in ones.

    `allow` holds signatures `schema.name(type, …)`, `extensions` the names of extensions whose functions,
    operators and types are allowed as a whole.
    """

    allow: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()


class PolicyTest(msgspec.Struct, frozen=True):
    """A case of `tests:`. `expect` is `allow`, `mask`, `approve`, `break-glass` or `deny`; `at` is the time it runs at.

    `grant` is what an approval would be good for: `statement` or `session`, `uses` for how many runs.

    `unmasked` are tags, or globs of them, that reviewers were asked for and agreed to. `rewritten` is the text that has to
    be sent, white space aside. `who` tells cases apart that stand for several identities.
    """

    sql: str
    expect: str
    ref: RuleRef
    groups: tuple[str, ...] = ()
    email: str = ""
    actor: Actor = Actor.HUMAN
    environment: str = ""
    rule: str = ""
    rows: int | None = None
    masked: tuple[str, ...] = ()
    unmasked: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    at: datetime | None = None
    rewritten: str = ""
    who: str = ""
    grant: str = ""
    uses: int | None = None


class Policy(msgspec.Struct, frozen=True):
    """A whole policy, `extends` resolved. `digest` is `sha256:…` over the bytes of all its files in order."""

    digest: str
    files: tuple[str, ...]
    classify: tuple[Classify, ...] = ()
    mask: tuple[tuple[str, MaskMethod], ...] = ()
    unmask: tuple[Unmask, ...] = ()
    rows: tuple[RowFilter, ...] = ()
    rules: tuple[Rule, ...] = ()
    limits: Limits = msgspec.field(default_factory=Limits)
    functions: FunctionList = msgspec.field(default_factory=FunctionList)
    reason_required: bool = False
    tests: tuple[PolicyTest, ...] = ()
