"""Verifying a bucket, a copy of one, or a single transcript: intact, complete, anchored.

- *intact*: every record carries the hash of the one before it, and the seal is a trusted key's.
- *complete*: from `session.start` to `session.end`, an outcome for every statement, no session missing.
- *anchored*: start, seal and objects are leaves of a log whose checkpoint a trusted key signed.

Nothing here needs a network beyond the bucket itself, and nothing trusts what stands in the bucket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dbgate.audit import layout
from dbgate.audit.bucket import Bucket
from dbgate.audit.evidence import proven_anchor, wrong_anchor
from dbgate.audit.examination import Examined, Job, examine_all, read_file
from dbgate.audit.keys import PublicKey, parse_public_key
from dbgate.audit.logcheck import Anchor, LogFacts
from dbgate.audit.note import Checkpoint
from dbgate.audit.record import is_session_id
from dbgate.audit.transcript import Transcript, Verdict, check_torn, check_transcript
from dbgate.audit.verified import VerifiedSessions
from dbgate.audit.witness import check_witnessed

ARRIVAL = timedelta(hours=24)
"""A session that its log knows must have arrived this long after its start."""


@dataclass(frozen=True, slots=True)
class SessionVerdicts:
    """What was found of one session. `place` is its folder or file."""

    session: str
    place: str
    person: str
    target: str
    started_at: str
    records: int
    intact: Verdict
    complete: Verdict
    anchored: Verdict


@dataclass(slots=True)
class VerifyReport:
    """What was found in all. `strays` break *intact*, `missing` breaks *complete*, a bad log *anchored*."""

    sessions: list[SessionVerdicts] = field(default_factory=list)
    logs: list[LogFacts] = field(default_factory=list)
    strays: list[Verdict] = field(default_factory=list)
    missing: list[Verdict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    known: int = 0
    """So many sessions had been verified before, and their objects are the same."""

    @property
    def intact(self) -> Verdict:
        """Over all sessions."""
        records = sum(item.records for item in self.sessions)
        good = f"{counted(records, 'record')} of {counted(len(self.sessions), 'session')} in one chain each, every seal holds"
        return _first(self.strays, [_at(item, item.intact) for item in self.sessions], good)

    @property
    def complete(self) -> Verdict:
        """Over all sessions, and those that should be here."""
        good = "every session runs from its start to its seal, and none that a log knows is missing"
        return _first(self.missing, [_at(item, item.complete) for item in self.sessions], good)

    @property
    def anchored(self) -> Verdict:
        """Over all sessions and logs."""
        if not self.logs and len(self.sessions) == 1:
            return _at(self.sessions[0], self.sessions[0].anchored)
        leaves = sum(log.size for log in self.logs)
        good = f"every start and seal is among {counted(leaves, 'signed leaf')} of {counted(len(self.logs), 'log')}"
        logs = [log.verdict for log in self.logs]
        return _first(logs, [_at(item, item.anchored) for item in self.sessions], good)

    def holds(self, *, allow_unanchored: bool = False) -> bool:
        """Whether all that was asked for holds. A log that is there has to hold in any case."""
        return self.intact.holds and self.complete.holds and self.is_anchored(allow_unanchored=allow_unanchored)

    def is_anchored(self, *, allow_unanchored: bool = False) -> bool:
        """Whether all is anchored, or what is not is allowed to do without a log."""
        return self.anchored.holds or (allow_unanchored and all(log.verdict.holds for log in self.logs))


def verify_bucket(
    bucket: Bucket,
    *,
    keys: Sequence[PublicKey],
    session: str = "",
    seen: Sequence[Checkpoint] = (),
    elsewhere: Iterable[str] = (),
    witnesses: Sequence[PublicKey] = (),
    pinned: Sequence[PublicKey] = (),
    now: datetime | None = None,
    processes: int = 1,
    before: VerifiedSessions | None = None,
    progress: Callable[[int, int, int], None] = lambda done, total, size_bytes: None,
) -> VerifyReport:
    """Verify a bucket, or one session of it, with the trusted `keys`, in so many processes.

    What stands in `before` is not checked again while its objects are the same. `progress` hears the sessions done, all sessions,
    and the bytes read. `seen` are checkpoints known from earlier, `elsewhere` the sessions known to wait in a spool. Every one of `witnesses`
    must have cosigned every log, and each log must extend what was cosigned. Every one of `pinned` must have signed something
    that is here: else whoever took away all that an installation ever shipped would go unnoticed.
    Raises `Unreachable`.
    """
    trusted = {key.id: key for key in keys}
    report = VerifyReport()
    folders, strays = find_sessions(bucket)
    report.strays += strays + _wrong_keys(bucket)
    for origin in origins_of(bucket, seen):
        report.logs.append(check_witnessed(bucket, origin, keys, seen, witnesses))
        report.notes += report.logs[-1].notes
    logs = {log.origin: log for log in report.logs}
    for log in report.logs:
        trusted |= log.keys.trusted if log.verdict.holds else {}
    jobs = [
        Job(name, place, tuple(names), before.digests(place, trusted) if before is not None else {})
        for name, places in sorted(folders.items())
        if session in ("", name)
        for place, names in places.items()
    ]
    size_bytes, used = 0, {key for log in report.logs for key in (log.signer, *log.keys.named)}
    for job, examined in examine_all(bucket, jobs, trusted, processes=processes):
        if before is not None:
            before.keep(job.folder, examined)
            examined.found = before.recall(job.folder) if examined.is_known else examined.found
        report.known += examined.is_known
        report.sessions.append(_judged(job, examined, folders, logs))
        used.add(examined.found.sealed_by)
        size_bytes += sum(size for size, _ in examined.stored.values())
        progress(len(report.sessions), len(jobs), size_bytes)
    here = set(folders) | set(elsewhere)
    _find_missing(report, here, session, now or datetime.now(UTC))
    unused = (key.id for key in pinned if key.id not in used)
    report.missing += [Verdict(False, "nothing that is here was signed with it", f"key {key}") for key in unused]
    return report


def verify_files(
    session: str, files: Sequence[Path], *, keys: Sequence[PublicKey], place: str, proofs: Sequence[Path] = ()
) -> SessionVerdicts:
    """Verify a transcript that stands alone: the files of a spool or of a copied session folder.

    `proofs` are files that prove the log's leaves of this session; without them nothing anchors it.
    """
    segments = [path for path in files if not path.name.startswith("torn-")]
    found = check_transcript(session, map(read_file, segments), {key.id: key for key in keys})
    if not found.faults:
        check_torn(found, (read_file(path) for path in files if path not in segments))
    return _verdicts(found, place, proven_anchor(found, files, proofs, keys))


def find_sessions(bucket: Bucket) -> tuple[dict[str, dict[str, list[str]]], list[Verdict]]:
    """The sessions of a bucket as id → folder → object names (sorted), and what does not belong there."""
    folders: dict[str, dict[str, list[str]]] = {}
    strays = []
    for path in sorted(bucket.names("sessions")):
        parts = path.split("/")
        known = layout.SEGMENT_OBJECT.fullmatch(parts[-1]) or layout.TORN_OBJECT.fullmatch(parts[-1])
        if len(parts) != 5 or not known or not is_session_id(parts[3]):
            strays.append(Verdict(False, "does not belong among the sessions", path))
            continue
        folders.setdefault(parts[3], {}).setdefault("/".join(parts[:4]), []).append(parts[4])
    return folders, strays


def _judged(
    job: Job, examined: Examined, folders: Mapping[str, Mapping[str, list[str]]], logs: Mapping[str, LogFacts]
) -> SessionVerdicts:
    """A session's verdicts: what was found in it, where it stands, and what the logs say of it."""
    found = examined.found
    if not found.faults:
        _check_place(found, job.folder, folders[job.session])
        _check_key(found, logs)
    anchored = _anchored(found, examined.stored, logs)
    return _verdicts(found, job.folder, anchored)


