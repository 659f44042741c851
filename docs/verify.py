"""A second verifier, written from transcript.md alone: verify.py COPIED-BUCKET KEYID.pub … [CHECKPOINT …] prints three verdicts."""

import hashlib
import json
import re
import sys
from base64 import b64decode, b64encode
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ULID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")
OBJECT = re.compile(r"(?:[0-9]{5}\.jsonl|torn-[0-9]{5}\.bin)\.zst")
SEALED = re.compile(rb'(.*"seal":\{"key":"([0-9a-f]{32})"),"signature":"([0-9a-f]{128})"\}\}')
TILE = re.compile(r"tile/(entries|0|[1-9]\d?)/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?")
Found = dict[str, Any]


def need(holds: object, reason: str) -> None:
    if not holds:
        raise ValueError(reason)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_key(pem: bytes) -> tuple[str, Ed25519PublicKey]:
    raw = b64decode(pem.split(b"\n")[1])[-32:]
    spki = b64encode(bytes.fromhex("302a300506032b6570032100") + raw)
    need(pem == b"-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n" % spki, "not an Ed25519 key in PEM")
    return sha256(raw)[:32], Ed25519PublicKey.from_public_bytes(raw)


def root(row: list[bytes]) -> bytes:
    """The Merkle Tree Hash over leaf hashes (RFC 6962)."""
    if len(row) < 2:
        return row[0] if row else hashlib.sha256(b"").digest()
    split = 1 << (len(row) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root(row[:split]) + root(row[split:])).digest()


def read_checkpoint(note: bytes, keys: Found) -> tuple[str, int, bytes, str]:
    """Origin, size and root of a signed note, and which of `keys` signed it; raises at a fault."""
    text, _, signatures = note.decode().rpartition("\n\n")
    origin, size, head = text.split("\n")
    need(signatures.endswith("\n") and origin and re.fullmatch(r"0|[1-9][0-9]*", size), "a malformed checkpoint")
    for dash, name, code in (line.split(" ") for line in signatures[:-1].split("\n")):
        need(dash == "\u2014" and all(b64encode(b64decode(x)) == x.encode() for x in (code, head)), "a malformed line")
        for key_id, key in keys.items():
            hint = hashlib.sha256(name.encode() + b"\n\x01" + key.public_bytes_raw()).digest()[:4]
            if name == origin and b64decode(code)[:4] == hint:
                key.verify(b64decode(code)[4:], text.encode() + b"\n")
                return origin, int(size), b64decode(head), key_id
    raise ValueError("no trusted key signed the checkpoint")


