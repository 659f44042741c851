"""Reading and checking the sessions of a bucket, one after the other or several at once in processes of their own."""

from __future__ import annotations

import hashlib
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dbgate.audit import layout
from dbgate.audit.bucket import Bucket, open_bucket
from dbgate.audit.keys import PublicKey
from dbgate.audit.transcript import Segment, Transcript, check_torn, check_transcript
from dbgate.errors import Unreachable

if TYPE_CHECKING:
    from concurrent.futures import Future

MOST = 8
WORTH = 64
AHEAD = 4
"""So many sessions wait for each process."""


class Job(NamedTuple):
    """A session to examine: its folder and objects, and the digests of the objects that were found good before."""

    session: str
    folder: str
    names: tuple[str, ...]
    known: Mapping[str, str] = {}


@dataclass(slots=True)
class Examined:
    """What was found. `stored` is size and SHA-256 of each object as it stands; `is_known`: these were found good before."""

    found: Transcript
    stored: dict[str, tuple[int, str]] = field(default_factory=dict)
    is_known: bool = False


def examine(bucket: Bucket, job: Job, keys: Mapping[str, PublicKey]) -> Examined:
    """Read a session and check its chain, its seal and what recovery set aside. Raises `Unreachable`."""
    stored: dict[str, tuple[int, str]] = {}
    if job.known and job.known.keys() == set(job.names):
        for name in job.names:
            content = bucket.get(f"{job.folder}/{name}") or b""
            stored[name] = (len(content), hashlib.sha256(content).hexdigest())
        if {name: digest for name, (_, digest) in stored.items()} == job.known:
            return Examined(Transcript(job.session), stored, is_known=True)

    def read(names: Iterable[str]) -> Iterator[Segment]:
        for name in names:
            segment, content = read_object(bucket, job.folder, name)
            stored[name] = (len(content), hashlib.sha256(content).hexdigest())
            yield segment

    found = check_transcript(job.session, read(name for name in job.names if not name.startswith("torn-")), keys)
    if not found.faults:
        check_torn(found, read(name for name in job.names if name.startswith("torn-")))
    return Examined(found, stored)


def examine_all(
    bucket: Bucket, jobs: Sequence[Job], keys: Mapping[str, PublicKey], *, processes: int = 1
) -> Iterator[tuple[Job, Examined]]:
    """Examine the sessions, in order, in so many processes of their own; in this one when it is 1. Raises `Unreachable`.

    With 0 there are as many as processors, up to `MOST`, when there are sessions enough to be worth it.
    """
    processes = processes or (min(_processors(), MOST) if len(jobs) >= WORTH else 1)
    if processes <= 1:
        for job in jobs:
            yield job, examine(bucket, job, keys)
        return
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    # Fresh processes: a store's threads and connections do not survive a fork.
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _begin, (bucket.url, dict(keys)))
    waiting: deque[tuple[Job, Future[Examined]]] = deque()
    try:
        for job in jobs:
            waiting.append((job, pool.submit(_work, job)))
            if len(waiting) > AHEAD * processes:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    except BrokenProcessPool:
        raise Unreachable("a process that verified ended unexpectedly", hint="verify in one: --jobs 1") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_object(bucket: Bucket, folder: str, name: str) -> tuple[Segment, bytes]:
    """A segment of a session, decompressed, and the object's bytes as stored."""
    stored = bucket.get(f"{folder}/{name}")
    plain_name = name.removesuffix(".zst")
    if stored is None:
        return Segment(plain_name, damage="is missing"), b""
    try:
        return Segment(plain_name, layout.decompress(stored)), stored
    except ValueError as error:
        return Segment(plain_name, damage=str(error)), stored


def read_file(path: Path) -> Segment:
    """A segment that stands in a file, packed or not."""
    name = path.name.removesuffix(".zst")
    try:
        if not path.is_file():
            return Segment(name, damage="is missing, or no file")
        content = path.read_bytes()
        return Segment(name, layout.decompress(content) if path.suffix == ".zst" else content)
    except (OSError, ValueError) as error:
        return Segment(name, damage=str(error))


@dataclass(slots=True)
class _Worker:
    bucket: Bucket
    keys: dict[str, PublicKey]


_worker: list[_Worker] = []


def _begin(url: str, keys: dict[str, PublicKey]) -> None:
    """In a new process: open the bucket once. Ctrl-C is for the process that waits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker.append(_Worker(open_bucket(url), keys))


def _work(job: Job) -> Examined:
    return examine(_worker[0].bucket, job, _worker[0].keys)
