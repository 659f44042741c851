"""`dbgate doctor`: what is configured, reachable, signed in, writable."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from dbgate.cli.app import new_app
from dbgate.errors import DbgateError

if TYPE_CHECKING:
    from dbgate.cli.findings import Findings

app = new_app()
APPS: dict[str, typer.Typer] = {"doctor": app}


class Formats(StrEnum):
    """How to print."""

    TEXT = "text"
    JSON = "json"


@app.command()
def doctor(
    targets: Annotated[
        list[str] | None, typer.Argument(metavar="[TARGET]…", help="Only these targets.", show_default=False)
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", envvar="DBGATE_DOCTOR_OFFLINE", help="Look only at what is on this machine.")
    ] = False,
    output: Annotated[
        Formats, typer.Option("--format", envvar="DBGATE_DOCTOR_FORMAT", help="text or json.")
    ] = Formats.TEXT,
) -> int:
    """Check what is configured, reachable, signed in, writable.

    Each line is ok, warn or fail, with what to do about it. The exit code is that of the first failure.
    """
    from dbgate.cli.findings import Findings

    findings = Findings(show=output is Formats.TEXT)
    _look(findings, tuple(targets or ()), offline=offline)
    if output is Formats.JSON:
        print(json.dumps([finding.to_json() for finding in findings.found], indent=2, ensure_ascii=False))
    return findings.exit_code


def _look(findings: Findings, names: Sequence[str], *, offline: bool) -> None:
    """Look at everything, in the order of what depends on what."""
    from dbgate.cli import checks
    from dbgate.config import find_target, load_settings

    try:
        settings = load_settings()
        chosen = [find_target(settings, name) for name in names] or list(settings.targets.values())
    except DbgateError as error:
        findings.fail("configuration", error)
        return
    checks.configuration(findings, settings)
    identity = checks.identity(findings, settings)
    checks.state(findings, settings)
    checks.signing_key(findings, settings)
    checks.bucket(findings, settings, offline=offline)
    policies = {target.name: checks.policy(findings, target) for target in chosen}
    if not offline:
        checks.approvals(findings, settings, identity, policies.values())
    for target in chosen:
        checks.password(findings, target)
        if not offline:
            checks.database(findings, target, policies[target.name])