def check_log(place: Path, origin: str, keys: Found, seen: list[Any]) -> tuple[Found, Found, Found, set[str]]:
    """What each session's leaves say, where each revoked key ended, the keys that hold, those used; raises at a fault."""
    note, tiles, entries, trusted, own = (place / "checkpoint").read_bytes(), {}, [], dict(keys), set()
    known, revoked, size = Found(), Found(), int(note.split(b"\n")[1])
    for file in (path for path in (place / "tile").rglob("*") if path.is_file()):
        level, index, width = TILE.fullmatch(file.relative_to(place).as_posix()).groups()  # type: ignore[union-attr]
        tiles[level, int(re.sub("[x/]", "", index)) * 256, int(width or 256)] = file.read_bytes()
    bundles = b"".join(tiles["entries", at, min(256, size - at)] for at in range(0, size, 256))
    while bundles:
        end = 2 + int.from_bytes(bundles[:2], "big")
        entries.append(bundles[2:end])
        bundles = bundles[end:]
    for at, said in enumerate(map(json.loads, entries)):
        facts, kind = Found(), said["kind"]
        if kind.startswith("session."):
            need(ULID.fullmatch(said["session"]), "a leaf without a session")
            facts = known.setdefault(said["session"], {"objects": {}})
        if kind == "key.new":
            raw, by = bytes.fromhex(said["public"]), trusted.get(said["by"])
            need(sha256(raw)[:32] == said["key"], "a leaf that names another key")
            own |= {said["key"], said["by"]}
            if by:
                by.verify(bytes.fromhex(said["signature"]), f"dbgate key v1\n{origin}\n{raw.hex()}\n".encode())
                trusted |= {} if said["by"] in revoked else {said["key"]: Ed25519PublicKey.from_public_bytes(raw)}
        elif kind == "key.revoked":
            need(said["key"] in own, "the revocation of a key of another log")
            revoked.setdefault(said["key"], at)
        elif kind == "session.ship":
            new = {name: (length, digest) for name, length, digest in said["objects"]}
            need(facts["objects"] | new == new | facts["objects"], "leaves that contradict")
            facts["objects"] |= new
        elif kind != "heartbeat":
            mark, more = {"session.start": ("start", "time"), "session.end": ("end", "records")}[kind]
            need(facts.setdefault(mark, said["record"]) == said["record"], "leaves that contradict")
            facts |= {more: said[more]} | ({"sealed": facts.get("sealed", at)} if mark == "end" else {})
    named, size, head, signer = read_checkpoint(note, {k: key for k, key in trusted.items() if k not in revoked})
    leaves = [hashlib.sha256(b"\0" + entry).digest() for entry in entries]
    need((named, len(entries), root(leaves)) == (origin, size, head), "the entries do not hash to the signed root")
    for other, length, earlier, _ in seen:
        need(other != origin or (length <= size and root(leaves[:length]) == earlier), "rolled back or forked")
    rows = {"entries": [len(entry).to_bytes(2, "big") + entry for entry in entries], "0": leaves}
    while len(row := rows[str(len(rows) - 2)]) >= 256:
        rows[str(len(rows) - 1)] = [root(row[at : at + 256]) for at in range(0, len(row) - 255, 256)]
    for (level, at, width), held in tiles.items():
        row = rows.get(level, [])[at : at + width]
        need(len(row) < width or held == b"".join(row), f"tile {level} {at} does not hold what the entries hash to")
    due = {(level, at, min(256, len(row) - at)) for level, row in rows.items() for at in range(0, len(row), 256)}
    need(due <= tiles.keys(), "a tile is missing")
    return known, revoked, trusted, own | {signer}


def unpack(file: Path) -> bytes:
    need(file.is_file() and 0 <= zstandard.frame_content_size(file.read_bytes()) <= 144 << 20, "is no segment")
    plain = (stream := zstandard.ZstdDecompressor().decompressobj()).decompress(file.read_bytes())
    need(stream.eof and not stream.unused_data and (plain[-1:] == b"\n" or file.name[0] == "t"), "is cut off")
    return plain


def check_chain(folder: Path, keys: Found) -> tuple[Found, list[str], tuple[str, str, int], dict[str, str]]:
    """`session.start`, gaps, (first hash, last hash, records), files set aside with their hash; raises at a fault."""
    start, due, torn, prev, first, count, ended = Found(), set(), {}, "0" * 64, "", 0, False
    texts = (unpack(folder / f"{number:05d}.jsonl.zst") for number in range(len([*folder.glob("[0-9]*")])))
    for line in (line for text in texts for line in text[:-1].split(b"\n")):
        record = json.loads(line.decode("ascii"))
        need(not ended and list(record)[:6] == ["v", "session", "seq", "prev", "time", "kind"], "no record")
        link = (record["v"], record["session"], record["seq"], record["prev"], record["kind"] == "session.start")
        need(link == (1, folder.name, count, prev, count == 0), f"record {count} does not follow")
        if record["kind"] == "session.end":
            need((record["records"], record["head"]) == (count + 1, prev), "wrong totals")
            signed, key, signature = SEALED.fullmatch(line).groups()  # type: ignore[union-attr]
            keys[key.decode()].verify(bytes.fromhex(signature.decode()), b"dbgate session seal v1\n" + signed)
            ended, start["sealed by"] = True, key.decode()
        elif record["kind"].endswith(".intent") and record.get("decision") not in ("deny", "error"):
            due.add((record["kind"][:-7], record["id"]))
        elif record["kind"].endswith(".outcome"):
            due.discard((record["kind"][:-8], record["id"]))
        elif record["kind"] == "notice" and "torn" in record:
            torn[record["torn"]["file"] + ".zst"] = record["torn"]["sha256"]
        prev, count, start, first = (head := sha256(line)), count + 1, start or record, first or head
    gaps = [f"{what} {number} has no outcome" for what, number in sorted(due)] if ended else ["no sealed end"]
    return start, gaps, (first, prev, count), torn


