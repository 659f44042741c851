"""Records that must be on disk: a statement's two, and those of many sessions on one spool at once.

python -m benchmarks.durable             alone
"""

from __future__ import annotations

import fcntl
import mmap
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from benchmarks.processes import PYTHON, report
from benchmarks.samples import SESSION_RECORDS, fill, intent, outcome, start
from dbgate.audit.recorder import open_session

SYNCED = 1500
AT_ONCE = (1, 8, 32)
ROUNDS, ROUND_S = 3, 1.5
_BYTES = 1000
"""About those of a `statement.intent`."""


def measure(directory: Path) -> None:
    """Print all figures; everything is made below `directory`."""
    directory.mkdir(parents=True)
    alone(directory)
    at_once(directory)


def alone(directory: Path) -> None:
    """A statement's two durable records beside the two writes and fdatasyncs that they are."""
    print("\nrecording (ms, and per second)")
    probe = _opened(directory / "probe")
    with open_session(state_dir=directory / "state", bucket="", start=start(0), key_store="file") as recorder:
        numbers = count(1)

        def statement() -> None:
            number = next(numbers)
            recorder.record("statement.intent", intent(number))
            recorder.record("statement.outcome", outcome(number))

        def bare() -> None:
            for _ in range(2):
                _synced(probe)

        ours, beside = _in_turn([statement, bare], SYNCED)
    os.close(probe)
    report("two durable records of a statement: p50; p99", _p50_p99(ours))
    report("as many bytes written and synced, alone: p50; p99", _p50_p99(beside))
    with open_session(state_dir=directory / "state", bucket="", start=start(1), key_store="file") as recorder:
        began = time.perf_counter()
        fill(recorder, SESSION_RECORDS)
        report("records per second that need not be durable", f"{SESSION_RECORDS / (time.perf_counter() - began):,.0f}")


def at_once(directory: Path) -> None:
    """Durable records per second of so many sessions, beside bare syncs of as many files: each in its turn, at once, and
    as a group commit of one file. Medians of rounds that take turns."""
    print(f"durable records per second, by sessions at once (medians of {ROUNDS} rounds in turn)")
    for sessions in AT_ONCE:
        rates: dict[str, list[float]] = {kind: [] for kind in _WAYS}
        for _ in range(ROUNDS):
            for kind, found in rates.items():
                found.append(_rate(directory, sessions, kind))
        middle = {kind: statistics.median(found) for kind, found in rates.items()}
        for kind, about in _WAYS.items():
            beside = f"{middle[kind] / middle['turns']:.1f} of one after the other"
            report(f"{sessions}: {about}", f"{middle[kind]:,.0f}", beside if sessions > 1 else "")


_WAYS = {
    "records": "sessions of dbgate",
    "bare": "bare syncs, a file each",
    "turns": "bare syncs, a file each, one after the other",
    "group": "bare syncs, one file, group commit",
}


def worker(directory: Path, kind: str) -> None:
    """Say `ready`, wait for a line with the moment (`time.time`) to stop at, and print how many records became durable."""
    directory.mkdir(parents=True, exist_ok=True)
    made = {"records": _session, "bare": _own_file, "turns": _in_turns, "group": _group_commit}[kind](directory)
    print("ready", flush=True)
    until, done = float(sys.stdin.readline()), 0
    while time.time() < until:
        made(done)
        done += 1
    print(done, flush=True)


def _session(directory: Path) -> Callable[[int], object]:
    recorder = open_session(state_dir=directory / "state", bucket="", start=start(0), key_store="file")
    return lambda number: recorder.record("statement.intent", intent(number, "deny"))


def _own_file(directory: Path) -> Callable[[int], object]:
    descriptor = _opened(directory / f"probe-{os.getpid()}")
    return lambda number: _synced(descriptor)


def _in_turns(directory: Path) -> Callable[[int], object]:
    descriptor, lock = _opened(directory / f"probe-{os.getpid()}"), _opened(directory / "turns")

    def once(number: int) -> None:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _synced(descriptor)
        fcntl.flock(lock, fcntl.LOCK_UN)

    return once


def _group_commit(directory: Path) -> Callable[[int], object]:
    """All append to one file; who gets the lock syncs for everybody who has written by then, the others find it done."""
    descriptor, lock = _opened(directory / "group"), _opened(directory / "group.lock")
    place = os.open(directory / "group.synced", os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(place, mmap.PAGESIZE)
    synced = mmap.mmap(place, mmap.PAGESIZE)

    def once(number: int) -> None:
        os.write(descriptor, b"x" * _BYTES)
        mine = os.lseek(descriptor, 0, os.SEEK_CUR)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if struct.unpack_from("q", synced)[0] < mine:
            size = os.fstat(descriptor).st_size
            os.fdatasync(descriptor)
            struct.pack_into("q", synced, 0, size)
        fcntl.flock(lock, fcntl.LOCK_UN)

    return once


def _rate(directory: Path, sessions: int, kind: str) -> float:
    """What all of several processes make durable per second."""
    code = "import sys; from pathlib import Path; from benchmarks.durable import worker; worker(Path(sys.argv[1]), sys.argv[2])"
    place = Path(tempfile.mkdtemp(dir=directory))
    command = [PYTHON, "-c", code, str(place), kind]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(sessions)
    ]
    for process in running:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise RuntimeError(f"a worker did not start: {kind}")
    until = f"{time.time() + ROUND_S}\n"
    for process in running:
        if process.stdin is not None:
            process.stdin.write(until)
            process.stdin.flush()
    done = sum(int(process.communicate()[0]) for process in running)
    shutil.rmtree(place)
    return done / ROUND_S


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _synced(descriptor: int) -> None:
    os.write(descriptor, b"x" * _BYTES)
    os.fdatasync(descriptor)


def _in_turn(actions: Sequence[Callable[[], object]], turns: int) -> list[list[float]]:
    """The milliseconds of each action, called in turn, sorted."""
    spent: list[list[float]] = [[] for _ in actions]
    for _ in range(turns):
        for action, found in zip(actions, spent, strict=True):
            began = time.perf_counter()
            action()
            found.append((time.perf_counter() - began) * 1000)
    return [sorted(found) for found in spent]


def _p50_p99(found: Sequence[float]) -> str:
    return f"{found[len(found) // 2]:.3f}; {found[len(found) * 99 // 100]:.3f}"


def main() -> int:
    """Measure in a folder that is removed afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="dbgate-bench-"))
    try:
        measure(directory / "durable")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
