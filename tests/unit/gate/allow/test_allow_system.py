"""System relations: what may be read, and which columns in clear."""

from __future__ import annotations

import pytest

from dbgate.gate.allow.settings import setting_verdict
from dbgate.gate.allow.system import is_system, replacements, system_verdict
from dbgate.gate.allow.verdict import NOT_REVIEWED
from dbgate.gate.syntax import parse_one
from dbgate.model import ColumnName

SSN = ColumnName("payroll", "employees", "ssn")
ODD = ColumnName("pay'roll", 'em"ployees', "{tables}{columns}\\")


@pytest.mark.parametrize(
    "name",
    """pg_class pg_namespace pg_type pg_proc pg_index pg_constraint pg_description pg_attrdef pg_depend pg_inherits
    pg_tables pg_views pg_indexes pg_database pg_locks pg_stat_user_tables pg_stat_progress_vacuum
    pg_extension pg_enum pg_policies pg_stat_replication pg_stat_ssl pg_am pg_trigger pg_largeobject_metadata""".split(),
)
def test_definitions_are_open(name: str) -> None:
    assert system_verdict("pg_catalog", name).safe


@pytest.mark.parametrize("name", ["tables", "columns", "routines", "key_column_usage", "views", "triggers", "schemata"])
def test_the_information_schema_is_open(name: str) -> None:
    assert system_verdict("information_schema", name).safe
    assert not system_verdict("pg_catalog", name).safe


@pytest.mark.parametrize(
    "name",
    """pg_largeobject pg_hba_file_rules pg_ident_file_mappings pg_file_settings pg_config
    pg_backend_memory_contexts pg_shmem_allocations pg_aios""".split(),
)
def test_files_and_memory_are_closed(name: str) -> None:
    found = system_verdict("pg_catalog", name)
    assert (found.safe, found.special) == (False, "")
    assert found.reason != NOT_REVIEWED


def test_what_is_unknown_is_refused() -> None:
    for schema, name in (
        ("pg_catalog", "pg_new"),
        ("information_schema", "pg_class"),
        ("public", "t"),
        ("pg_temp_3", "t"),
    ):
        assert system_verdict(schema, name).reason == NOT_REVIEWED
    assert not system_verdict("pg_toast", "pg_toast_2619").safe
    assert "values of other tables" in system_verdict("pg_toast", "pg_toast_2619").reason
    assert not system_verdict("pg_toast_temp_3", "pg_toast_16400").safe


def test_extensions_views_are_known_wherever_they_stand() -> None:
    for schema in ("public", "monitoring"):
        assert is_system(schema, "pg_stat_statements")
        assert "query" in replacements(system_verdict(schema, "pg_stat_statements"), ())
        for (
            name
        ) in """pg_qualstats pg_qualstats_all pg_qualstats_by_query pg_qualstats_pretty pg_show_plans pg_show_plans_q
            pg_store_plans pg_stat_plans""".split():
            assert is_system(schema, name)
            assert system_verdict(schema, name).reason == "it shows the text of statements"
    assert not is_system("public", "employees")
    assert is_system("pg_toast", "pg_toast_2619")
    assert is_system("information_schema", "tables")


@pytest.mark.parametrize("name", ["pg_stat_activity", "pg_prepared_statements", "pg_cursors"])
def test_the_text_of_statements_never_shows(name: str) -> None:
    found = system_verdict("pg_catalog", name)
    assert found.special == "masked"
    column = "query" if name == "pg_stat_activity" else "statement"
    assert replacements(found, ()) == {column: "'<insufficient privilege>'::pg_catalog.text"}


STATISTICS = [
    ("pg_stats", "most_common_vals"),
    ("pg_stats", "histogram_bounds"),
    ("pg_stats", "n_distinct"),
    ("pg_stats", "correlation"),
    ("pg_stats", "range_bounds_histogram"),
    ("pg_statistic", "stavalues1"),
    ("pg_statistic", "stanumbers5"),
    ("pg_statistic_ext_data", "stxdmcv"),
    ("pg_statistic_ext_data", "stxdexpr"),
    ("pg_stats_ext", "most_common_vals"),
    ("pg_stats_ext_exprs", "histogram_bounds"),
    ("pg_attribute", "attmissingval"),
]


