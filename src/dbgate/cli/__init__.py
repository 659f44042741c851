"""The command line: typer only, one small file per command, wiring the concrete parts together."""

from __future__ import annotations


def main() -> None:
    """Run `dbgate`. The one place where errors become messages and exit codes."""
    from dbgate.cli.app import run

    raise SystemExit(run())
