"""The nouns of dbgate, as frozen values.

They hold no behaviour beyond what follows from their own fields, do no I/O and know no clock.
Times are aware `datetime`s in UTC; durations are seconds in fields that end in `_s`.
"""

from __future__ import annotations

from dbgate.model.approvals import ApprovalRequest, Grant, Sample
from dbgate.model.decisions import (
    Allow,
    CountQuery,
    Decision,
    Deny,
    HeldRule,
    MaskedColumn,
    Measured,
    NeedsApproval,
    NeedsMeasure,
    OpenedColumn,
    RequestKind,
    ReviewClause,
    Rewrite,
    RuleRef,
    SampleQuery,
    SessionLimits,
)
from dbgate.model.people import Actor, Assurance, Identity
from dbgate.model.statements import (
    Access,
    Column,
    ColumnName,
    LabelledColumn,
    Outcome,
    Relation,
    Statement,
    Touch,
    TransactionStatus,
)
from dbgate.model.targets import PasswordSource, Target
from dbgate.model.values import Edits, Json, Tree

__all__ = [
    "Access",
    "Actor",
    "Allow",
    "ApprovalRequest",
    "Assurance",
    "Column",
    "ColumnName",
    "CountQuery",
    "Decision",
    "Deny",
    "Edits",
    "Grant",
    "HeldRule",
    "Identity",
    "Json",
    "LabelledColumn",
    "MaskedColumn",
    "Measured",
    "NeedsApproval",
    "NeedsMeasure",
    "OpenedColumn",
    "Outcome",
    "PasswordSource",
    "Relation",
    "RequestKind",
    "ReviewClause",
    "Rewrite",
    "RuleRef",
    "Sample",
    "SampleQuery",
    "SessionLimits",
    "Statement",
    "Target",
    "Touch",
    "TransactionStatus",
    "Tree",
]
