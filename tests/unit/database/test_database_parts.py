"""Type names, passwords, and what is said when a target cannot be reached."""

from __future__ import annotations

import sys
from pathlib import Path

import keyring
import pytest

from dbgate.database.opening import is_english, open_connection
from dbgate.database.passwords import password_of
from dbgate.database.typenames import BUILT_IN, with_modifier
from dbgate.database.wire import encoded
from dbgate.errors import StatementError, Unreachable, UsageError
from dbgate.model import PasswordSource, Target

PASSWORD = "p4ss word/%41"


@pytest.mark.parametrize(
    ("oid", "modifier", "expected"),
    [
        (23, -1, "integer"),
        (1043, -1, "character varying"),
        (1043, 84, "character varying(80)"),
        (1042, 7, "character(3)"),
        (1014, 7, "character(3)[]"),
        (1700, (10 << 16 | 2) + 4, "numeric(10,2)"),
        (1700, (3 << 16 | 0x7FE) + 4, "numeric(3,-2)"),
        (1184, 3, "timestamp(3) with time zone"),
        (1083, 0, "time(0) without time zone"),
        (1560, 5, "bit(5)"),
        (18, -1, '"char"'),
    ],
)
def test_type_names(oid: int, modifier: int, expected: str) -> None:
    assert with_modifier(BUILT_IN[oid], modifier) == expected


def target(dsn: str = "host=127.0.0.1 port=1 connect_timeout=2", **source: object) -> Target:
    return Target("pay", "postgres", dsn, PasswordSource(**source))  # type: ignore[arg-type]


def command(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_password_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAY_PASSWORD", PASSWORD)
    assert password_of(target(kind="env", env="PAY_PASSWORD")) == PASSWORD
    monkeypatch.setenv("PAY_PASSWORD", "")
    with pytest.raises(UsageError, match="no password in PAY_PASSWORD"):
        password_of(target(kind="env", env="PAY_PASSWORD"))


def test_password_from_a_command_without_a_shell(tmp_path: Path) -> None:
    code = f"print({PASSWORD!r}); print('more')"
    assert password_of(target(kind="command", command=command(code))) == PASSWORD
    made = tmp_path / "made"
    shell = (*command("import sys; print(sys.argv[1])"), f"$(touch {made})")
    assert password_of(target(kind="command", command=shell)) == f"$(touch {made})"
    assert not made.exists()


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (command("raise SystemExit(3)"), "failed with exit code 3"),
        (command("print()"), "printed nothing"),
        (("/nowhere/vault",), "cannot be started"),
        ((), "cannot be started"),
    ],
)
def test_a_password_command_that_fails_is_named(argv: tuple[str, ...], why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        password_of(target(kind="command", command=argv))
    assert caught.value.message.startswith("target pay: the password command")
    assert caught.value.hint


def test_password_from_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = {("dbgate", "target:pay"): PASSWORD}
    monkeypatch.setattr(keyring, "get_password", lambda service, name: passwords.get((service, name)))
    assert password_of(target(kind="keyring")) == PASSWORD
    passwords.clear()
    with pytest.raises(UsageError) as caught:
        password_of(target(kind="keyring"))
    assert caught.value.hint == "store it with: keyring set dbgate target:pay"


def test_libpq_finds_its_own_and_other_kinds_are_unknown() -> None:
    assert password_of(target()) is None
    with pytest.raises(UsageError, match="unknown kind of password: vault"):
        password_of(target(kind="vault"))


@pytest.mark.parametrize(
    "dsn",
    [
        "host=x password=s3cr3t word",
        "postgresql://ada:s3cr3t@@/:x/?=",
        "postgresql://ada:s3cr3t@host:port:port/x",
        "host=x password='s3cr3t",
        "postgresql://ada:s3cr3t@[::1/x",
    ],
)
def test_a_dsn_that_is_wrong_is_never_quoted(dsn: str) -> None:
    with pytest.raises(Unreachable) as caught:
        open_connection(target(dsn), "dbgate").close()
    assert "s3cr3t" not in caught.value.message + caught.value.hint
    assert caught.value.message.startswith("target pay: ")
    assert caught.value.hint
    assert caught.value.__cause__ is None


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(Unreachable, match="there is no option sslmod"):
        open_connection(target("host=x sslmod=require"), "dbgate")


def test_a_refused_connection_says_where_and_what_to_do() -> None:
    with pytest.raises(Unreachable) as caught:
        open_connection(target("postgresql://ada:s3cr3t@127.0.0.1:1/pay"), "dbgate")
    assert caught.value.message == "target pay: 127.0.0.1:1 refuses connections"
    assert "start the server" in caught.value.hint
    assert caught.value.exit_code == 7


def test_an_unknown_host_is_named() -> None:
    with pytest.raises(Unreachable, match=r"the host nowhere\.invalid is unknown"):
        open_connection(target("host=nowhere.invalid connect_timeout=3"), "dbgate")


@pytest.mark.parametrize(("text", "position"), [("a\0b", 2), ("\ud800", 1), ("ab\udfff", 3)])
def test_text_that_libpq_would_cut_or_cannot_send_is_refused(text: str, position: int) -> None:
    with pytest.raises(StatementError) as caught:
        encoded(text, "the statement")
    assert (caught.value.sqlstate, caught.value.position) == ("22021", position)


@pytest.mark.parametrize(
    ("setting", "english"),
    [("", True), ("C", True), ("C.UTF-8", True), ("en_US.UTF-8", True), ("de_DE.UTF-8", False), ("Czech", False)],
)
def test_the_language_of_messages(setting: str, english: bool) -> None:
    assert is_english(setting) is english