@pytest.mark.parametrize(("name", "column"), STATISTICS)
def test_samples_of_hidden_columns_are_replaced(name: str, column: str) -> None:
    found = system_verdict("pg_catalog", name)
    made = replacements(found, [SSN, ODD])
    assert made[column].startswith("CASE WHEN EXISTS (")
    assert made[column].endswith(f"THEN NULL ELSE {column} END")
    assert "'payroll', 'employees'" in made[column]
    assert "'pay''roll', 'em\"ployees'" in made[column]
    parse_one(f"SELECT {made[column]} FROM pg_catalog.{name}")


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        (
            "pg_stats",
            """null_frac avg_width n_distinct most_common_vals most_common_freqs histogram_bounds correlation most_common_elems
            most_common_elem_freqs elem_count_histogram range_length_histogram range_empty_frac range_bounds_histogram""",
        ),
        (
            "pg_statistic",
            "stanullfrac stawidth stadistinct stakind1 stakind2 stakind3 stakind4 stakind5 staop1 staop2 staop3 staop4 staop5 "
            "stacoll1 stacoll2 stacoll3 stacoll4 stacoll5 stanumbers1 stanumbers2 stanumbers3 stanumbers4 stanumbers5 "
            "stavalues1 stavalues2 stavalues3 stavalues4 stavalues5",
        ),
        (
            "pg_stats_ext",
            "n_distinct dependencies most_common_vals most_common_val_nulls most_common_freqs most_common_base_freqs",
        ),
        (
            "pg_stats_ext_exprs",
            """null_frac avg_width n_distinct most_common_vals most_common_freqs histogram_bounds correlation most_common_elems
            most_common_elem_freqs elem_count_histogram range_length_histogram range_empty_frac range_bounds_histogram""",
        ),
        ("pg_statistic_ext_data", "stxdndistinct stxddependencies stxdmcv stxdexpr"),
    ],
)
def test_of_a_hidden_column_statistics_show_nothing_but_its_name(name: str, columns: str) -> None:
    """The columns are those of the PostgreSQL 18 manual (53.51, 54.30 and the like) that name no relation or column."""
    assert set(replacements(system_verdict("pg_catalog", name), [SSN])) == set(columns.split())


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("pg_db_role_setting", "setconfig"),
        ("pg_roles", "rolconfig"),
        ("pg_shadow", "useconfig"),
        ("pg_user", "useconfig"),
    ],
)
def test_settings_of_applications_are_kept_from_the_catalogs_of_roles(name: str, column: str) -> None:
    made = replacements(system_verdict("pg_catalog", name), ())[column]
    assert "'=***'" in made
    parse_one(f"SELECT {made} FROM pg_catalog.{name}")


@pytest.mark.parametrize(("name", "column"), STATISTICS)
def test_nothing_is_replaced_where_nothing_is_hidden(name: str, column: str) -> None:
    assert replacements(system_verdict("pg_catalog", name), ()) == {}


def test_names_cannot_break_out_of_a_condition() -> None:
    evil = ColumnName("a')) AS h(s,t) --", "b", "c' OR true --")
    made = replacements(system_verdict("pg_catalog", "pg_stats"), [evil])["n_distinct"]
    assert "'a'')) AS h(s,t) --'" in made
    tree = str(parse_one(f"SELECT {made} FROM pg_catalog.pg_stats"))
    assert tree.count("c' OR true --") == 1
    assert "{tables}" in replacements(system_verdict("pg_catalog", "pg_stats"), [ODD])["n_distinct"]


@pytest.mark.parametrize(
    ("schema", "name", "column"),
    [
        ("pg_catalog", "pg_user_mappings", "umoptions"),
        ("pg_catalog", "pg_user_mapping", "umoptions"),
        ("pg_catalog", "pg_foreign_server", "srvoptions"),
        ("pg_catalog", "pg_subscription", "subconninfo"),
        ("pg_catalog", "pg_stat_wal_receiver", "conninfo"),
        ("pg_catalog", "pg_authid", "rolpassword"),
        ("pg_catalog", "pg_shadow", "passwd"),
        ("information_schema", "user_mapping_options", "option_value"),
        ("information_schema", "foreign_server_options", "option_value"),
        ("information_schema", "_pg_user_mappings", "umoptions"),
    ],
)
def test_passwords_never_show(schema: str, name: str, column: str) -> None:
    assert replacements(system_verdict(schema, name), ())[column].startswith("NULL::")


def test_pg_settings_hides_what_show_hides() -> None:
    made = replacements(system_verdict("pg_catalog", "pg_settings"), ())
    assert set(made) == {"setting", "boot_val", "reset_val"}
    for name in ("primary_conninfo", "archive_command", "ssl_passphrase_command", "restore_command"):
        assert f"'{name}'" in made["setting"]
        assert not setting_verdict(name, "show").safe
    assert "'dbgate.'" in made["setting"]


def test_replacements_name_operators_of_pg_catalog_only() -> None:
    for name, _ in STATISTICS:
        for expression in replacements(system_verdict("pg_catalog", name), [SSN]).values():
            bare = expression.replace("OPERATOR(pg_catalog.=)", "")
            assert "=" not in bare
            assert "<" not in bare
