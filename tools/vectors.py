"""Writes docs/vectors.json anew: audit buckets, good and tampered with, and what a verifier has to say of them.

    python tools/vectors.py

The sessions are recorded and shipped by dbgate itself with a fresh key, which is thrown away. One vector is
`{name, why, files: {path: blob}, keys: [PEM], seen: [blob], expect: {intact, complete, anchored}}`; `blobs` holds
contents by name in base 64.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.audit.samples import Installation, intent, outcome

from dbgate.audit.keys import load_key, own_keys, set_current
from dbgate.audit.layout import compress, decompress
from dbgate.audit.log import InstallationLog, key_leaf
from dbgate.audit.rotation import revoke, rotate

Files = dict[str, bytes]
PLACE = Path(tempfile.gettempdir()) / "vectors"
"""A `session.start` names its bucket: the same place for everybody who makes the vectors."""
DOCUMENT = Path(__file__).parents[1] / "docs" / "vectors.json"


@dataclass
class Bucket:
    """The files of a bucket, to be tampered with."""

    files: Files
    keys: list[str]
    sessions: list[str]
    seen: list[bytes] = field(default_factory=list)

    def path(self, part: str, number: int = 0) -> str:
        """The one path that holds `part`, of session `number` when there are several."""
        found = sorted(path for path in self.files if part in path)
        of_session = [path for path in found if self.sessions[number] in path]
        return (of_session or found)[0]

    def lines(self, change: Callable[[list[bytes]], list[bytes]], number: int = 0) -> None:
        """Change the lines of a session's first segment."""
        path = self.path("00000.jsonl.zst", number)
        lines = decompress(self.files[path]).splitlines(keepends=True)
        self.files[path] = compress(b"".join(change(lines)))

    def swap(self, part: str, old: bytes, new: bytes) -> None:
        """Replace bytes in the one file whose path holds `part`."""
        path = self.path(part)
        changed = self.files[path].replace(old, new, 1)
        if changed == self.files[path]:
            raise ValueError(f"{path} holds no {old!r}")
        self.files[path] = changed


def record(here: Installation) -> Bucket:
    """Two sessions, the second one recovered after a crash with torn bytes."""
    with here.open() as recorder:
        recorder.record("statement.intent", intent(1, "SELECT id FROM payroll.employees"))
        recorder.record("statement.outcome", outcome(1))
        recorder.record("statement.intent", intent(2, "DROP TABLE payroll.pay", "deny"))
        recorder.close({"reason": "ended", "statements": 2})
    with here.open() as crashed:
        crashed.record("statement.intent", intent(1, "UPDATE payroll.pay SET bonus = 0 WHERE id = 1"))
    file = crashed.directory / "00000.jsonl"
    file.write_bytes(file.read_bytes() + b'{"v":1,"ses')
    here.ship()
    return read(here, [recorder.session, crashed.session])


def read(here: Installation, sessions: list[str]) -> Bucket:
    """The bucket of an installation as it stands."""
    root = here.bucket_dir
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    keys = [key.pem().decode() for key in own_keys(here.state_dir)]
    return Bucket(files, keys, sessions)


def _edit_text(bucket: Bucket) -> None:
    bucket.lines(lambda lines: [line.replace(b"payroll.employees", b"payroll.employeez") for line in lines])


def _forge_seal(bucket: Bucket) -> None:
    def forge(lines: list[bytes]) -> list[bytes]:
        last = lines[-1]
        return [*lines[:-1], last[:-6] + (b"0" if last[-6:-5] != b"0" else b"1") + last[-5:]]

    bucket.lines(forge)


def _splice(bucket: Bucket) -> None:
    (other,) = [decompress(bucket.files[bucket.path("00000.jsonl.zst", 1)]).splitlines(keepends=True)[1]]
    bucket.lines(lambda lines: [lines[0], other, *lines[2:]])


def _move(bucket: Bucket, part: str, change: Callable[[str], str], *, copy: bool = False) -> None:
    for path in [path for path in bucket.files if part in path]:
        bucket.files[change(path)] = bucket.files[path] if copy else bucket.files.pop(path)


def _drop(bucket: Bucket, part: str) -> None:
    for path in [path for path in bucket.files if part in path]:
        del bucket.files[path]


def _set(bucket: Bucket, path: str, content: bytes) -> None:
    bucket.files[path] = content


