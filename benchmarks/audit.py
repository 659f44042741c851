"""The record: its cost per statement, and shipping, verifying and searching it; as ratios where there is something beside it.

python -m benchmarks.audit               alone; BENCH_RECORDS=10000000 for a large bucket
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from benchmarks.processes import PYTHON, in_turn, report, run_once
from dbgate.audit import layout, spool
from dbgate.audit.recorder import SessionRecorder, open_session
from dbgate.audit.shipping import ship
from dbgate.model import Json

RECORDS = int(os.environ.get("BENCH_RECORDS", "1000000"))
"""Of the bucket that is searched."""
VERIFIED_RECORDS = 300_000
SESSION_RECORDS = 20_000
SYNCED = 1500
AT_ONCE = 8
_PEOPLE = 40
_TABLES = ("payroll.employees", "payroll.pay", "shop.customers", "shop.orders", "public.events")


def measure(directory: Path) -> None:
    """Print all figures; everything is made below `directory`."""
    durable(directory / "durable")
    kept(directory / "kept")
    search(directory / "searched")


def durable(directory: Path) -> None:
    """A statement's two durable records beside the two writes and fdatasyncs that they are, alone and at once."""
    print("\nrecording (ms, and per second)")
    directory.mkdir(parents=True)
    probe = os.open(directory / "probe", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with open_session(state_dir=directory / "state", bucket="", start=_start(0), key_store="file") as recorder:
        numbers = count(1)

        def statement() -> None:
            number = next(numbers)
            recorder.record("statement.intent", _intent(number))
            recorder.record("statement.outcome", _outcome(number))

        ours, bare = _in_turn([statement, lambda: _synced(probe, 2)], SYNCED)
    os.close(probe)
    report("two durable records of a statement: p50; p99", _p50_p99(ours))
    report("the same bytes written and synced, alone: p50; p99", _p50_p99(bare))
    for sessions in (1, AT_ONCE):
        rates = [_at_once(directory, sessions, kind) for kind in ("records", "bare")]
        report(f"durable records per second, {sessions} sessions at once; bare", "; ".join(f"{r:,.0f}" for r in rates))
    with open_session(state_dir=directory / "state", bucket="", start=_start(1), key_store="file") as recorder:
        began = time.perf_counter()
        _fill(recorder, SESSION_RECORDS)
        report("records per second that need not be durable", f"{SESSION_RECORDS / (time.perf_counter() - began):,.0f}")


def kept(directory: Path) -> None:
    """Shipping and verifying, beside what copies and hashes the same bytes."""
    home, raw = directory / "state", directory / "raw.jsonl"
    bucket = directory / "bucket"
    _recorded(home, VERIFIED_RECORDS)
    with raw.open("wb") as file:
        for session in spool.spooled(home):
            for segment in spool.segments(spool.session_dir(home, session)):
                file.write(segment.read_bytes())
    size = raw.stat().st_size
    print(f"\nshipping and verifying {VERIFIED_RECORDS:,} records, {size / 1e6:,.0f} MB (MB/s of the records' bytes)")
    began = time.perf_counter()
    ship(home, bucket.as_uri(), "file")
    report("ship to a directory: packed, put, synced, read back", f"{size / 1e6 / (time.perf_counter() - began):,.0f}")
    keys = [argument for file in (bucket / "keys").glob("*.pub") for argument in ("--key", str(file))]
    verify = [str(Path(PYTHON).with_name("dbgate")), "audit", "verify", str(bucket), *keys]
    environment = _environment(directory)
    ours, hashed = in_turn([verify, ["sha256sum", str(raw)]], environment, runs=3)
    report("audit verify", f"{size / 1e6 / ours.median_s:,.0f}")
    report("sha256sum of the unpacked bytes", f"{size / 1e6 / hashed.median_s:,.0f}")
    report("peak memory of audit verify (MiB)", f"{ours.peak_mib:.0f}")


def search(directory: Path) -> None:
    """SQL over a bucket of many records, and memory."""
    began = time.perf_counter()
    bucket, size = _bucket_of(directory, RECORDS)
    made_s = time.perf_counter() - began
    print(f"\nsearch over {RECORDS:,} records, {size / 1e9:.1f} GB unpacked, made in {made_s:.0f} s (s; peak MiB)")
    environment = _environment(directory)
    dbgate = str(Path(PYTHON).with_name("dbgate"))
    day = sorted((bucket / "sessions").iterdir())[0].name.removeprefix("date=")
    of_one_day = f"SELECT count(*) FROM statements WHERE date = '{day}'"
    by_person = "SELECT person, verb, count(*), sum(rows) FROM statements GROUP BY ALL ORDER BY ALL LIMIT 20"
    needle = "SELECT session, time FROM statements WHERE text LIKE '%needle%' LIMIT 5"
    for name, query in (
        ("one day of thirty", of_one_day),
        ("a needle in the statements' texts", needle),
        ("statements by person and verb", by_person),
    ):
        seconds, peak = run_once([dbgate, "audit", "search", "--bucket", bucket.as_uri(), query], environment)
        report(name, f"{seconds:.1f}; {peak:,.0f}")
    seconds, peak = run_once([dbgate, "audit", "usage", "--bucket", bucket.as_uri()], environment)
    report("audit usage", f"{seconds:.1f}; {peak:,.0f}")


# -- helpers -------------------------------------------------------------------------------------------------


def _in_turn(actions: Sequence[Callable[[], object]], turns: int) -> list[list[float]]:
    """The milliseconds of each action, called in turn."""
    spent: list[list[float]] = [[] for _ in actions]
    for _ in range(turns):
        for action, found in zip(actions, spent, strict=True):
            began = time.perf_counter()
            action()
            found.append((time.perf_counter() - began) * 1000)
    return [sorted(found) for found in spent]


def _p50_p99(found: Sequence[float]) -> str:
    return f"{found[len(found) // 2]:.3f}; {found[len(found) * 99 // 100]:.3f}"


def _synced(descriptor: int, times: int) -> None:
    for _ in range(times):
        os.write(descriptor, b"x" * 600)
        os.fdatasync(descriptor)


_WORKER = """
import sys, time
from pathlib import Path
from benchmarks import audit
audit.worker(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
"""


def worker(directory: Path, kind: str, until: float) -> None:
    """Print how many durable records one process writes per second, until a moment (`time.time`)."""
    directory.mkdir(parents=True, exist_ok=True)
    probe = os.open(directory / f"probe-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    done = 0
    with open_session(state_dir=directory / "state", bucket="", start=_start(0), key_store="file") as recorder:
        began = time.perf_counter()
        while time.time() < until:
            if kind == "bare":
                _synced(probe, 1)
            else:
                recorder.record("statement.intent", _intent(done, "deny"))
            done += 1
        print(done / (time.perf_counter() - began))


def _at_once(directory: Path, sessions: int, kind: str) -> float:
    """Durable records per second of several processes on one spool."""
    until = time.time() + 6.0
    command = [PYTHON, "-c", _WORKER, str(directory), kind, str(until)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(sessions)]
    return sum(float(process.communicate()[0]) for process in running)


def _recorded(home: Path, records: int) -> None:
    """Sealed sessions with so many records."""
    for number in range(max(records // SESSION_RECORDS, 1)):
        with open_session(state_dir=home, bucket="", start=_start(number), key_store="file") as recorder:
            _fill(recorder, SESSION_RECORDS)
            recorder.close({"reason": "ended", "statements": SESSION_RECORDS // 2})


def _bucket_of(directory: Path, records: int) -> tuple[Path, int]:
    """A bucket with so many records in sessions of thirty days, and their size in bytes. Real sessions, copied to the days."""
    home, bucket = directory / "state", directory / "bucket"
    distinct = min(records, 100_000)
    _recorded(home, distinct)
    segments = [
        segment.read_bytes()
        for session in spool.spooled(home)
        for segment in spool.segments(spool.session_dir(home, session))
    ]
    size = written = number = 0
    while written < records:
        content = segments[number % len(segments)]
        stamp = hashlib.sha256(str(number).encode()).hexdigest()[:26]
        folder = bucket / "sessions" / f"date=2026-10-{number % 30 + 1:02d}" / f"target=prod-{number % 7}" / stamp
        folder.mkdir(parents=True)
        (folder / "00000.jsonl.zst").write_bytes(layout.compress(content))
        size += len(content)
        written += content.count(b"\n")
        number += 1
    return bucket, size


def _fill(recorder: SessionRecorder, records: int) -> None:
    for number in range(1, records // 2 + 1):
        recorder.record("statement.intent", _intent(number), durable=False)
        recorder.record("statement.outcome", _outcome(number), durable=False)


def _start(number: int) -> dict[str, Json]:
    person = number % _PEOPLE
    return {
        "identity": {
            "issuer": "https://login.example.com/tenant",
            "subject": f"user-{person}",
            "email": f"user-{person}@example.com",
            "groups": ["engineering", "support"],
            "actor": "human",
            "on_behalf_of": "",
            "assurance": "oidc",
        },
        "target": f"prod-{number % 7}",
        "environment": "production",
        "door": "exec",
        "host": "bastion",
        "policy_digest": "sha256:12",
        "reason": f"INC-{number}",
    }


def _intent(number: int, decision: str = "rewrite") -> dict[str, Json]:
    table = _TABLES[number % len(_TABLES)]
    word = "needle" if number % 9973 == 0 else "hay"
    text = f"SELECT id, full_name, email FROM {table} WHERE region = 'EU' AND id = {number} AND notes <> '{word}'"
    return {
        "id": number,
        "text": text,
        "parameters": [],
        "verb": "select",
        "access": "read",
        "relations": [table],
        "columns": [f"{table}.id", f"{table}.full_name", f"{table}.email"],
        "tags": ["pii.email"],
        "labelled": [{"column": f"{table}.email", "tag": "pii.email", "hidden": True}],
        "decision": decision,
        "rules": ["staff-read (payroll.yaml:17)"],
        "rewritten": text.replace("email FROM", "'***' AS email FROM"),
    }


def _outcome(number: int) -> dict[str, Json]:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return {
        "id": number,
        "status": "SELECT 1",
        "rows": 1,
        "bytes": 64,
        "duration_ms": 1.25,
        "masked": ["email"],
        "digest": digest,
    }


def _environment(directory: Path) -> dict[str, str]:
    """Without a configuration of anybody."""
    home = {"HOME": str(directory), "DBGATE_CONFIG": str(directory / "config.yaml"), "DBGATE_STATE_DIR": str(directory)}
    (directory / "config.yaml").write_text("identity: {provider: local}\naudit: {key_store: file}\n", encoding="utf-8")
    return {name: value for name, value in os.environ.items() if not name.startswith("DBGATE_")} | home


def main() -> int:
    """Measure in a folder that is removed afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="dbgate-bench-"))
    try:
        measure(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
