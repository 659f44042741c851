"""The tour: commands that a person could type, run for real, with what they really print.

Every step knows how it has to end. When one ends otherwise, the tour says so and fails.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dbgate.demo.world import World
from dbgate.errors import DbgateError

STEP_S = 120.0
"""How long one command may take."""


class TourFailed(DbgateError):
    """A step did not end as it has to."""

    exit_code = 1


class Tour:
    """Plays the tour on a running world. `color` marks headings and commands."""

    def __init__(self, world: World, *, color: bool) -> None:
        self.world = world
        self._bold, self._dim, self._off = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if color else ("", "", "")

    def play(self) -> None:
        """All steps. Raises `TourFailed`."""
        self._masks()
        self._unmasking()
        self._denials()
        self._approval()
        self._evidence()

    def _masks(self) -> None:
        self.heading("1. Ada, an engineer, reads the payroll: labelled columns are masked inside the database")
        columns = "SELECT id, full_name, email, ssn, salary FROM payroll.employees ORDER BY id LIMIT 3"
        self.run("ada", ["exec", "payroll", "--format", "table", "-c", columns])
        self.heading("2. She tries to get at the number another way: every expression sees the mask")
        tricks = (
            "SELECT substr(e.ssn, 1, 3) AS head, reverse(ssn) AS back, row_to_json(e)->>'ssn' AS json, "
            "ssn || '' AS glued FROM payroll.employees e ORDER BY id LIMIT 2"
        )
        self.run("ada", ["exec", "payroll", "--format", "table", "-c", tricks])
        guess = "SELECT count(*) FROM payroll.employees WHERE ssn LIKE '101-%'"
        self.run("ada", ["exec", "payroll", "--format", "table", "-c", guess])
        self.run("ada", ["exec", "payroll", "-c", "SELECT payroll.ssn_of(1)"], expect=3)

    def _unmasking(self) -> None:
        self.heading("3. With a reason and somebody's agreement she sees the number, for half an hour")
        numbers = "SELECT id, email, ssn FROM payroll.employees ORDER BY id LIMIT 2"
        ask = ["exec", "payroll", "--format", "table", "--unmask", "pii.ssn", "--reason", "TICKET-57", "-c", numbers]
        self.run("ada", ask, expect=4)
        request = self._pending()
        self.run("grace", ["requests", "show", request])
        self.run("grace", ["requests", "approve", request, "--yes", "--note", "the caller is verified"])
        self.run("ada", ask)

    def _denials(self) -> None:
        self.heading("4. What the policy denies does not happen, whatever hides it")
        self.run("ada", ["exec", "payroll", "-c", "DROP TABLE payroll.employees"], expect=3)
        self.run("ada", ["exec", "payroll", "-c", "DELETE FROM payroll.pay"], expect=3)
        hidden = "WITH gone AS (DELETE FROM payroll.pay WHERE true RETURNING 1) SELECT count(*) FROM gone"
        self.run("ada", ["exec", "payroll", "-c", hidden], expect=3)

    def _approval(self) -> None:
        self.heading("5. A bulk UPDATE waits for a second person, who sees what it would touch")
        update = "UPDATE payroll.employees SET notes = 'reviewed' WHERE department_id = 3"
        command = ["exec", "payroll", "--format", "table", "--reason", "TICKET-42", "--wait", "90", "-c", update]
        self.show(command, "ada")
        waiting = subprocess.Popen(
            self._argv(command),
            env=self.world.environment_of("ada"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            request = self._await_request(waiting)
            self.run("ada", ["requests", "approve", request, "--yes"], expect=3)
            self.run("grace", ["requests", "show", request])
            self.run("grace", ["requests", "approve", request, "--yes", "--note", "agreed with the team lead"])
            output, _ = waiting.communicate(timeout=STEP_S)
        finally:
            if waiting.poll() is None:
                waiting.terminate()
                waiting.wait()
        print(f"{self._dim}… and Ada's command, which was waiting, goes on:{self._off}")
        self._check(waiting.returncode, 0, output)

    def _evidence(self) -> None:
        self.heading("6. Every session is a sealed, hash-chained record, and can be watched again")
        self.run("ada", ["sessions", "list"])
        sessions = json.loads(self._capture("ada", ["sessions", "list", "--format", "json"]))
        last = self._with_approval(sessions)
        self.run("ada", ["replay", last, "--speed", "100"])
        self.run("ada", ["audit", "verify"])
        self.heading("7. One byte changed in a copy of the evidence is found")
        copy = self.world.directory / "tampered"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.world.directory / "audit", copy)
        self._tamper(copy, last)
        self.run("ada", ["audit", "verify", str(copy)], expect=1)

    def _with_approval(self, sessions: Sequence[dict[str, Any]]) -> str:
        """The id of the session with the approved UPDATE."""
        for session in sessions:
            shown = self._capture("ada", ["sessions", "show", str(session["session"])])
            if "TICKET-42" in shown:
                return str(session["session"])
        raise TourFailed("the session with the approved statement is not listed")

    def _tamper(self, copy: Path, session: str) -> None:
        """Change one byte in the middle of a transcript."""
        import zstandard

        segment = next(copy.glob(f"sessions/*/*/{session}/*.jsonl.zst"))
        content = bytearray(zstandard.ZstdDecompressor().decompressobj().decompress(segment.read_bytes()))
        middle = content.index(b"reviewed")
        content[middle] ^= 1
        segment.chmod(0o600)
        segment.write_bytes(zstandard.ZstdCompressor().compress(bytes(content)))
        relative = segment.relative_to(copy)
        print(f"{self._dim}(changed one byte of tampered/{relative}){self._off}")

    def _await_request(self, waiting: subprocess.Popen[str]) -> str:
        deadline = time.monotonic() + STEP_S
        while time.monotonic() < deadline:
            if waiting.poll() is not None:
                output = waiting.stdout.read() if waiting.stdout else ""
                raise TourFailed(f"the UPDATE did not wait for an approval: {output.strip()}")
            found = self._pending()
            if found:
                return found
            time.sleep(0.2)
        raise TourFailed("no approval request arrived")

    def _pending(self) -> str:
        """The id of the request that waits for Grace; empty when there is none."""
        found = json.loads(self._capture("grace", ["requests", "list", "--format", "json"]))
        return next((str(request["id"]) for request in found if request["status"] == "pending"), "")

    # -- running ---------------------------------------------------------------------------------------------

    def heading(self, text: str) -> None:
        """Print a heading."""
        print(f"\n{self._bold}{text}{self._off}")

    def show(self, command: Sequence[str], person: str) -> None:
        """Print a command as it would be typed."""
        print(f"\n{self._bold}{person}$ {shlex.join(['dbgate', *command])}{self._off}", flush=True)

    def run(self, person: str, command: Sequence[str], *, expect: int = 0) -> None:
        """Run a command for a person and print what it prints. Raises `TourFailed` unless it ends with `expect`."""
        self.show(command, person)
        done = subprocess.run(
            self._argv(command),
            env=self.world.environment_of(person),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STEP_S,
            check=False,
        )
        self._check(done.returncode, expect, done.stdout)

    def _check(self, code: int, expect: int, output: str) -> None:
        print(output.rstrip("\n"))
        if code:
            print(f"{self._dim}(exit code {code}){self._off}", flush=True)
        if code != expect:
            raise TourFailed(f"the step ended with exit code {code}, not {expect}")

    def _capture(self, person: str, command: Sequence[str]) -> str:
        done = subprocess.run(
            self._argv(command),
            env=self.world.environment_of(person),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=STEP_S,
            check=False,
        )
        if done.returncode:
            raise TourFailed(f"{shlex.join(command)}: {done.stderr.strip()}")
        return done.stdout

    @staticmethod
    def _argv(command: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "dbgate", *command]


def is_terminal() -> bool:
    """Whether a person sits at both ends and wants colour."""
    return sys.stdout.isatty() and sys.stdin.isatty() and "NO_COLOR" not in os.environ