Change = Callable[[Bucket], None]
BAD: list[tuple[str, str, str, Change]] = [
    ("record edited", "i c a", "one word of a statement is another", _edit_text),
    ("record dropped", "i c a", "the second record is gone", lambda b: b.lines(lambda lines: [lines[0], *lines[2:]])),
    ("record doubled", "i c a", "the second record stands twice", lambda b: b.lines(lambda x: [*x[:2], *x[1:]])),
    ("records swapped", "i c a", "two records changed places", lambda b: b.lines(lambda x: [x[0], x[2], x[1], *x[3:]])),
    ("tail cut", "i c a", "the sealed end is gone", lambda b: b.lines(lambda lines: lines[:-1])),
    ("line cut", "i c a", "the last line has no line feed", lambda b: b.lines(lambda x: [*x[:-1], x[-1][:-1]])),
    ("empty line behind", "i c a", "an empty line follows the sealed end", lambda b: b.lines(lambda x: [*x, b"\n"])),
    ("blank inside", "i c a", "a record has one more space", lambda b: b.lines(lambda x: [x[0], b" " + x[1], *x[2:]])),
    ("record spliced", "i c a", "a record of another session", _splice),
    ("seal forged", "i c a", "one digit of the signature is another", _forge_seal),
    (
        "segment missing",
        "i c a",
        "the session's only segment is gone",
        lambda b: _drop(b, b.path("00000.jsonl.zst", 1)),
    ),
    (
        "two frames",
        "i c a",
        "a second, empty zstd frame follows the first",
        lambda b: _set(b, b.path("00000.jsonl.zst"), b.files[b.path("00000.jsonl.zst")] + compress(b"")),
    ),
    ("torn file missing", "i a", "what recovery set aside is gone", lambda b: _drop(b, "torn-")),
    (
        "torn file changed",
        "i a",
        "what recovery set aside is other bytes",
        lambda b: _set(b, b.path("torn-", 1), compress(b'{"v":1,"sex')),
    ),
    ("session missing", "c", "a session that the log knows is gone", lambda b: _drop(b, b.sessions[0])),
    (
        "session moved",
        "i",
        "a session stands under another target",
        lambda b: _move(b, b.sessions[0], lambda path: path.replace("target=payroll", "target=shop")),
    ),
    (
        "session twice",
        "i",
        "a session stands under two targets",
        lambda b: _move(b, b.sessions[0], lambda path: path.replace("target=payroll", "target=shop"), copy=True),
    ),
    ("stray object", "i", "a file that is no part of a session", lambda b: _set(b, "sessions/notes.txt", b"hello\n")),
    (
        "recompressed",
        "i a",
        "the same records in another zstd frame than the one that was shipped",
        lambda b: _set(b, b.path("00000.jsonl.zst"), _recompressed(b.files[b.path("00000.jsonl.zst")])),
    ),
    (
        "log entry edited",
        "a",
        "a leaf names another number of records",
        lambda b: b.swap("entries", b'"records":', b'"recordz":'),
    ),
    (
        "log tile changed",
        "a",
        "a hash in a tile is another",
        lambda b: _set(b, b.path("tile/0/"), _flipped(b.files[b.path("tile/0/")])),
    ),
    ("log tile missing", "a", "the hash tile of the whole log is gone", lambda b: _drop(b, "tile/0/")),
    ("checkpoint missing", "a", "the log has no checkpoint", lambda b: _drop(b, "/checkpoint")),
    ("checkpoint edited", "a", "the checkpoint counts one leaf less", lambda b: _edit_size(b)),
    ("key replaced", "i", "a public key under the name of another", lambda b: b.swap("keys/", b"MCow", b"MCoW")),
    ("no key trusted", "i c a", "the verifier trusts none of the keys", lambda b: b.keys.clear()),
]
"""(name, verdicts that fail by first letter, why, what is done to the good bucket)."""


