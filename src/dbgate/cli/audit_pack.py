"""`dbgate audit report`: an evidence pack for auditors."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbgate.cli.audit_export import FromOption, ToOption
from dbgate.cli.audit_proofs import Keys, known_checkpoints, trusted_keys
from dbgate.cli.audit_report import report_json
from dbgate.cli.audit_search import SkipOption, opened, put, source_bucket, tell
from dbgate.cli.sessions import BucketOption, load, parse_time
from dbgate.errors import EXIT_OK, EXIT_STATEMENT, UsageError
from dbgate.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbgate.audit.bucket import Bucket
    from dbgate.audit.keys import PublicKey
    from dbgate.audit.note import Checkpoint
    from dbgate.audit.report import Pack


class Standards(StrEnum):
    """Whose controls a report speaks to."""

    SOC2 = "soc2"
    FEDRAMP = "fedramp"


class PackFormats(StrEnum):
    """What a report is written as."""

    HTML = "html"
    JSON = "json"


def report_command(
    standard: Annotated[Standards, typer.Option(help="Whose controls it speaks to.")],
    from_: FromOption = "",
    to: ToOption = "",
    target: Annotated[str, typer.Option(metavar="GLOB", help="Target name; * and ? match.")] = "",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write to this file (0600)."),
    ] = None,
    form: Annotated[
        PackFormats, typer.Option("--format", help="One HTML page, or the same as JSON.")
    ] = PackFormats.HTML,
    seed: Annotated[
        str,
        typer.Option(metavar="TEXT", help="Which sample to draw: the same seed draws the same."),
    ] = "1",
    sample: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=500, help="How many statements to draw."),
    ] = 25,
    bucket: BucketOption = "",
    key: Keys = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A checkpoint known from earlier, for the verdicts."),
    ] = None,
    skip_damaged: SkipOption = False,
) -> int:
    """Write an evidence pack: controls with figures and the queries behind them, access, approvals, verdicts, samples.

    One HTML file without scripts that prints well. Every figure can be computed again with `dbgate audit search`.
    Verifies the whole bucket, too: exit 1 when it does not hold; the report says where.

    \b
    dbgate audit report --standard soc2 --from 2026-07-01 --to 2026-09-30 -o q3.html
    """
    from dbgate import __version__
    from dbgate.audit.background import let_shipper_finish
    from dbgate.audit.report import Pack, Scope, gather
    from dbgate.audit.report.pack import in_scope

    since, until = parse_time(from_), parse_time(to, end=True)
    if since is None or until is None:
        raise UsageError("a report is about a period", hint="--from 2026-07-01 --to 2026-09-30")
    if since >= until:
        raise UsageError("the period ends before it begins", hint="--from 2026-07-01 --to 2026-09-30")
    settings = load()
    keys = trusted_keys(settings, key or [])
    if not bucket:
        let_shipper_finish(settings.state_dir)
    seen = known_checkpoints(settings, checkpoint or [], keys, own=not bucket and not key)
    source = source_bucket(settings, bucket)
    scope = Scope(standard.value, since, until, target, seed, sample)
    pack = Pack(scope, source.url, __version__, datetime.now(UTC), keys=tuple(one.id for one in keys))
    with opened(settings, bucket, None, until, skip_damaged, source=source) as engine:
        engine.hold()
        gather(engine, scope, pack)
        tell(engine)
        pack.left_out = tuple(f"{printable(name)}: {printable(why)}" for name, why in engine.damaged.items())
    holds = _verify(source, keys, seen, settings.state_dir if not bucket else None, pack, pinned=keys if key else ())
    pack.integrity["sessions"] = list(in_scope(pack.integrity["sessions"], scope))
    _write(pack, form, output)
    if not holds:
        print("error: the transcripts do not verify: the report says where", file=sys.stderr)
        print(f"hint: dbgate audit verify{f' {printable(bucket)}' if bucket else ''}", file=sys.stderr)
    return EXIT_OK if holds else EXIT_STATEMENT


def _verify(
    source: Bucket,
    keys: Sequence[PublicKey],
    seen: Sequence[Checkpoint],
    state_dir: Path | None,
    pack: Pack,
    *,
    pinned: Sequence[PublicKey],
) -> bool:
    """Put the verdicts over the bucket into the pack; whether all three hold. `pinned` keys have to have signed something."""
    from dbgate.audit import spool
    from dbgate.audit.verification import verify_bucket

    waiting = spool.spooled(state_dir) if state_dir else []
    report = verify_bucket(source, keys=keys, seen=seen, elsewhere=waiting, pinned=pinned)
    pack.integrity = report_json(report) | {"checked": len(report.sessions), "checkpoints": len(seen)}
    return report.holds()


def _write(pack: Pack, form: PackFormats, output: Path | None) -> None:
    if form is PackFormats.JSON:
        put(iter([json.dumps(pack.to_json(), indent=1), "\n"]), output)
        return
    from dbgate.audit.report.page import page

    put(page(pack), output)
