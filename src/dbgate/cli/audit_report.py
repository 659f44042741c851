"""What `dbgate audit` prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dbgate.cli.columns import print_table
from dbgate.errors import EXIT_OK, EXIT_STATEMENT
from dbgate.text import printable

if TYPE_CHECKING:
    from dbgate.audit.keys import PublicKey
    from dbgate.audit.shipping import ShipReport
    from dbgate.audit.transcript import Verdict
    from dbgate.audit.verification import SessionVerdicts, VerifyReport

MAX_ROWS = 40


def tell_shipped(report: ShipReport) -> None:
    """Say on stderr what a run of the shipper did."""
    from dbgate.audit.verification import counted

    if report.busy:
        print("notice: another shipper is at work", file=sys.stderr)
        return
    for name in report.recovered:
        print(f"notice: session {name} had died and was ended as crashed", file=sys.stderr)
    done = f"{counted(len(report.shipped), 'session')} shipped ({counted(report.objects, 'object')}, {report.size_bytes} bytes)"
    print(f"notice: {done}", file=sys.stderr)
    if report.waiting:
        print(f"notice: {counted(len(report.waiting), 'session')} still open", file=sys.stderr)
    for reason in report.refused.values():
        print(f"error: not shipped: {printable(reason)}", file=sys.stderr)
    if report.refused:
        print("hint: they stay in the spool; keep a copy, and run: dbgate audit verify --session ID", file=sys.stderr)


def print_report(report: VerifyReport, keys: Sequence[PublicKey]) -> None:
    """Print keys, logs, sessions and the three verdicts."""
    print(f"keys      {', '.join(key.id for key in keys)}")
    for log in report.logs:
        print(f"log       {printable(log.origin)}: {printable(str(log.verdict))}")
    failed = [item for item in report.sessions if not _all_hold(item)]
    passed = [item for item in report.sessions if _all_hold(item)]
    rows = [_row(item) for item in (failed + passed)[:MAX_ROWS]]
    if rows:
        print()
        headings = ("SESSION", "PERSON", "TARGET", ">RECORDS", "INTACT", "COMPLETE", "ANCHORED")
        print_table(headings, rows, elastic=("PERSON", "TARGET"))
    if len(report.sessions) > MAX_ROWS:
        print(f"… and {len(report.sessions) - MAX_ROWS} more")
    print()
    for name, verdict in (("intact", report.intact), ("complete", report.complete), ("anchored", report.anchored)):
        print(f"{name:<9} {_word(verdict):<3}  {printable(str(verdict))}")


def print_failures(report: VerifyReport, *, allow_unanchored: bool) -> int:
    """Say on stderr what does not hold; return the exit code."""
    for note in report.notes:
        print(f"notice: {printable(note)}", file=sys.stderr)
    for item in report.sessions:
        for name in ("intact", "complete"):
            verdict: Verdict = getattr(item, name)
            if not verdict.holds:
                print(f"error: {item.session} is not {name}: {printable(str(verdict))}", file=sys.stderr)
    for verdict in report.strays:
        print(f"error: not intact: {printable(str(verdict))}", file=sys.stderr)
    for verdict in report.missing:
        print(f"error: not complete: session {printable(str(verdict))}", file=sys.stderr)
    if not report.is_anchored(allow_unanchored=allow_unanchored):
        print(f"error: not anchored: {printable(str(report.anchored))}", file=sys.stderr)
    if report.holds(allow_unanchored=allow_unanchored):
        return EXIT_OK
    if report.intact.holds and report.complete.holds and report.is_anchored(allow_unanchored=True):
        print("hint: --allow-unanchored accepts transcripts without a log", file=sys.stderr)
    else:
        print("hint: keep the bucket and the spool as they are; compare them with a backup", file=sys.stderr)
    return EXIT_STATEMENT


def _all_hold(item: SessionVerdicts) -> bool:
    return item.intact.holds and item.complete.holds and item.anchored.holds


def _row(item: SessionVerdicts) -> tuple[str, ...]:
    verdicts = (_word(item.intact), _word(item.complete), "yes" if item.anchored.holds else "no")
    return (item.session, item.person, item.target, str(item.records), *verdicts)


def _word(verdict: Verdict) -> str:
    return "yes" if verdict.holds else "NO"


def report_json(report: VerifyReport) -> dict[str, Any]:
    """The report as JSON values."""

    def told(verdict: Verdict) -> dict[str, Any]:
        return {"holds": verdict.holds, "evidence": verdict.evidence, "place": verdict.place}

    return {
        "intact": told(report.intact),
        "complete": told(report.complete),
        "anchored": told(report.anchored),
        "sessions": [
            {
                "session": item.session,
                "place": item.place,
                "person": item.person,
                "target": item.target,
                "started_at": item.started_at,
                "records": item.records,
                "intact": told(item.intact),
                "complete": told(item.complete),
                "anchored": told(item.anchored),
            }
            for item in report.sessions
        ],
        "logs": [
            {"origin": log.origin, "size": log.size, "signer": log.signer, **told(log.verdict)} for log in report.logs
        ],
        "strays": [told(verdict) for verdict in report.strays],
        "missing": [told(verdict) for verdict in report.missing],
        "notes": report.notes,
    }