def _check_place(found: Transcript, folder: str, places: Mapping[str, list[str]]) -> None:
    if not found.start:
        return
    try:
        expected = layout.session_prefix(found.start)
    except ValueError as error:
        found.faults.append(Verdict(False, str(error), folder))
        return
    if folder != expected:
        found.faults.append(Verdict(False, f"the session belongs to {expected}", folder))
    elif len(places) > 1:
        found.faults.append(Verdict(False, "the session stands in the bucket twice", folder))


def _check_key(found: Transcript, logs: Mapping[str, LogFacts]) -> None:
    """What a revoked key sealed holds only if the log that revokes it knew the seal before."""
    key = str(found.end["seal"]["key"]) if found.end else ""
    for log in logs.values():
        if key not in log.keys.revoked or not log.verdict.holds:
            continue
        anchor = log.anchors.get(found.session)
        if anchor is None or not 0 <= anchor.sealed_at < log.keys.revoked[key]:
            found.faults.append(
                Verdict(False, f"the seal is that of {key}, which log {log.origin} had revoked", "session.end")
            )


def _anchored(found: Transcript, stored: Mapping[str, tuple[int, str]], logs: Mapping[str, LogFacts]) -> Verdict:
    if not found.start:
        return Verdict(False, "there is no session.start that can be read")
    origin = str(found.start.get("log", ""))
    log = logs.get(origin)
    if log is None:
        return Verdict(False, f"there is no log {origin or '(session.start names none)'}")
    if not log.verdict.holds:
        return log.verdict
    anchor = log.anchors.get(found.session)
    if anchor is None:
        return Verdict(False, f"log {origin} does not know this session")
    fault = wrong_anchor(found, stored, anchor)
    if fault is not None:
        found.faults.append(fault)
        return fault
    return Verdict(True, f"start, seal and {counted(len(stored), 'object')} are leaves of log {origin}")


