"""One session's evidence, to be given away: its objects, and proofs that they are in the log.

    FOLDER/00000.jsonl.zst …       the session as it stands in the bucket
    FOLDER/leaf-INDEX.tlog-proof   one for each of its leaves in the log: start, end, objects
    FOLDER/KEYID.pub               the log's public key, for convenience; who verifies takes it from a safe place

Nobody needs the bucket, or sees another session, to verify it: `dbgate audit verify FOLDER --key KEYID.pub`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dbgate.audit import layout
from dbgate.audit.bucket import Bucket
from dbgate.audit.keys import PublicKey
from dbgate.audit.logcheck import Anchor, Fault, anchors_of, keys_of_log, read_entries
from dbgate.audit.merkle import leaf_hash, root_hash
from dbgate.audit.note import open_checkpoint
from dbgate.audit.proofs import LeafProof, parse_proof, prove
from dbgate.audit.transcript import Transcript, Verdict
from dbgate.errors import UsageError

PROOFS = "*.tlog-proof"


def session_proofs(bucket: Bucket, origin: str, session: str, keys: Sequence[PublicKey]) -> list[LeafProof]:
    """The proofs of a session's leaves under the log's checkpoint in the bucket.

    Raises `UsageError` when the log does not hold or does not know the session, `Unreachable`.
    """
    note = bucket.get(f"{layout.log_prefix(origin)}/checkpoint")
    if note is None:
        raise UsageError(f"the bucket has no log {origin}", hint="dbgate audit ship")
    try:
        checkpoint = open_checkpoint(note, keys_of_log(bucket, origin, keys))
        entries = read_entries(bucket, origin, checkpoint.size)
    except (ValueError, Fault) as error:
        reason = error.reason if isinstance(error, Fault) else str(error)
        raise UsageError(f"log {origin}: {reason}", hint="dbgate audit verify says more") from None
    if root_hash([leaf_hash(entry) for entry in entries]) != checkpoint.root:
        raise UsageError(f"log {origin} does not hash to its checkpoint", hint="dbgate audit verify says more")
    indexes = [index for index, entry in enumerate(entries) if json.loads(entry).get("session") == session]
    if not indexes:
        raise UsageError(f"log {origin} does not know session {session} yet", hint="dbgate audit ship")
    return [prove(entries, index, note) for index in indexes]


def write_evidence(
    folder: Path, objects: Iterable[tuple[str, bytes]], proofs: Sequence[LeafProof], key: PublicKey
) -> None:
    """Write the evidence of a session into a new `folder`, which is removed again when that fails.

    `objects` are taken one by one. Raises `UsageError` when it cannot be written, and what `objects` raises.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise UsageError(f"{folder} exists already", hint="name a new folder") from None
    except OSError as error:
        raise UsageError(f"cannot write {error.filename}: {error.strerror}") from None
    try:
        for name, content in objects:
            (folder / name).write_bytes(content)
        for proof in proofs:
            (folder / f"leaf-{proof.index}.tlog-proof").write_bytes(proof.text())
        (folder / f"{key.id}.pub").write_bytes(key.pem())
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise UsageError(f"cannot write {error.filename or folder}: {error.strerror}") from None
        raise


def proven_anchor(
    found: Transcript, files: Sequence[Path], proofs: Sequence[Path], keys: Sequence[PublicKey]
) -> Verdict:
    """Whether proofs anchor a transcript whose `files` stand alone. What is wrong is also among its faults."""
    if not proofs:
        return Verdict(False, "no log stands beside a single transcript")
    anchor, place = Anchor(), ""
    try:
        entries, heads = [], set()
        for file in proofs:
            place = file.name
            proof = parse_proof(file.read_bytes())
            heads.add(proof.verify(keys))
            entries.append(proof.entry)
        anchor = anchors_of(entries).get(found.session, Anchor())
        if any(head.origin != found.start.get("log") for head in heads) or len(heads) > 1:
            return Verdict(False, "the proofs are not those of one checkpoint of the session's log", place)
    except (OSError, ValueError) as error:
        return Verdict(False, str(error), place)
    except Fault as contradiction:
        return Verdict(False, contradiction.reason, place)
    fault = wrong_anchor(found, _stored(files), anchor)
    if fault is not None:
        found.faults.append(fault)
        return fault
    (head,) = heads
    return Verdict(True, f"proven to be {len(entries)} of the {head.size} leaves of log {head.origin}")


def wrong_anchor(found: Transcript, stored: Mapping[str, tuple[int, str]], anchor: Anchor) -> Verdict | None:
    """Where a session differs from what its log says of it. `stored` is size and SHA-256 of each object by name."""
    if anchor.first_digest != found.first_digest:
        return Verdict(False, "the log knows another session.start")
    if anchor.last_digest != found.last_digest or anchor.records != found.records:
        return Verdict(False, f"the log knows another end, after {anchor.records} records")
    for name in sorted(anchor.objects.keys() | stored.keys()):
        if anchor.objects.get(name) != stored.get(name):
            return Verdict(False, "is not the object that was shipped", name)
    return None


def _stored(files: Iterable[Path]) -> dict[str, tuple[int, str]]:
    contents = ((file.name, file.read_bytes()) for file in files if file.is_file())
    return {name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in contents}
