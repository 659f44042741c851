"""A witness: somebody else's installation, which remembers every log and signs only what extends it.

    STATE/witness/DIGEST    the last checkpoint of a log that this witness cosigned; DIGEST is SHA-256 of its origin

Cosignatures are C2SP *tlog-cosignature* (Ed25519, type 0x04, with a time). They stand in the bucket beside the log,
`log/ORIGIN/cosigned/KEYID/SIZE`, each object a whole checkpoint with one cosignature, put once. Whoever holds the
bucket and the log's key can show different histories to different people, but not with a witness's signature on both.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dbgate.audit import layout, spool
from dbgate.audit.bucket import Bucket
from dbgate.audit.keys import PublicKey, SigningKey
from dbgate.audit.logcheck import LogFacts, check_log, keys_of_log
from dbgate.audit.note import Checkpoint, open_checkpoint, signature_line, signatures_of
from dbgate.audit.transcript import Verdict
from dbgate.errors import AuditUnavailable

_COSIGNATURE = b"\x04"


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A witness's word: it saw this log at `size` leaves at `seen_at`, and nothing that contradicts it."""

    witness: str
    size: int
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What a witness did with one log. `note` is the cosigned checkpoint, or nothing when it refused."""

    facts: LogFacts
    before: int
    note: bytes = b""


def cosign(note: bytes, name: str, key: SigningKey, at: datetime) -> bytes:
    """The checkpoint `note` with one more line: the cosignature of the witness `name`."""
    seconds = int(at.timestamp())
    text = note.decode("utf-8").rpartition("\n\n")[0] + "\n"
    signature = key.sign(_message(text, seconds))
    tagged = _key_id(name, key.public) + struct.pack(">Q", seconds) + signature
    return note + signature_line(name, tagged)


def cosignatures(note: bytes, witnesses: Iterable[PublicKey]) -> list[Cosignature]:
    """The cosignatures of trusted `witnesses` on a checkpoint; lines of others are passed over.

    Raises `ValueError` when the note is malformed or such a line is forged.
    """
    text, lines = signatures_of(note)
    size = int(text.split("\n")[1])
    found = []
    for name, tagged in lines:
        for key in witnesses:
            if tagged[:4] != _key_id(name, key) or len(tagged) != 4 + 8 + 64:
                continue
            (seconds,) = struct.unpack(">Q", tagged[4:12])
            if not key.verifies(tagged[12:], _message(text, seconds)):
                raise ValueError(f"the cosignature of {name} does not fit the checkpoint")
            found.append(Cosignature(key.id, size, datetime.fromtimestamp(seconds, UTC)))
    return found


def witness_log(
    bucket: Bucket, origin: str, *, keys: Sequence[PublicKey], state_dir: Path, key: SigningKey, at: datetime
) -> Witnessed:
    """Check the log `origin` against what was cosigned before; remember it and cosign it, or refuse.

    `keys` are the log's trusted keys. Raises `Unreachable`, `AuditUnavailable`.
    """
    keys = keys_of_log(bucket, origin, keys)
    memory = state_dir / "witness" / hashlib.sha256(origin.encode("utf-8")).hexdigest()
    before = _remembered(memory, keys)
    note = bucket.get(f"{layout.log_prefix(origin)}/checkpoint") or b""
    facts = check_log(bucket, origin, keys, [before] if before else [])
    size = before.size if before else 0
    if not facts.verdict.holds:
        return Witnessed(facts, size)
    if open_checkpoint(note, keys).size != facts.size:
        facts.verdict = Verdict(False, "the log changed while it was being read: run it again")
        return Witnessed(facts, size)
    try:
        spool.private_dir(memory.parent)
        spool.replace_file(memory, note)
    except OSError as error:
        raise AuditUnavailable(f"the witness cannot remember: {error.strerror}: {error.filename}") from None
    return Witnessed(facts, size, cosign(note, f"dbgate-witness/{key.public.id}", key, at))


def check_witnessed(
    bucket: Bucket,
    origin: str,
    keys: Sequence[PublicKey],
    seen: Sequence[Checkpoint],
    witnesses: Sequence[PublicKey],
) -> LogFacts:
    """Check a log as `check_log` does, and that it extends what every one of `witnesses` has cosigned of it."""
    known, notes = list(seen), []
    signers = keys_of_log(bucket, origin, keys) if witnesses else keys
    for witness in witnesses:
        try:
            checkpoint, word = cosigned(bucket, origin, witness, signers)
        except ValueError as error:
            return LogFacts(origin, Verdict(False, str(error), layout.log_prefix(origin)))
        known.append(checkpoint)
        notes.append(
            f"log {origin}: witness {word.witness} saw {word.size} leaves at {word.seen_at:%Y-%m-%d %H:%M:%SZ}"
        )
    facts = check_log(bucket, origin, keys, known)
    facts.notes += notes
    return facts


def cosigned_path(origin: str, witness: str, size: int) -> str:
    """The object of a cosigned checkpoint."""
    return f"{layout.log_prefix(origin)}/cosigned/{witness}/{size}"


def cosigned(
    bucket: Bucket, origin: str, witness: PublicKey, keys: Sequence[PublicKey]
) -> tuple[Checkpoint, Cosignature]:
    """The largest checkpoint of a log that `witness` has cosigned. Raises `ValueError` when there is none, `Unreachable`."""
    prefix = f"{layout.log_prefix(origin)}/cosigned/{witness.id}"
    sizes = [int(name.rsplit("/", 1)[1]) for name in bucket.names(prefix) if name.rsplit("/", 1)[1].isdigit()]
    if not sizes:
        raise ValueError(f"witness {witness.id} has cosigned nothing")
    note = bucket.get(cosigned_path(origin, witness.id, max(sizes))) or b""
    checkpoint = open_checkpoint(note, keys)
    words = cosignatures(note, [witness])
    if not words or checkpoint.origin != origin:
        raise ValueError(f"its checkpoint of {max(sizes)} leaves does not carry the cosignature of {witness.id}")
    return checkpoint, words[0]


def _remembered(memory: Path, keys: Sequence[PublicKey]) -> Checkpoint | None:
    try:
        note = memory.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AuditUnavailable(f"the witness cannot remember: {error.strerror}: {error.filename}") from None
    try:
        return open_checkpoint(note, keys)
    except ValueError as error:
        raise AuditUnavailable(
            f"{memory}: what was cosigned before cannot be read with these keys: {error}",
            hint="name the keys of the log with --key; the file is this witness's memory, and must not be removed",
        ) from None


def _message(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _key_id(name: str, key: PublicKey) -> bytes:
    return hashlib.sha256(name.encode("utf-8") + b"\n" + _COSIGNATURE + key.raw).digest()[:4]
