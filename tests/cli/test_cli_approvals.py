"""What a person reads when an approval does not serve: every reason, with what to do about it, and nothing run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.cli.reviewing import DORA, Reviewed, reviewed
from tests.cli.test_cli_exec import POLICY, UPDATE, WORLD
from tests.conftest import LiveDatabase


@pytest.fixture(scope="module")
def world(module_database: LiveDatabase) -> LiveDatabase:
    module_database.execute(WORLD.format(app=module_database.app_user))
    return module_database


@pytest.fixture
def desk(
    dbgate_home: Path,
    world: LiveDatabase,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Reviewed]:
    with reviewed(dbgate_home, world, capsys, tmp_path, monkeypatch) as made:
        before = made.total()
        yield made
        assert made.total() == before


def test_the_policy_has_changed(desk: Reviewed) -> None:
    name = desk.approved()
    desk.setup(POLICY + "# changed\n")
    done = desk.exec("--request", name, "-c", UPDATE)
    assert done.code == 4
    assert done.err == (
        f"denied: request {name} cannot be used: the policy has changed since it was asked\nhint: ask for a new approval\n"
    )
    assert desk.records("approval.refused")[0]["request"] == name
    anew = desk.exec("--no-wait", "-c", UPDATE)
    assert (anew.code, name in anew.err) == (4, False)


def test_another_statement(desk: Reviewed) -> None:
    name = desk.approved()
    done = desk.exec("--request", name, "-c", UPDATE.replace("+ 1", "+ 1000"))
    assert done.code == 4
    assert done.err == (
        f"denied: request {name} cannot be used: it is for another statement, parameters, target or policy\n"
        "hint: run exactly what was approved, or ask again\n"
    )


def test_it_was_denied_withdrawn_revoked_or_used(desk: Reviewed) -> None:
    for action, said, hint in (
        ("deny", "denied by dora@example.com (local, unverified): no", "talk to the reviewer before asking again"),
        ("revoke", "revoked by dora@example.com (local, unverified): no", "ask for a new approval"),
    ):
        name = str(desk.exec("--format", "json", "--no-wait", "-c", UPDATE).json[0]["request"])
        reviewer = desk.service.client(DORA)
        if action == "revoke":
            reviewer.decide(name, "approve")
        reviewer.decide(name, action, "no")
        done = desk.exec("--request", name, "-c", UPDATE)
        assert (done.code, done.err) == (4, f"denied: request {name} was {said}\nhint: {hint}\n")


@pytest.mark.parametrize("approved", [False, True])
def test_it_has_expired(desk: Reviewed, approved: bool) -> None:
    desk.setup(POLICY.replace("expires: 1h", "expires: 1s"))
    done = desk.exec("--wait", "30", "-c", UPDATE) if not approved else None
    if done is None:
        name = desk.approved()
        reviewer = desk.service.client(DORA)
        while reviewer.watch(name, timeout_s=5).status == "approved":
            continue
        done = desk.exec("--request", name, "-c", UPDATE)
        assert f"denied: request {name} has expired: the approval by dora@example.com" in done.err
    else:
        assert "has expired: nobody decided in time: expired at" in done.err
    assert done.code == 4
    assert done.err.endswith("hint: ask for a new approval\n")


def test_the_service_signs_with_another_key_than_the_pinned_one(desk: Reviewed, tmp_path: Path) -> None:
    name = desk.approved()
    key = Ed25519PrivateKey.generate().public_key()
    (tmp_path / "other.pem").write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    desk.setup(more=f", public_key: '{tmp_path / 'other.pem'}'")
    done = desk.exec("--request", name, "-c", UPDATE)
    assert done.code == 4
    assert done.err == (
        f"denied: request {name} cannot be used: the grant is signed with a key that is not the approvals service's\n"
        "hint: if the service's key was changed on purpose, put the new one in approvals.public_key\n"
    )


def test_the_service_has_another_state_directory(
    desk: Reviewed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    monkeypatch.setenv("DBGATE_STATE_DIR", str(tmp_path / "elsewhere"))
    done = desk.exec("--no-wait", "-c", UPDATE)
    assert done.code == 5
    assert "is it of another state directory?" in done.err
    assert "hint: dbgate and `dbgate serve --local` have to use the same state directory" in done.err
    assert "dbgate login" not in done.err


def test_no_such_request(desk: Reviewed) -> None:
    done = desk.exec("--request", "0123456789abcdef", "-c", UPDATE)
    assert done.code == 2
    assert done.err == "error: no such request: 0123456789abcdef\nhint: see them with: dbgate requests\n"
