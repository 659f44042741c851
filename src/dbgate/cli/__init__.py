"""The command line: typer only, one small file per command, wiring the concrete parts together."""

from __future__ import annotations

import gc

COLLECT_AFTER = (50_000, 20, 100)
"""Values that a command makes before cycles are looked for among the new ones, the older and the old: what is imported
stays, and the usual numbers walk over it dozens of times in a start."""


def main() -> None:
    """Run `dbgate`. The one place where errors become messages and exit codes."""
    from dbgate.cli.app import run

    gc.set_threshold(*COLLECT_AFTER)
    code = run()
    gc.freeze()  # what is left ends with the process: its end need not look for cycles
    raise SystemExit(code)
