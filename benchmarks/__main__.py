"""`make bench`: start-up, overhead per statement, export rate; as ratios against psql and bare psycopg."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import approvals, audit, gate
from benchmarks.processes import PYTHON, in_turn, ratio, report, run_once
from dbgate.database import binaries
from dbgate.demo.world import World, running

RUNS = int(os.environ.get("BENCH_RUNS", "9"))
EXPORT_ROWS = int(os.environ.get("BENCH_ROWS", "1000000"))

_EMPTY_TYPER = "import typer\napp = typer.Typer()\n@app.command()\ndef main(): pass\napp()\n"
_BARE_PSYCOPG = "import sys, psycopg\nwith psycopg.connect(sys.argv[1]) as c: print(c.execute('select 1').fetchall())\n"


def main() -> int:
    """Run all benchmarks on a demo of their own."""
    directory = Path(tempfile.mkdtemp(prefix="dbgate-bench-"))
    try:
        with running(directory) as world:
            print(f"medians of {RUNS} runs, in turn, on {os.cpu_count()} cores")
            configure(world)
            starting(world)
            statements(world)
            gate.judging(dsn(world), Path(__file__).parents[1] / "src" / "dbgate" / "demo" / "policy.yaml")
            gate.catalogs(directory)
            export(world)
            approvals.measure(directory, dsn(world))
            audit.measure(directory / "record")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def configure(world: World) -> None:
    """Give dbgate what the others get: the password in the DSN, and a policy without row limits."""
    import yaml

    config = world.config("ada")
    document = yaml.safe_load(config.read_text(encoding="utf-8"))
    target = document["targets"]["payroll"]
    password = (world.directory / "role.password").read_text(encoding="ascii")
    del target["password"]
    target["dsn"] = target["dsn"].replace("payroll_app@", f"payroll_app:{password}@")
    text = Path(target["policy"]).read_text(encoding="utf-8")
    policy = world.directory / "unlimited.yaml"
    policy.write_text(text.replace("rows: 100000, statement_timeout: 30s", "statement_timeout: 10m"), encoding="utf-8")
    target["policy"] = str(policy)
    config.write_text(yaml.safe_dump(document), encoding="utf-8")


def dsn(world: World) -> str:
    """The DSN of the benchmarks' database, with its password."""
    import yaml

    return str(yaml.safe_load(world.config("ada").read_text(encoding="utf-8"))["targets"]["payroll"]["dsn"])


def starting(world: World) -> None:
    """Cold starts of whole processes."""
    environment = world.environment_of("ada")
    script = world.directory / "typer_program.py"
    script.write_text(_EMPTY_TYPER, encoding="utf-8")
    bare = world.directory / "bare_psycopg.py"
    bare.write_text(_BARE_PSYCOPG, encoding="utf-8")
    dbgate = str(Path(PYTHON).with_name("dbgate"))
    print("\nstart-up (whole process)")
    ours, empty = in_turn([[dbgate, "--help"], [PYTHON, str(script), "--help"]], environment, runs=RUNS)
    report("dbgate --help / an empty typer program --help", f"{ratio(ours, empty):.2f}", "goal ≤ 1.3")
    pgcli = [str(Path(PYTHON).with_name("pgcli")), dsn(world), "-c", "select 1"]
    commands = [
        [dbgate, "exec", "payroll", "-c", "select 1"],
        [PYTHON, str(bare), dsn(world)],
        psql(world, "select 1"),
        pgcli,
    ]
    ours, psycopg, native, other = in_turn(commands, environment | _home(world), runs=RUNS)
    report("dbgate exec -c 'select 1' / the same in bare psycopg", f"{ratio(ours, psycopg):.2f}", "goal ≤ 1.6")
    report("dbgate exec -c 'select 1' / psql -c 'select 1'", f"{ratio(ours, native):.2f}")
    report("dbgate exec -c 'select 1' / pgcli -c 'select 1'", f"{ratio(ours, other):.2f}")


def _home(world: World) -> dict[str, str]:
    """A home of the benchmark's own: pgcli writes its configuration there."""
    return {"HOME": str(world.directory), "XDG_CONFIG_HOME": str(world.directory / "config")}


