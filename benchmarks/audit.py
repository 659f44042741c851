"""The record: its cost per statement, and shipping, verifying and searching it; as ratios where there is something beside it.

python -m benchmarks.audit               alone; BENCH_RECORDS=10000000 for a large bucket
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import durable
from benchmarks.processes import PYTHON, in_turn, report, run_once
from benchmarks.samples import SESSION_RECORDS, fill, start
from dbgate.audit import layout, spool
from dbgate.audit.recorder import open_session
from dbgate.audit.shipping import ship

RECORDS = int(os.environ.get("BENCH_RECORDS", "1000000"))
"""Of the bucket that is searched."""
VERIFIED_RECORDS = 300_000


def measure(directory: Path) -> None:
    """Print all figures; everything is made below `directory`."""
    durable.measure(directory / "durable")
    kept(directory / "kept")
    search(directory / "searched")


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


def _recorded(home: Path, records: int) -> None:
    """Sealed sessions with so many records."""
    for number in range(max(records // SESSION_RECORDS, 1)):
        with open_session(state_dir=home, bucket="", start=start(number), key_store="file") as recorder:
            fill(recorder, SESSION_RECORDS)
            recorder.close({"reason": "ended", "statements": SESSION_RECORDS // 2})


def _bucket_of(directory: Path, records: int) -> tuple[Path, int]:
    """A bucket with so many records in sessions of thirty days, and their size in bytes. Real sessions, copied to
    the days under names of their own (which breaks their chains: a search verifies no hash)."""
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
        began = json.loads(content[: content.index(b"\n")])
        stamp = hashlib.sha256(str(number).encode()).hexdigest()[:26]
        day = f"2026-10-{number % 30 + 1:02d}"
        content = content.replace(began["session"].encode(), stamp.encode())
        content = content.replace(f'"time":"{began["time"][:10]}'.encode(), f'"time":"{day}'.encode())
        folder = bucket / "sessions" / f"date={day}" / f"target={began['target']}" / stamp
        folder.mkdir(parents=True)
        (folder / "00000.jsonl.zst").write_bytes(layout.compress(content))
        size += len(content)
        written += content.count(b"\n")
        number += 1
    return bucket, size


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
