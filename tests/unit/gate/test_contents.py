"""What a statement may be made of: sampling methods, nodes, timeouts within the policy's limits."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, judged, policy

from dbgate.gate.contents import inspect
from dbgate.gate.policy.model import FunctionList, Limits
from dbgate.gate.relations import schema_of
from dbgate.model import Allow, Deny, Rewrite, Tree

LIMITED = replace(policy(digest="limited"), limits=Limits(statement_timeout_s=30.0, lock_timeout_s=5.0))
FREE = policy(digest="free")


def test_a_node_that_nobody_knows_is_refused() -> None:
    tree: Tree = {"SelectStmt": {"targetList": [{"ResTarget": {"val": {"MadeUpExpr": {}}}}]}}
    found = inspect(tree, schema_of(CATALOG), FunctionList(), ("public",), limits=Limits(), queries_only=True)
    assert found.refusal == "dbgate does not know the syntax node MadeUpExpr"


@pytest.mark.parametrize("method", ["payroll.mine", "system_rows", "mine", "public.bernoulli"])
def test_a_sampling_method_of_somebodys_own_is_refused(method: str) -> None:
    decision = judged(f"SELECT id FROM payroll.departments TABLESAMPLE {method} (1)").decision
    assert isinstance(decision, Deny)
    assert decision.reason == f"the sampling method {method} is not known"


@pytest.mark.parametrize("method", ["bernoulli", "SYSTEM", "pg_catalog.system"])
def test_the_servers_own_methods_may_sample(method: str) -> None:
    decision = judged(f"SELECT id FROM payroll.departments TABLESAMPLE {method} (1)").decision
    assert isinstance(decision, Allow | Rewrite)


@pytest.mark.parametrize(
    "sql",
    [
        "SET statement_timeout = '10s'",
        "SET statement_timeout = 30000",
        "SET LOCAL statement_timeout = '0.5min'",
        "SET lock_timeout = '5s'",
        "SET lock_timeout TO 1.5",
    ],
)
def test_a_timeout_may_be_lowered(sql: str) -> None:
    assert isinstance(judged(sql, LIMITED).decision, Allow)


@pytest.mark.parametrize(
    "sql",
    [
        "SET statement_timeout = '31s'",
        "SET statement_timeout = 30001",
        "SET statement_timeout = 0",
        "SET LOCAL statement_timeout = '1min'",
        "SET statement_timeout = '-1'",
        "SET statement_timeout = 'much'",
        "SET statement_timeout TO DEFAULT",
        "SET statement_timeout FROM CURRENT",
        "SET statement_timeout = 10, 20",
        "RESET statement_timeout",
        "SET lock_timeout = '6s'",
        "RESET lock_timeout",
    ],
)
def test_a_timeout_is_neither_raised_nor_switched_off(sql: str) -> None:
    decision = judged(sql, LIMITED).decision
    assert isinstance(decision, Deny)
    assert decision.reason.endswith("cannot be changed: it may only be lowered")


@pytest.mark.parametrize("sql", ["SET statement_timeout = '2h'", "SET statement_timeout = 0", "RESET lock_timeout"])
def test_without_a_limit_a_timeout_may_be_anything(sql: str) -> None:
    assert isinstance(judged(sql, FREE).decision, Allow)


def test_not_all_settings_are_reset_at_once() -> None:
    assert isinstance(judged("RESET ALL", FREE).decision, Deny)


def test_temporary_tables_stand_where_the_search_path_names_them() -> None:
    schema = schema_of(CATALOG)
    for path, place in ((("public",), "pg_temp_3"), (("public", "pg_temp_3"), "public"), (("pg_temp_3",), "pg_temp_3")):
        found = schema.lookup("", "log", path)
        assert found is not None
        assert found.schema == place
    assert schema.lookup("pg_temp", "log", ("public",)) == schema.lookup("pg_temp_3", "log", ())
