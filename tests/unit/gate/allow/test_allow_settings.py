"""Settings: what a person may set, reset and show."""

from __future__ import annotations

import pytest

from dbgate.gate.allow.settings import BOUNDED, setting_verdict, timeout_ms
from dbgate.gate.allow.verdict import NOT_REVIEWED
from dbgate.gate.names import kind_of
from dbgate.gate.syntax import parse_one

HARMLESS = """datestyle DateStyle TimeZone timezone IntervalStyle extra_float_digits bytea_output work_mem
    maintenance_work_mem enable_seqscan enable_hashjoin random_page_cost plan_cache_mode jit lc_numeric
    join_collapse_limit geqo max_parallel_workers_per_gather default_text_search_config xmloption synchronous_commit
    transaction_isolation default_transaction_isolation seed temp_buffers constraint_exclusion"""


@pytest.mark.parametrize("name", HARMLESS.split())
def test_formats_and_the_planner_are_anybodys(name: str) -> None:
    assert setting_verdict(name, "set").safe
    assert setting_verdict(name, "reset").safe
    assert setting_verdict(name, "show").safe


@pytest.mark.parametrize(
    "sql",
    [
        "SET ROLE postgres",
        "SET ROLE NONE",
        "RESET ROLE",
        "SET SESSION AUTHORIZATION postgres",
        "RESET SESSION AUTHORIZATION",
        "SET NAMES 'LATIN1'",
        "SET client_encoding = 'SQL_ASCII'",
        "SET standard_conforming_strings = off",
        'SET "Standard_Conforming_Strings" = off',
        "SET backslash_quote = on",
        "SET transform_null_equals = on",
        "SET row_security = off",
        "SET session_replication_role = replica",
        "SET transaction_read_only = off",
        "SET default_transaction_read_only TO 0",
        "SET LOCAL dbgate.key = 'x'",
        "RESET dbgate.key",
        "SET log_statement = 'none'",
        "SET log_min_error_statement = panic",
        "SET debug_print_plan = on",
        "SET debug_print_rewritten = on",
        "SET client_min_messages = debug5",
        "SET client_min_messages = log",
        "SET track_activities = off",
        "SET local_preload_libraries = 'x'",
        "SET session_preload_libraries = 'x'",
        "SET dynamic_library_path = '/tmp'",
        "SET app.tenant = '2'",
        "SET plpgsql.extra_warnings = 'all'",
        "SET application_name = 'somebody else'",
        "SET event_triggers = off",
        "SET allow_system_table_mods = on",
        "SET zero_damaged_pages = on",
        "SET statement_timeout = 0",
        "RESET statement_timeout",
        "SET lock_timeout = '1h'",
        "SET idle_in_transaction_session_timeout = 0",
        "SET search_path = public",
        "SET SCHEMA 'public'",
        "SET no_such_setting = 1",
        "SET TRANSACTION SNAPSHOT 'x'",
        "SET exit_on_error = on",
        "SET ssl_renegotiation_limit = 0",
        "SET tcp_keepalives_idle = 0",
    ],
)
def test_what_dbgate_and_the_server_own(sql: str) -> None:
    _, body = kind_of(parse_one(sql))
    constant = next((kind_of(n)[1] for n in body.get("args", ())), {})
    value = constant.get("sval", {}).get("sval") or (
        str(constant["ival"].get("ival", 0)) if "ival" in constant else None
    )
    action = "reset" if body["kind"] == "VAR_RESET" else "set"
    found = setting_verdict(body["name"], action, value)
    assert not found.safe
    assert found.reason


def test_some_settings_may_have_some_values() -> None:
    assert setting_verdict("client_encoding", "set", "UTF8").safe
    assert setting_verdict("standard_conforming_strings", "set", "on").safe
    assert setting_verdict("client_min_messages", "set", " Warning ").safe
    assert setting_verdict("transaction_read_only", "set", "true").safe
    assert setting_verdict("row_security", "set", "on").safe
    assert setting_verdict("row_security", "set").special == "values"
    assert not setting_verdict("transaction_read_only", "set", "of").safe
    assert not setting_verdict("default_transaction_read_only", "reset").safe


