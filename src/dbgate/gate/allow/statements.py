"""Every statement of PostgreSQL's grammar (17, as libpg_query names the nodes), and what becomes of it.

A definition that holds code — a function, a trigger, a rule, a policy, an operator — is refused: it would run later, in
the middle of statements that are allowed, where nothing looks at it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

import msgspec

from dbgate.model import Access, Tree


class Handling(StrEnum):
    """How the gate treats a statement: `ddl` ones name the relations that they work on, and hold no query to rewrite."""

    QUERY = "query"
    DML = "dml"
    TRANSACTION = "transaction"
    SESSION = "session"
    DDL = "ddl"
    REFUSED = "refused"


class StatementKind(msgspec.Struct, frozen=True):
    """What a statement node is: the verb of policy rules, its access before anything inside it is looked at, its handling.

    `reason` says why it is refused.
    """

    verb: str
    access: Access
    handling: Handling
    reason: str = ""


def _kinds(handling: Handling, access: Access, **nodes: str) -> dict[str, StatementKind]:
    """One kind for every node of a verb: `lock="LockStmt"`. A verb that is a Python keyword ends in `_`."""
    return {
        n: StatementKind(verb.rstrip("_"), access, handling) for verb, names in nodes.items() for n in names.split()
    }


def _refused(reason: str, access: Access = Access.ADMIN, **nodes: str) -> dict[str, StatementKind]:
    return {
        n: StatementKind(verb.rstrip("_"), access, Handling.REFUSED, reason)
        for verb, names in nodes.items()
        for n in names.split()
    }


_CODE = "it defines code that would run later, unseen, inside other statements"
_ROLES = "roles and what they may do are managed outside dbgate"
_SERVER = "it works on the whole server"
_SETTINGS = "dbgate owns the settings of sessions"
_REMOTE = "it opens a way to other servers or to files"
_PUBLISH = "it copies tables out of the database"

STATEMENTS: Mapping[str, StatementKind] = {
    **_kinds(Handling.QUERY, Access.READ, select="SelectStmt", copy="CopyStmt", explain="ExplainStmt"),
    **_kinds(Handling.QUERY, Access.READ, declare="DeclareCursorStmt", fetch="FetchStmt"),
    **_kinds(Handling.QUERY, Access.READ, prepare="PrepareStmt", execute="ExecuteStmt"),
    **_kinds(Handling.QUERY, Access.DDL, create="CreateTableAsStmt ViewStmt"),
    **_kinds(
        Handling.DML, Access.WRITE, insert="InsertStmt", update="UpdateStmt", delete="DeleteStmt", merge="MergeStmt"
    ),
    **_kinds(Handling.SESSION, Access.WRITE, call="CallStmt"),
    **_kinds(Handling.TRANSACTION, Access.TRANSACTION, begin="TransactionStmt", set="ConstraintsSetStmt"),
    **_kinds(Handling.SESSION, Access.SESSION, set="VariableSetStmt", show="VariableShowStmt"),
    **_kinds(Handling.SESSION, Access.SESSION, close="ClosePortalStmt", deallocate="DeallocateStmt"),
    **_kinds(Handling.SESSION, Access.SESSION, unlisten="UnlistenStmt", discard="DiscardStmt"),
    **_kinds(Handling.SESSION, Access.WRITE, notify="NotifyStmt"),
    **_kinds(Handling.DDL, Access.WRITE, truncate="TruncateStmt", lock="LockStmt", refresh="RefreshMatViewStmt"),
    **_kinds(
        Handling.DDL,
        Access.DDL,
        create="""CreateStmt IndexStmt CreateSchemaStmt CreateSeqStmt CreateEnumStmt CompositeTypeStmt CreateDomainStmt
        CreateStatsStmt""",
        alter="""AlterTableStmt AlterSeqStmt AlterEnumStmt AlterDomainStmt AlterStatsStmt AlterCollationStmt RenameStmt
        AlterObjectSchemaStmt""",
        drop="DropStmt",
        comment="CommentStmt",
    ),
    **_kinds(Handling.DDL, Access.ADMIN, vacuum="VacuumStmt", cluster="ClusterStmt", reindex="ReindexStmt"),
    **_kinds(Handling.DDL, Access.ADMIN, checkpoint="CheckPointStmt", grant="GrantStmt AlterDefaultPrivilegesStmt"),
    **_kinds(Handling.DDL, Access.ADMIN, alter="AlterOwnerStmt", security="SecLabelStmt"),
    **_refused(
        _CODE,
        Access.DDL,
        create="""CreateFunctionStmt CreateTrigStmt RuleStmt CreatePolicyStmt DefineStmt CreateRangeStmt CreateCastStmt
        CreateConversionStmt CreateTransformStmt CreateOpClassStmt CreateOpFamilyStmt""",
        alter="""AlterFunctionStmt AlterPolicyStmt AlterOperatorStmt AlterOpFamilyStmt AlterTypeStmt AlterObjectDependsStmt
        AlterTSConfigurationStmt AlterTSDictionaryStmt""",
    ),
    **_refused(
        _CODE,
        create="CreateExtensionStmt CreateEventTrigStmt CreatePLangStmt CreateAmStmt",
        alter="AlterExtensionStmt AlterExtensionContentsStmt AlterEventTrigStmt",
    ),
    **_refused("it runs code that dbgate cannot look into", Access.WRITE, do="DoStmt"),
    **_refused("other sessions may have put anything into the notifications", Access.SESSION, listen="ListenStmt"),
    **_refused("it loads code into the server", load="LoadStmt"),
    **_refused(
        _ROLES,
        create="CreateRoleStmt",
        alter="AlterRoleStmt",
        drop="DropRoleStmt DropOwnedStmt",
        grant="GrantRoleStmt",
        reassign="ReassignOwnedStmt",
    ),
    **_refused(_SETTINGS, alter="AlterRoleSetStmt AlterDatabaseSetStmt AlterSystemStmt"),
    **_refused(
        _SERVER,
        create="CreatedbStmt CreateTableSpaceStmt",
        alter="AlterDatabaseStmt AlterDatabaseRefreshCollStmt AlterTableSpaceOptionsStmt AlterTableMoveAllStmt",
        drop="DropdbStmt DropTableSpaceStmt",
    ),
    **_refused(
        _REMOTE,
        create="CreateFdwStmt CreateForeignServerStmt CreateForeignTableStmt CreateUserMappingStmt",
        alter="AlterFdwStmt AlterForeignServerStmt AlterUserMappingStmt",
        drop="DropUserMappingStmt",
        import_="ImportForeignSchemaStmt",
    ),
    **_refused(
        _PUBLISH,
        create="CreatePublicationStmt CreateSubscriptionStmt",
        alter="AlterPublicationStmt AlterSubscriptionStmt",
        drop="DropSubscriptionStmt",
    ),
    **_refused("it stands only inside function bodies", Access.READ, select="ReturnStmt PLAssignStmt"),
}
"""Statement node → its kind, as far as the node alone tells; `statement_kind` looks into it."""

_TRANSACTION_VERBS = {
    "TRANS_STMT_BEGIN": "begin",
    "TRANS_STMT_START": "begin",
    "TRANS_STMT_COMMIT": "commit",
    "TRANS_STMT_ROLLBACK": "rollback",
    "TRANS_STMT_ROLLBACK_TO": "rollback",
    "TRANS_STMT_SAVEPOINT": "savepoint",
    "TRANS_STMT_RELEASE": "release",
}
_NAMED_BY_POLICIES = frozenset(
    """OBJECT_TABLE OBJECT_VIEW OBJECT_MATVIEW OBJECT_FOREIGN_TABLE OBJECT_INDEX OBJECT_SEQUENCE OBJECT_COLUMN
    OBJECT_ATTRIBUTE OBJECT_TABCONSTRAINT OBJECT_DOMCONSTRAINT OBJECT_STATISTIC_EXT OBJECT_COLLATION OBJECT_TRIGGER
    OBJECT_RULE OBJECT_POLICY OBJECT_DATABASE OBJECT_TABLESPACE""".split()
)
"""Objects whose new name or schema cannot turn them into an allowed function, operator or type."""


def statement_kind(kind: str, body: Tree) -> StatementKind | None:
    """The kind of a statement, its own options considered; None for a node that is no known statement.

    `kind` and `body` are the wrapped node of the parse tree.
    """
    known = STATEMENTS.get(kind)
    if known is None or known.handling is Handling.REFUSED:
        return known
    refine = _REFINED.get(kind)
    return known if refine is None else refine(known, body)


def _verb(known: StatementKind, verb: str) -> StatementKind:
    return StatementKind(verb, known.access, known.handling)


def _refuse(known: StatementKind, reason: str, verb: str = "") -> StatementKind:
    return StatementKind(verb or known.verb, known.access, Handling.REFUSED, reason)


def _transaction(known: StatementKind, body: Tree) -> StatementKind:
    verb = _TRANSACTION_VERBS.get(str(body.get("kind")))
    if verb is None:
        return _refuse(known, "a transaction in two phases outlives its session", "commit")
    if _asks_to_write(body.get("options", ())):
        return _refuse(known, _WRITABLE, verb)
    return _verb(known, verb)


_WRITABLE = "dbgate decides which transactions may write: leave READ WRITE out"


def _asks_to_write(options: Sequence[Tree]) -> bool:
    """Whether transaction modes hold READ WRITE, which could undo a read-only connection; the last of several counts."""
    modes = [option.get("DefElem", {}) for option in options]
    return any(
        mode.get("defname") == "transaction_read_only"
        and mode.get("arg", {}).get("A_Const", {}).get("ival", {}).get("ival", 0) == 0
        for mode in modes
    )


def _set(known: StatementKind, body: Tree) -> StatementKind:
    kind = str(body.get("kind"))
    if kind in {"VAR_RESET", "VAR_RESET_ALL", "VAR_SET_DEFAULT"}:
        return _verb(known, "reset")
    if kind == "VAR_SET_MULTI":
        if body.get("name") == "TRANSACTION SNAPSHOT":
            return _refuse(known, "it takes over the snapshot of another session")
        if _asks_to_write(body.get("args", ())):
            return _refuse(known, _WRITABLE)
    return known


def _discard(known: StatementKind, body: Tree) -> StatementKind:
    if body.get("target") in {"DISCARD_PLANS", "DISCARD_SEQUENCES", "DISCARD_TEMP"}:
        return known
    return _refuse(known, "it would reset what dbgate has set: discard PLANS, SEQUENCES or TEMP")


def _copy(known: StatementKind, body: Tree) -> StatementKind:
    if body.get("is_program"):
        return _refuse(known, "COPY with a program runs it on the server")
    if body.get("filename"):
        return _refuse(known, "COPY with a file reads or writes the server's files")
    return known


def _create_as(known: StatementKind, body: Tree) -> StatementKind:
    if "ExecuteStmt" in body.get("query", {}):
        return _refuse(known, "the new table would hold what a prepared statement returns: write its query")
    return known


def _create_schema(known: StatementKind, body: Tree) -> StatementKind:
    if body.get("schemaElts"):
        return _refuse(known, "a schema is made without its objects: make them one by one")
    return known


def _vacuum(known: StatementKind, body: Tree) -> StatementKind:
    return known if body.get("is_vacuumcmd") else _verb(known, "analyze")


def _grant(known: StatementKind, body: Tree) -> StatementKind:
    if body.get("objtype") == "OBJECT_PARAMETER_ACL":
        return _refuse(known, _SETTINGS)
    granted = body.get("is_grant") or body.get("action", {}).get("is_grant")
    return known if granted else _verb(known, "revoke")


def _move(known: StatementKind, body: Tree) -> StatementKind:
    """A function, type or schema could be given the name of an allowed one."""
    what = str(body.get("renameType") or body.get("objectType"))
    if what in _NAMED_BY_POLICIES:
        return known
    named = what.removeprefix("OBJECT_").replace("_", " ").lower()
    article = "an" if named[0] in "aeiou" else "a"
    return _refuse(known, f"{article} {named} could take the place of another that the policy knows")


def _alter_table(known: StatementKind, body: Tree) -> StatementKind:
    """A foreign table's options say which table of another server, file or program it shows."""
    subtypes = {command.get("AlterTableCmd", {}).get("subtype") for command in body.get("cmds", ())}
    if subtypes & {"AT_GenericOptions", "AT_AlterColumnGenericOptions"}:
        return _refuse(known, _REMOTE)
    return known


_REFINED: Mapping[str, Callable[[StatementKind, Tree], StatementKind]] = {
    "TransactionStmt": _transaction,
    "VariableSetStmt": _set,
    "DiscardStmt": _discard,
    "CopyStmt": _copy,
    "CreateTableAsStmt": _create_as,
    "CreateSchemaStmt": _create_schema,
    "VacuumStmt": _vacuum,
    "AlterTableStmt": _alter_table,
    "GrantStmt": _grant,
    "AlterDefaultPrivilegesStmt": _grant,
    "RenameStmt": _move,
    "AlterObjectSchemaStmt": _move,
    "AlterOwnerStmt": _move,
}