def check_session(folder: Path, bucket: Path, keys: Found, logs: Found, faults: Found) -> Any:
    start, gaps, chain, torn = check_chain(folder, keys)
    faults["complete"] += [f"{folder.name}: {gap}" for gap in gaps]
    place = f"sessions/date={start['time'][:10]}/target={quote(start['target'], safe='')}/{folder.name}"
    if folder != bucket / place or {file.name: sha256(unpack(file)) for file in folder.glob("torn-*")} != torn:
        faults["intact"].append(f"{folder.name}: belongs to {place}, or holds what no recovery set aside")
    for known, revoked in logs.values():
        if revoked.get(start.get("sealed by"), 1 << 61) <= known.get(folder.name, {}).get("sealed", 1 << 60):
            faults["intact"].append(f"{folder.name}: sealed by a key that was revoked before")
    said = logs.get(start["log"], ({}, {}))[0].get(folder.name)
    stored = {at.name: (at.stat().st_size, sha256(at.read_bytes())) for at in folder.iterdir() if at.is_file()}
    if not said or tuple(map(said.get, ("start", "end", "records", "objects"))) != (*chain, stored):
        for verdict in ("intact", "anchored") if said else ("anchored",):
            faults[verdict].append(f"{folder.name}: its log knows another start, end or object, or none")
    return start.get("sealed by")


def verify(bucket: Path, keys: Found, seen: list[Any], now: datetime) -> Found:
    """The faults of a copied bucket under `intact`, `complete` and `anchored`; none when it holds."""
    faults, logs, folders, used = Found(intact=[], complete=[], anchored=[]), Found(), Found(), set()
    holds = dict(keys)
    for origin in sorted({head[0] for head in seen} | {f"{at.parent.name}/{at.name}" for at in bucket.glob("log/*/*")}):
        try:
            *logs[origin], trusted, own = check_log(bucket / "log" / origin, origin, keys, seen)
            holds, used = holds | trusted, used | own
        except Exception as error:
            faults["anchored"].append(f"log {origin}: {error}")
    for file in sorted(at for part in ("keys", "sessions") for at in bucket.glob(f"{part}/**/*") if not at.is_dir()):
        try:
            if file.parent == bucket / "keys":
                need(file.is_file() and file.name == read_key(file.read_bytes())[0] + ".pub", "is not the key it names")
            else:
                fits = file.is_file() and ULID.fullmatch(file.parent.name) and OBJECT.fullmatch(file.name)
                need(fits and folders.setdefault(file.parent.name, file.parent) == file.parent, "does not belong here")
        except Exception as error:
            faults["intact"].append(f"{file}: {error}")
    for folder in folders.values():
        try:
            used.add(check_session(folder, bucket, holds, logs, faults))
        except Exception as error:
            for found in faults.values():
                found.append(f"{folder.name}: {error or 'a signature does not fit'}")
    faults["complete"] += [f"key {key}: nothing here was signed with it" for key in keys.keys() - used]
    for session, said in ((s, said) for log, _ in logs.values() for s, said in log.items() if s not in folders):
        if said["objects"] or now - datetime.fromisoformat(said["time"].replace("Z", "+00:00")) > timedelta(hours=24):
            faults["complete"].append(f"{session}: is missing")
    return faults


if __name__ == "__main__":
    keys = dict(read_key(Path(name).read_bytes()) for name in sys.argv[2:] if name.endswith(".pub"))
    seen = [read_checkpoint(Path(name).read_bytes(), keys) for name in sys.argv[2:] if not name.endswith(".pub")]
    faults = verify(Path(sys.argv[1]), keys, seen, datetime.now(timezone.utc))
    print(*(f"{v:9} {'NO   ' + ascii(found[0])[1:-1] if found else 'yes'}" for v, found in faults.items()), sep="\n")
    sys.exit(any(faults.values()))
