"""What a reviewer reads on a terminal of who asks."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.approvals.kit import ALICE, now, request_of

from dbgate.approvals.client import RequestStatus
from dbgate.approvals.filing import new_request
from dbgate.cli.requests_view import print_request
from dbgate.model import Assurance, RequestKind, SessionLimits


def shown(assurance: Assurance, capsys: pytest.CaptureFixture[str]) -> str:
    who = replace(ALICE, issuer="https://id.partner.example", groups=("partner/dba", "\x1b[2J"), assurance=assurance)
    view = new_request(who, request_of(who), now()).to_json() | {"may": ["approve"], "why_not": ""}
    print_request(RequestStatus("1f", "pending", "waits", 1, view), [])
    return capsys.readouterr().out


def test_a_reviewer_reads_whose_word_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(Assurance.OIDC, capsys)
    assert "proven by         https://id.partner.example\n" in said
    assert "their groups      partner/dba, \\x1b[2J\n" in said


def test_nothing_proves_a_local_identity(capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(Assurance.LOCAL, capsys)
    assert "proven by" not in said
    assert "asked by          alice@example.com (local, unverified), " in said


def test_a_transaction_names_the_tables_that_it_changed(capsys: pytest.CaptureFixture[str]) -> None:
    asked = replace(
        request_of(ALICE), kind=RequestKind.TRANSACTION, verb="commit", relations=(), measured={"payroll.pay": 3}
    )
    view = new_request(ALICE, asked, now()).to_json() | {"may": [], "why_not": ""}
    print_request(RequestStatus("1f", "pending", "waits", 1, view), [])
    assert "reads and writes  commit: payroll.pay\n" in capsys.readouterr().out


def test_a_session_says_both_of_its_limits(capsys: pytest.CaptureFixture[str]) -> None:
    asked = replace(
        request_of(ALICE), kind=RequestKind.SESSION, rules=("care (a.yaml:1)",), limits=SessionLimits(2, 30)
    )
    view = new_request(ALICE, asked, now()).to_json() | {"may": [], "why_not": ""}
    print_request(RequestStatus("1f", "pending", "waits", 1, view), [])
    assert ", at most 2 statements and 30 rows\n" in capsys.readouterr().out
