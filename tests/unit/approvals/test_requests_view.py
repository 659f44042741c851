"""What a reviewer reads on a terminal of who asks."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.approvals.kit import ALICE, now, request_of

from dbgate.approvals.client import RequestStatus
from dbgate.approvals.filing import new_request
from dbgate.cli.requests_view import print_request
from dbgate.model import Assurance


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
