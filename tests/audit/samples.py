"""Sessions to test with: written, shipped and verified by the real thing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbgate.audit.bucket import open_bucket
from dbgate.audit.keys import own_keys
from dbgate.audit.log import InstallationLog
from dbgate.audit.note import Checkpoint, open_checkpoint
from dbgate.audit.recorder import SessionRecorder, open_session
from dbgate.audit.shipping import ShipReport, ship
from dbgate.audit.verification import VerifyReport, verify_bucket
from dbgate.model import Json

START: dict[str, Json] = {
    "identity": {
        "issuer": "https://login.example.com/tenant",
        "subject": "8f1c",
        "email": "mia@example.com",
        "groups": ["engineering"],
        "actor": "human",
        "on_behalf_of": "",
        "assurance": "oidc",
    },
    "target": "payroll",
    "environment": "production",
    "door": "exec",
    "host": "laptop",
    "policy_digest": "sha256:12",
    "reason": "INC-4711",
}


def intent(number: int, text: str = "select 1", decision: str = "allow", **more: Json) -> dict[str, Json]:
    """The fields of a `statement.intent`."""
    return {"id": number, "text": text, "parameters": [], "verb": "select", "decision": decision, **more}


def outcome(number: int, status: str = "SELECT 1", **more: Json) -> dict[str, Json]:
    """The fields of a `statement.outcome`."""
    return {"id": number, "status": status, "rows": 1, "duration_ms": 0.5, "masked": [], **more}


def lines(path: Path) -> list[dict[str, Any]]:
    """The records in a file of JSON Lines."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@dataclass(frozen=True)
class Installation:
    """A state directory and a file bucket."""

    root: Path

    @property
    def state_dir(self) -> Path:
        return self.root / "state"

    @property
    def bucket_dir(self) -> Path:
        return self.root / "bucket"

    @property
    def url(self) -> str:
        return self.bucket_dir.as_uri()

    def open(self, **start: Json) -> SessionRecorder:
        """Begin a session."""
        return open_session(state_dir=self.state_dir, bucket=self.url, start={**START, **start}, key_store="file")

    def session(self, statements: int = 1, *, close: bool = True, start: Mapping[str, Json] = START) -> str:
        """Record a session; return its id."""
        with self.open(**start) as recorder:
            for number in range(1, statements + 1):
                recorder.record("statement.intent", intent(number))
                recorder.record("statement.outcome", outcome(number))
            if close:
                recorder.close({"reason": "ended", "statements": statements})
        return recorder.session

    def torn_session(self) -> str:
        """A session that died behind an intent, in the middle of its next line; return its id."""
        with self.open() as recorder:
            recorder.record("statement.intent", {"id": 1, "text": "select 1", "decision": "allow"})
        file = recorder.directory / "00000.jsonl"
        file.write_bytes(file.read_bytes() + b'{"v":1')
        return recorder.session

    def ship(self) -> ShipReport:
        """Ship what is sealed."""
        return ship(self.state_dir, self.url, "file")

    def folder(self, session: str) -> Path:
        """A shipped session's folder."""
        (found,) = self.bucket_dir.glob(f"sessions/*/*/{session}")
        return found

    def seen(self) -> list[Checkpoint]:
        """The checkpoint that the bucket acknowledged last."""
        note = InstallationLog(self.state_dir).published()
        return [open_checkpoint(note, own_keys(self.state_dir))] if note else []

    def verify(self, *, seen: bool = False, session: str = "", directory: Path | None = None) -> VerifyReport:
        """Verify the bucket, or a copy of it, with this installation's keys."""
        bucket = open_bucket((directory or self.bucket_dir).as_uri())
        known = self.seen() if seen else []
        return verify_bucket(bucket, keys=own_keys(self.state_dir), session=session, seen=known)


def overwrite(path: Path, content: bytes) -> None:
    """Change a file of the bucket, which is read-only."""
    path.chmod(0o600)
    path.write_bytes(content)