def psql(world: World, sql: str) -> list[str]:
    """The command that runs a statement in psql."""
    return [str(binaries.psql()), dsn(world), "-X", "-q", "-c", sql]


def statements(world: World) -> None:
    """Overhead per statement of an open session, beside the fsync's own cost."""
    environment = world.environment_of("ada")
    print("\nper statement, in an open session (ms)")
    command = [PYTHON, "-m", "benchmarks.session", dsn(world)]
    run_once([*command, "20"], environment)
    import subprocess

    done = subprocess.run([*command, "400"], env=environment, capture_output=True, text=True, check=True)
    figures = dict(line.split("=") for line in done.stdout.split())
    ours, bare, fsync = (float(figures[k]) for k in ("dbgate", "psycopg", "fsync"))
    report("dbgate: intent, statement, output, outcome", f"{ours:.3f}")
    report("bare psycopg: the same statement", f"{bare:.3f}")
    report("the fsyncs of one statement, alone", f"{fsync:.3f}")
    report("beyond the round trip and the fsyncs", f"{ours - bare - fsync:.3f}", "goal ≤ 1")


def export(world: World) -> None:
    """Rows per second of a masked CSV export, beside psql's copy of the same masked query."""
    environment = world.environment_of("ada")
    query = (
        "SELECT p.id, p.employee_id, p.paid_on, p.iban, e.full_name, e.ssn, e.region "
        f"FROM generate_series(1, {-(-EXPORT_ROWS // 200000)}) g, payroll.pay p "
        f"JOIN payroll.employees e ON e.id = p.employee_id LIMIT {EXPORT_ROWS}"
    )
    masked = masked_text(world, query)
    target = world.directory / "export.csv"
    copy = f"\\copy ({masked}) TO '{target}' CSV HEADER"
    dbgate = str(Path(PYTHON).with_name("dbgate"))
    ours = [dbgate, "exec", "payroll", "--format", "csv", "-o", str(target), "-c", query]
    small = [
        dbgate,
        "exec",
        "payroll",
        "--format",
        "csv",
        "-o",
        str(target),
        "-c",
        query.replace(f"LIMIT {EXPORT_ROWS}", "LIMIT 1000"),
    ]
    print(f"\nexport of {EXPORT_ROWS:,} masked rows as CSV")
    mine, native = in_turn([ours, psql_keyed(world, copy)], environment, runs=max(3, RUNS // 3))
    _, small_peak = run_once(small, environment)
    rates = [n / m for m, n in zip(mine.seconds, native.seconds, strict=True)]
    report("rows/s of dbgate / rows/s of psql \\copy", f"{statistics.median(rates):.2f}", "goal ≥ 0.5")
    report("rows/s of dbgate", f"{EXPORT_ROWS / mine.median_s:,.0f}")
    report("peak memory (MiB); of an export of 1,000 rows", f"{mine.peak_mib:.0f}; {small_peak:.0f}", "flat")


def psql_keyed(world: World, copy: str) -> list[str]:
    """psql with the key of masks set, as dbgate sets it."""
    start = psql(world, "SET dbgate.key = 'benchmark'")
    return [*start, "-c", copy]


def masked_text(world: World, query: str) -> str:
    """The statement that dbgate runs for a query, taken from the record of a dry run."""
    import json
    import subprocess

    dbgate = str(Path(PYTHON).with_name("dbgate"))
    environment = world.environment_of("ada")
    command = [dbgate, "exec", "payroll", "-c", query, "--dry-run"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    subprocess.run([dbgate, "audit", "ship", "--quiet"], env=environment, check=False, capture_output=True)
    listed = subprocess.run(
        [dbgate, "sessions", "list", "--format", "json"], env=environment, check=True, capture_output=True, text=True
    )
    for session in json.loads(listed.stdout):
        shown = subprocess.run(
            [dbgate, "replay", session["session"], "--export", "json"],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        records = json.loads(shown)
        for record in records if isinstance(records, list) else records["records"]:
            if record.get("kind") == "statement.intent" and record.get("text") == query:
                return str(record["rewritten"])
    raise RuntimeError("the rewritten statement is not on record")


if __name__ == "__main__":
    started = time.perf_counter()
    code = main()
    print(f"\n({time.perf_counter() - started:.0f} s in all)")
    sys.exit(code)