def test_conditions_are_named_for_settings() -> None:
    assert setting_verdict("search_path", "set").special == "search_path"
    assert {setting_verdict(name, "set").special for name in BOUNDED} == {"bounded"}
    assert {setting_verdict(name, "reset").special for name in BOUNDED} == {"bounded"}


@pytest.mark.parametrize(
    "name",
    ["all", "dbgate.key", "DBGATE.KEY", "dbgate.session", "app.secret"],
)
def test_what_is_shown_to_nobody(name: str) -> None:
    assert not setting_verdict(name, "show").safe


@pytest.mark.parametrize(
    "name",
    """archive_cleanup_command archive_command krb_server_keyfile primary_conninfo recovery_end_command restore_command
    ssl_passphrase_command Primary_ConnInfo""".split(),
)
def test_commands_and_connection_strings_may_hold_passwords(name: str) -> None:
    found = setting_verdict(name, "show")
    assert (found.safe, found.reason) == (False, "it may hold a password")
    assert not setting_verdict(name, "set").safe


@pytest.mark.parametrize("name", ["max_connections", "fsync", "archive_command", "bonjour"])
def test_settings_of_the_server_are_told_from_unknown_ones(name: str) -> None:
    assert setting_verdict(name, "set").reason == "it belongs to the server"


@pytest.mark.parametrize(
    "name",
    """server_version server_version_num search_path role session_authorization is_superuser transaction_read_only
    transaction_isolation default_transaction_isolation max_identifier_length integer_datetimes statement_timeout
    standard_conforming_strings client_encoding server_encoding application_name lc_collate max_connections
    log_statement shared_buffers in_hot_standby""".split(),
)
def test_what_drivers_ask_for_is_shown(name: str) -> None:
    assert setting_verdict(name, "show").safe


def test_an_unknown_setting_is_not_reviewed() -> None:
    for action in ("set", "reset", "show"):
        assert setting_verdict("no_such_setting", action).reason == NOT_REVIEWED
    with pytest.raises(ValueError, match="alter"):
        setting_verdict("work_mem", "alter")


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        ("5s", 5000.0),
        ("5000", 5000.0),
        ("1.5 min", 90_000.0),
        (" 2h ", 7_200_000.0),
        ("0", 0.0),
        ("500us", 0.5),
        ("1d", 86_400_000.0),
    ],
)
def test_timeouts_are_read_as_postgresql_reads_them(value: str, milliseconds: float) -> None:
    assert timeout_ms(value) == milliseconds


@pytest.mark.parametrize("value", ["", "5 S", "0x10", "-1", "1e9", "5 weeks", "٥", "5;", "inf", "5s\n5s"])
def test_a_value_that_is_not_plainly_a_timeout_is_none(value: str) -> None:
    assert timeout_ms(value) is None


@pytest.mark.parametrize(
    ("name", "action", "kind"),
    [
        ("dbgate.key", "set", "owned"),
        ("DBGATE.KEY", "show", "owned"),
        ("role", "set", "owned"),
        ("application_name", "reset", "owned"),
        ("log_statement", "set", "server"),
        ("ssl_ciphers", "set", "server"),
        ("log_of_a_later_version", "set", "server"),
        ("app.tenant", "set", "custom"),
        ("plpgsql.extra_warnings", "reset", "custom"),
    ],
)
def test_a_refused_setting_says_whose_it_is(name: str, action: str, kind: str) -> None:
    assert setting_verdict(name, action).kind == kind


def test_who_asks_for_all_settings_is_told_where_they_stand() -> None:
    assert setting_verdict("all", "show").hint == "select from pg_settings"
