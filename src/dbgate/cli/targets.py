"""`dbgate targets`: the databases that the configuration names, and what their policies let you do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbgate.cli.app import new_app, report
from dbgate.errors import EXIT_OK, DbgateError

if TYPE_CHECKING:
    from dbgate.model import Identity, Json, Target
    from dbgate.settings import Settings

app = new_app()
APPS: dict[str, typer.Typer] = {"targets": app}


class Formats(StrEnum):
    """How to print."""

    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Row:
    """One target. `access` maps an access to `allow` or `approve`; `error` says why the policy cannot be read."""

    target: Target
    policy: str
    access: dict[str, str]
    error: DbgateError | None = None

    def to_json(self) -> dict[str, Json]:
        """The target without its DSN, which may hold secrets."""
        return {
            "name": self.target.name,
            "engine": self.target.engine,
            "environment": self.target.environment,
            "policy": self.policy,
            "access": dict(self.access),
            "error": self.error.message if self.error else None,
        }


@app.command()
def targets(
    output: Annotated[
        Formats, typer.Option("--format", envvar="DBGATE_TARGETS_FORMAT", help="table or json.")
    ] = Formats.TABLE,
) -> int:
    """List the databases you may reach, with environment and policy.

    Nothing is connected to. ACCESS is what the policy opens to you in general; `write?` means with approval.
    """
    from dbgate.config import load_settings

    settings = load_settings()
    people, unknown = _identities(settings)
    rows = [access_to(target, people.get(target.issuer)) for target in settings.targets.values()]
    if output is Formats.JSON:
        print(json.dumps([row.to_json() for row in rows], indent=2, ensure_ascii=False))
    elif rows:
        _print(rows, people)
    else:
        _none(settings)
    for error in (*unknown, *(row.error for row in rows)):
        if error is not None:
            report(error)
    return max((error.exit_code for row in rows if (error := row.error)), default=EXIT_OK)


def _identities(settings: Settings) -> tuple[dict[str, Identity], list[DbgateError]]:
    """Who asks, by the name of each issuer that a target names; without a sign-in the list still tells what there is."""
    from dbgate.config import everyone
    from dbgate.identity import current_identity

    wanted = {target.issuer for target in settings.targets.values()}
    found: dict[str, Identity] = {}
    errors: list[DbgateError] = []
    for one in everyone(settings):
        if one.identity.name in wanted:
            try:
                found[one.identity.name] = current_identity(one)
            except DbgateError as error:
                errors.append(error)
    return found, errors


def access_to(target: Target, identity: Identity | None) -> Row:
    """A target, and what its policy opens to an identity in general. Connects to nothing."""
    from dbgate.config import load_policy
    from dbgate.gate.policy.outlook import outlook

    name = Path(target.policy).name if target.policy else "(built-in) read-only.yaml"
    try:
        policy = load_policy(target)
    except DbgateError as error:
        return Row(target, name, {}, error)
    opened = outlook(policy, identity, target.environment) if identity else {}
    return Row(target, name, {str(access): effect for access, effect in opened.items()})


def _print(rows: list[Row], people: Mapping[str, Identity]) -> None:
    from dbgate.cli.columns import print_table

    cells = [
        (row.target.name, row.target.environment or "-", row.target.engine, row.policy, _access(row, people))
        for row in rows
    ]
    print_table(("TARGET", "ENVIRONMENT", "ENGINE", "POLICY", "ACCESS"), cells, elastic=("POLICY",))


def _access(row: Row, people: Mapping[str, Identity]) -> str:
    if row.error:
        return "error"
    if row.target.issuer not in people:
        return "sign in to see"
    return ", ".join(a if effect == "allow" else f"{a}?" for a, effect in row.access.items()) or "none"


def _none(settings: Settings) -> None:
    import sys

    from dbgate.config.places import default_config_file

    print("notice: no targets are configured", file=sys.stderr)
    print(f"hint: describe them under targets: in {settings.file or default_config_file()}", file=sys.stderr)
