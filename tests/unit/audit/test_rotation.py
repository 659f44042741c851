"""Keys that follow each other: what the old one vouches for, and what counts no more once it is revoked."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.audit.samples import Installation

from dbgate.audit.bucket import open_bucket
from dbgate.audit.evidence import session_proofs
from dbgate.audit.keys import PublicKey, ensure_key, keys_dir, load_key, own_keys, set_current
from dbgate.audit.log import InstallationLog, key_leaf, revocation_leaf, vouching_for
from dbgate.audit.rotation import key_states, revoke, rotate
from dbgate.audit.verification import VerifyReport, verify_bucket
from dbgate.audit.witness import witness_log
from dbgate.errors import AuditUnavailable, UsageError


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "here")


def key_of(here: Installation) -> PublicKey:
    return load_key(here.state_dir, "file").public


def verified(here: Installation, *keys: PublicKey) -> VerifyReport:
    return verify_bucket(open_bucket(here.url), keys=keys)


def verdicts(report: VerifyReport) -> tuple[bool, bool, bool]:
    return report.intact.holds, report.complete.holds, report.anchored.holds


def test_who_trusts_the_old_key_trusts_the_new_one(here: Installation) -> None:
    here.session()
    here.ship()
    old = key_of(here)
    new = rotate(here.state_dir, "file")
    newest = rotate(here.state_dir, "file")
    here.session()
    here.ship()
    report = verified(here, old)
    assert report.holds(), (report.intact, report.complete, report.anchored)
    assert report.logs[0].signer == newest.id
    assert f"key {old.id} vouches for {new.id}" in report.notes[0]
    assert f"key {new.id} vouches for {newest.id}" in report.notes[1]
    alone = verified(here, newest)
    assert verdicts(alone) == (False, False, False)
    assert alone.logs[0].verdict.holds
    assert "not among the trusted keys" in str(alone.intact)
    assert here.verify(seen=True).holds()


def test_a_log_is_read_once_even_by_an_old_key(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    here.session()
    old = key_of(here)
    rotate(here.state_dir, "file")
    here.ship()
    bucket = open_bucket(here.url)
    read: list[str] = []
    get = bucket.get

    def counted(path: str) -> bytes | None:
        read.append(path)
        return get(path)

    monkeypatch.setattr(bucket, "get", counted)
    assert verify_bucket(bucket, keys=[old]).holds()
    leaves = [path for path in read if "tile/entries" in path]
    # Once for what they say, and once when every tile is compared with what the leaves hash to.
    assert len(leaves) == 2 * len(set(leaves))


def test_a_session_that_was_open_is_sealed_with_the_new_key(here: Installation) -> None:
    with here.open() as recorder:
        old = key_of(here)
        new = rotate(here.state_dir, "file")
        recorder.close({"reason": "ended", "statements": 0})
    here.ship()
    assert verified(here, old).holds()
    assert verified(here, new).holds()


def test_a_voucher_is_the_old_key_s_own(here: Installation, tmp_path: Path) -> None:
    here.session()
    old = key_of(here)
    thief = load_key(tmp_path / "thief", "file")
    log = InstallationLog(here.state_dir)
    leaf = key_leaf(log.origin, thief.public, thief)
    log.append({**leaf, "by": old.id})
    here.ship()
    report = verified(here, old)
    assert not report.anchored.holds
    assert f"the key {old.id} does not vouch for {thief.public.id}" in str(report.anchored)


@pytest.mark.parametrize("change", [{"public": "00" * 32}, {"public": "xy"}, {"key": "0" * 32}, {"signature": "00"}])
def test_vouchers_that_are_none(here: Installation, change: dict[str, str], tmp_path: Path) -> None:
    here.session()
    old = load_key(here.state_dir, "file")
    log = InstallationLog(here.state_dir)
    log.append({**key_leaf(log.origin, load_key(tmp_path / "new", "file").public, old), **change})
    here.ship()
    assert not verified(here, old.public).anchored.holds


def test_a_voucher_of_another_log_counts_for_nothing(here: Installation, tmp_path: Path) -> None:
    here.session()
    old = load_key(here.state_dir, "file")
    other = load_key(tmp_path / "other", "file").public
    log = InstallationLog(here.state_dir)
    log.append(key_leaf("dbgate/0000000000000000", other, old))
    here.ship()
    assert not verified(here, old.public).anchored.holds
    assert vouching_for("a", other.raw) != vouching_for("b", other.raw)


def stolen(here: Installation, key_id: str) -> str:
    """A session that somebody seals who has a copy of the key, put into the bucket by hand."""
    current = (keys_dir(here.state_dir) / "current").read_bytes()
    leaves = (here.state_dir / "log" / "leaves").read_bytes()
    set_current(here.state_dir, "file", key_id)
    forged = here.session()
    (keys_dir(here.state_dir) / "current").write_bytes(current)
    (here.state_dir / "log" / "leaves").write_bytes(leaves)
    return forged


def test_what_a_revoked_key_seals_later_does_not_hold(here: Installation) -> None:
    good = here.session()
    here.ship()
    old = key_of(here)
    assert revoke(here.state_dir, old.id[:8], "the laptop was stolen", "file") == old
    new = key_of(here)
    assert new != old
    here.session()
    here.ship()
    assert verified(here, old, new).holds()
    assert verified(here, old).holds(), "the old key vouched for the new one before it was revoked"
    forged = stolen(here, old.id)
    here.ship()
    report = verified(here, old, new)
    assert not report.intact.holds
    assert str(report.intact).startswith(forged)
    assert f"the seal is that of {old.id}, which log" in str(report.intact)
    (of_good,) = [item for item in report.sessions if item.session == good]
    assert of_good.intact.holds
    assert of_good.anchored.holds


def test_a_log_that_a_revoked_key_goes_on_signing(here: Installation) -> None:
    here.session()
    old = key_of(here)
    revoke(here.state_dir, old.id, "stolen", "file")
    set_current(here.state_dir, "file", old.id)
    here.session()
    here.ship()
    report = verified(here, old)
    assert not report.anchored.holds
    assert f"is signed by {old.id}, which was revoked before" in str(report.anchored)


def test_a_revoked_key_vouches_for_nobody(here: Installation, tmp_path: Path) -> None:
    here.session()
    old = load_key(here.state_dir, "file")
    revoke(here.state_dir, old.public.id, "stolen", "file")
    thief = load_key(tmp_path / "thief", "file").public
    log = InstallationLog(here.state_dir)
    log.append(key_leaf(log.origin, thief, old))
    here.ship()
    report = verified(here, old.public)
    assert report.holds()
    assert thief.id not in report.logs[0].keys.trusted


def test_nobody_revokes_the_keys_of_another_log(here: Installation, tmp_path: Path) -> None:
    here.session()
    here.ship()
    other = Installation(tmp_path / "other")
    other.session()
    InstallationLog(other.state_dir).append(revocation_leaf(key_of(here).id, "envy"))
    from dbgate.audit.shipping import ship

    ship(other.state_dir, here.url, "file")
    report = verified(here, key_of(here), key_of(other))
    assert not report.anchored.holds
    assert "revokes a key that this log never used" in str(report.anchored)
    mine = [item for item in report.sessions if item.intact.holds and item.anchored.holds]
    assert len(mine) == 1


def test_a_key_that_is_lost_is_replaced_without_a_voucher(here: Installation) -> None:
    here.session()
    here.ship()
    old = key_of(here)
    (keys_dir(here.state_dir) / f"{old.id}.key").unlink()
    with pytest.raises(AuditUnavailable) as raised:
        rotate(here.state_dir, "file")
    assert "rotate --lost" in raised.value.hint
    new = rotate(here.state_dir, "file", is_lost=True)
    here.session()
    here.ship()
    assert verified(here, old, new).holds()
    assert verdicts(verified(here, old)) == (False, False, False)


def test_a_rotation_that_died_in_the_middle_is_done_again(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    here.session()
    old = key_of(here)

    def die(state_dir: Path, store: str, key_id: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("dbgate.audit.rotation.set_current", die)
        with pytest.raises(KeyboardInterrupt):
            rotate(here.state_dir, "file")
    assert key_of(here) == old
    rotate(here.state_dir, "file")
    here.session()
    here.ship()
    assert verified(here, old).holds()


def test_what_is_known_of_the_keys(here: Installation) -> None:
    assert key_states(here.state_dir) == []
    here.session()
    first = key_of(here)
    second = rotate(here.state_dir, "file")
    revoke(here.state_dir, second.id, "a backup went astray", "file")
    third = key_of(here)
    states = key_states(here.state_dir)
    assert [(one.key, one.state, one.vouched_by) for one in states] == [
        (first, "retired", ""),
        (second, "revoked", first.id),
        (third, "current", second.id),
    ]
    assert states[1].reason == "a backup went astray"
    with pytest.raises(UsageError, match="revoked already"):
        revoke(here.state_dir, second.id, "again", "file")
    with pytest.raises(UsageError, match="no key of this installation"):
        revoke(here.state_dir, "zz", "again", "file")
    with pytest.raises(UsageError, match="no key of this installation"):
        revoke(here.state_dir, "", "all of them", "file")
    assert {key.id for key in own_keys(here.state_dir)} == {first.id, second.id, third.id}


def test_a_revocation_is_on_disk_before_it_is_told(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_key(here.state_dir, "file")
    key = rotate(here.state_dir, "file")
    synced: list[int] = []
    monkeypatch.setattr(InstallationLog, "_sync", lambda self: synced.append(len(self.entries())))
    revoke(here.state_dir, key.id, "stolen", "file")
    assert synced == [2, 3]
    assert json.loads(InstallationLog(here.state_dir).entries()[-1])["kind"] == "key.revoked"


def test_a_witness_and_evidence_go_on_with_the_old_key(here: Installation, tmp_path: Path) -> None:
    here.session()
    here.ship()
    old, bucket = key_of(here), open_bucket(here.url)
    witness, origin = load_key(tmp_path / "witness", "file"), InstallationLog(here.state_dir).origin
    memory = tmp_path / "witness"
    for session in (None, here.session):
        if session is not None:
            rotate(here.state_dir, "file")
            name = session()
            here.ship()
        done = witness_log(bucket, origin, keys=[old], state_dir=memory, key=witness, at=datetime.now(UTC))
        assert done.note, done.facts.verdict
        path = here.bucket_dir / "log" / origin / "cosigned" / witness.public.id / str(done.facts.size)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(done.note)
    report = verify_bucket(bucket, keys=[old], witnesses=[witness.public])
    assert report.holds(), report.anchored
    assert session_proofs(bucket, origin, name, [old])
    shutil.rmtree(here.bucket_dir / "log")
    with pytest.raises(UsageError):
        session_proofs(bucket, origin, name, [old])