def _recompressed(content: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(level=1, write_content_size=True).compress(decompress(content))


def _flipped(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


def _edit_size(bucket: Bucket) -> None:
    path = bucket.path("/checkpoint")
    origin, size, rest = bucket.files[path].split(b"\n", 2)
    bucket.files[path] = b"\n".join([origin, str(int(size) - 1).encode(), rest])


def histories(root: Path) -> list[tuple[str, str, str, Bucket]]:
    """A log that was rolled back, and one that was forked: each is good but for a checkpoint seen earlier."""
    here = Installation(root / "one")
    first = here.session()
    here.ship()
    before = read(here, [first])
    shutil.copytree(here.root, root / "two")
    twin = Installation(root / "two")
    second = here.session()
    here.ship()
    after = read(here, [first, second])
    head = after.files[after.path("/checkpoint")]
    other = twin.session()
    twin.ship()
    forked = read(twin, [first, other])
    extended = Bucket(after.files, after.keys, after.sessions, [before.files[before.path("/checkpoint")]])
    return [
        ("extended", "", "the log extends a checkpoint seen earlier", extended),
        (
            "rolled back",
            "a",
            "the log is shorter than one seen earlier",
            Bucket(before.files, before.keys, [first], [head]),
        ),
        (
            "forked",
            "a",
            "the log has another history than one seen earlier",
            Bucket(forked.files, forked.keys, [first], [head]),
        ),
    ]


def successions(root: Path) -> list[tuple[str, str, str, Bucket]]:
    """Keys that follow each other, and keys that were revoked."""
    here = Installation(root / "keys")
    first = here.session()
    here.ship()
    old = load_key(here.state_dir, "file")
    thief = Installation(root / "thief")
    shutil.copytree(here.root, thief.root)
    forged = Installation(root / "forged")
    shutil.copytree(here.root, forged.root)
    rotate(here.state_dir, "file")
    second = here.session()
    here.ship()
    rotated = read(here, [first, second])
    alone = [key.pem().decode() for key in own_keys(here.state_dir) if key != old.public]
    only_old = [old.public.pem().decode()]

    log = InstallationLog(forged.state_dir)
    stranger = load_key(root / "stranger", "file")
    log.append({**key_leaf(log.origin, stranger.public, stranger), "by": old.public.id})
    forged.ship()

    revoke(here.state_dir, old.public.id, "the laptop was stolen", "file")
    here.ship()
    revoked = read(here, [first, second])
    stolen = thief.session()
    thief.ship()
    by_thief = Bucket(dict(revoked.files), revoked.keys, [first, second, stolen])
    by_thief.files |= {path: content for path, content in read(thief, [stolen]).files.items() if stolen in path}
    set_current(here.state_dir, "file", old.public.id)
    here.session()
    here.ship()
    return [
        ("key rotated", "", "the old key is trusted, and vouches for the new one", _with(rotated, only_old)),
        ("only the new key", "i c a", "nobody vouches for what came before a key", _with(rotated, alone)),
        ("voucher forged", "a", "a leaf has another key vouch in the name of the old one", read(forged, [first])),
        ("key revoked", "", "what it sealed before holds", revoked),
        ("revoked, old key trusted", "", "it vouched before it was revoked", _with(revoked, only_old)),
        ("sealed with a revoked key", "i a", "a session that the log did not know before the revocation", by_thief),
        ("signed with a revoked key", "a", "a checkpoint behind the revocation", read(here, [first, second])),
    ]


def installations(root: Path) -> list[tuple[str, str, str, Bucket]]:
    """Two installations in one bucket, and one of them taken away with all that it shipped."""
    here, other = Installation(root / "left"), Installation(root / "right")
    mine, theirs = here.session(), other.session()
    here.ship()
    other.ship()
    both, right = read(here, [mine, theirs]), read(other, [theirs])
    both.files |= right.files
    both.keys += right.keys
    alone = _with(read(here, [mine]), both.keys)
    return [
        ("two installations", "", "two logs in one bucket, each with a key of its own", both),
        ("installation missing", "c", "all that the second one ever shipped is gone, its log too", alone),
    ]


def _with(bucket: Bucket, keys: list[str]) -> Bucket:
    return Bucket(bucket.files, keys, bucket.sessions)


def vectors(root: Path) -> list[tuple[str, str, str, Bucket]]:
    """Every vector: its name, the verdicts that fail, why, and the bucket."""
    good = record(Installation(root / "good"))
    found = [("good", "", "two sessions, one of them recovered after a crash", good)]
    for name, fails, why, change in BAD:
        bucket = Bucket(dict(good.files), list(good.keys), good.sessions)
        change(bucket)
        found.append((name, fails, why, bucket))
    return found + histories(root) + successions(root) + installations(root)


def document(found: list[tuple[str, str, str, Bucket]]) -> str:
    """The vectors as one JSON document, in which equal files stand once."""
    blobs: dict[str, str] = {}

    def blob(content: bytes) -> str:
        name = hashlib.sha256(content).hexdigest()[:12]
        blobs[name] = base64.b64encode(content).decode()
        return name

    written = []
    for name, fails, why, bucket in found:
        verdicts = {"i": "intact", "c": "complete", "a": "anchored"}
        written.append(
            {
                "name": name,
                "why": why,
                "expect": {verdict: letter not in fails for letter, verdict in verdicts.items()},
                "keys": bucket.keys,
                "seen": [blob(note) for note in bucket.seen],
                "files": {path: blob(content) for path, content in sorted(bucket.files.items())},
            }
        )
    return json.dumps({"vectors": written, "blobs": blobs}, indent=1) + "\n"


if __name__ == "__main__":
    PLACE.mkdir()
    try:
        DOCUMENT.write_text(document(vectors(PLACE)))
    finally:
        shutil.rmtree(PLACE)
    print(f"{DOCUMENT.name}: {DOCUMENT.stat().st_size // 1024} KiB")