def _verdicts(found: Transcript, place: str, anchored: Verdict) -> SessionVerdicts:
    identity = found.start.get("identity")
    person = (identity.get("email") or identity.get("subject") or "") if isinstance(identity, dict) else ""
    return SessionVerdicts(
        session=found.session,
        place=place,
        person=str(person),
        target=str(found.start.get("target", "")),
        started_at=str(found.start.get("time", "")),
        records=found.records,
        intact=found.intact,
        complete=found.complete,
        anchored=anchored,
    )


def origins_of(bucket: Bucket, seen: Sequence[Checkpoint] = ()) -> list[str]:
    """The logs that stand in the bucket, or should."""
    found = {checkpoint.origin for checkpoint in seen}
    for group in bucket.folders("log"):
        found.update(folder.removeprefix("log/") for folder in bucket.folders(group))
    return sorted(found)


def _wrong_keys(bucket: Bucket) -> list[Verdict]:
    wrong = []
    for path in sorted(bucket.names("keys")):
        pem = bucket.get(path) or b""
        try:
            key = parse_public_key(pem)
            fits = layout.key_path(key.id) == path and key.pem() == pem
        except ValueError:
            fits = False
        if not fits:
            wrong.append(Verdict(False, "is not the public key that its name says", path))
    return wrong


def _find_missing(report: VerifyReport, here: set[str], only: str, now: datetime) -> None:
    for log in report.logs:
        for session, anchor in sorted(log.anchors.items()):
            if session in here or only not in ("", session):
                continue
            if anchor.objects:
                report.missing.append(Verdict(False, f"log {log.origin} knows that it was shipped", session))
            elif _age(anchor, now) > ARRIVAL:
                report.missing.append(Verdict(False, f"began {anchor.started_at} and never arrived", session))
            else:
                report.notes.append(f"session {session} is known to log {log.origin} and not here yet")


def _age(anchor: Anchor, now: datetime) -> timedelta:
    try:
        return now - datetime.fromisoformat(anchor.started_at)
    except ValueError:
        return timedelta.max


def _at(item: SessionVerdicts, verdict: Verdict) -> Verdict:
    place = f"{item.session} {verdict.place}".rstrip()
    return Verdict(verdict.holds, verdict.evidence, place)


def counted(number: int, noun: str) -> str:
    """`1 session`, `2 sessions`, `2 leaves`."""
    plural = noun.removesuffix("f") + "ves" if noun.endswith("leaf") else noun + "s"
    return f"{number} {noun if number == 1 else plural}"


def _first(before: Iterable[Verdict], rest: Iterable[Verdict], good: str) -> Verdict:
    for verdict in (*before, *rest):
        if not verdict.holds:
            return verdict
    return Verdict(True, good)
