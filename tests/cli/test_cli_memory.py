"""Memory does not grow with a session: every command that goes through one, on a small session and on one that is 48 MB larger."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from benchmarks.processes import run_once
from tests.audit.samples import Installation, intent, outcome
from tests.cli.test_cli_audit import environment

SMALL_BYTES, LARGE_BYTES = 36_000_000, 84_000_000
"""A segment has 16 MiB: the small session has two whole ones, so that both pay for going from one to the next."""
BOUND_MIB = 30
"""Of the 46 MiB that the large session has more; packed, as in the bucket, they are 34."""
QUERIED_BYTES = 500_000_000
"""Of a session that is queried: DuckDB keeps a buffer for each of its threads, and four segments."""
DBGATE = str(Path(sys.executable).with_name("dbgate"))
SECOND = str(Path(__file__).parents[2] / "docs" / "verify.py")


def recorded(here: Installation, size_bytes: int, *, close: bool = True) -> str:
    """A session of about so many bytes, which hardly get smaller when they are packed."""
    with here.open() as recorder:
        for number in range(1, size_bytes // 7_000 + 1):
            text = "\n".join(secrets.token_urlsafe(75) for _ in range(60))
            recorder.record("statement.intent", intent(number, tags=["pii"], relations=["s.t"]), durable=False)
            recorder.record("output", {"id": number, "text": text}, durable=False)
            recorder.record("statement.outcome", outcome(number), durable=False)
        if close:
            recorder.close({"reason": "quit"})
    return recorder.session


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Installation, str]]:
    """A small and a large session, shipped, each in an installation of its own."""
    made = []
    for size_bytes in (SMALL_BYTES, LARGE_BYTES):
        here = Installation(tmp_path_factory.mktemp("large"))
        made.append((here, recorded(here, size_bytes)))
        here.ship()
    return made


def variables(here: Installation) -> dict[str, str]:
    """What dbgate gets. With the threshold fixed, malloc gives large blocks back at once: what is left is what is held."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DBGATE_")}
    return inherited | environment(here) | {"TERM": "xterm", "MALLOC_MMAP_THRESHOLD_": "131072"}


def peak_mib(here: Installation, command: Sequence[str]) -> float:
    """The most memory that a command took. It has to end with 0."""
    return run_once(command, variables(here))[1]


def grown(both: list[tuple[Installation, str]], *arguments: str) -> float:
    """How much more memory `dbgate` takes for the large session than for the small one, in MiB."""
    small, large = (
        peak_mib(here, [DBGATE, *(a.format(session=session, root=here.root) for a in arguments)])
        for here, session in both
    )
    return large - small


@pytest.mark.parametrize(
    "command",
    [
        "sessions list --table s.*",
        "sessions show {session} --format json",
        "replay {session}",
        "replay {session} --from 2",
        "replay {session} --export cast",
        "replay {session} --export html",
        "replay {session} --export json",
        "replay {session} --export sql",
        "audit verify",
        "audit prove {session} -o {root}/evidence",
        "audit export --format ocsf",
    ],
)
def test_memory_does_not_grow_with_the_session(both: list[tuple[Installation, str]], command: str) -> None:
    try:
        assert grown(both, *command.split()) < BOUND_MIB
    finally:
        for here, _ in both:
            shutil.rmtree(here.root / "evidence", ignore_errors=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit", "usage"],
        ["audit", "search", "SELECT max(text) FROM records"],
    ],
)
def test_what_a_query_keeps_is_bounded(tmp_path: Path, arguments: list[str]) -> None:
    here = Installation(tmp_path)
    with here.open() as recorder:
        while sum(path.stat().st_size for path in recorder.directory.iterdir()) < QUERIED_BYTES:
            recorder.record("output", {"id": 1, "text": "x" * 1_000_000}, durable=False)
        recorder.close({"reason": "quit"})
    here.ship()
    assert peak_mib(here, [DBGATE, *arguments]) < QUERIED_BYTES / 2**20 * 0.7


def test_the_second_verifier_needs_no_more_memory_for_more(both: list[tuple[Installation, str]]) -> None:
    peaks = []
    for here, _ in both:
        (key,) = (here.state_dir / "keys").glob("*.pub")
        peaks.append(peak_mib(here, [sys.executable, SECOND, str(here.bucket_dir), str(key)]))
    assert peaks[1] - peaks[0] < BOUND_MIB


def test_the_screen_needs_no_more_memory_for_more(both: list[tuple[Installation, str]]) -> None:
    watching = [sys.executable, "-I", "-S", "-c", WATCHED, DBGATE, "replay"]
    small, large = (peak_mib(here, [*watching, session]) for here, session in both)
    assert large - small < BOUND_MIB


WATCHED = """
import os, pty, resource, sys, time
child, terminal = pty.fork()
if not child:
    os.execvp(sys.argv[1], sys.argv[1:])
steps = [(b"checked", b"\\x1b[F"), (b"session ended", b"q")]
seen, until = b"", time.monotonic() + 200
while time.monotonic() < until:
    try:
        seen += os.read(terminal, 65536)
    except OSError:
        break
    if steps and steps[0][0] in seen:
        os.write(terminal, steps.pop(0)[1])
_, status, usage = os.wait4(child, 0)
sys.exit(f"left {steps} {status} {seen[-2000:]}" if steps or status else 0)
"""
"""Plays a session on a terminal, goes to its end, and leaves."""


def test_shipping_and_ending_a_dead_session_need_no_more_memory_for_more(tmp_path: Path) -> None:
    peaks = []
    for size_bytes in (SMALL_BYTES, LARGE_BYTES):
        here = Installation(tmp_path / str(size_bytes))
        session = recorded(here, size_bytes, close=False)
        first = here.state_dir / "spool" / session / "00000.jsonl"
        content = first.read_bytes()
        first.write_bytes(content.replace(b'"id":2,', b'"id":3,', 1))
        peaks.append(peak_mib(here, [DBGATE, "audit", "ship"]))
        names = sorted(path.name for path in here.folder(session).iterdir())
        assert "torn-00000.bin.zst" in names
        assert ("torn-00003.bin.zst" in names) is (size_bytes == LARGE_BYTES)
        assert here.verify().holds()
    assert peaks[1] - peaks[0] < BOUND_MIB
