"""`dbgate policy check | test | explain | scan`: is a policy right, what does it say of a statement, what does it miss."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbgate.cli.app import new_app, report
from dbgate.cli.scan import scan
from dbgate.errors import EXIT_DENIED, EXIT_OK, EXIT_USAGE, UsageError
from dbgate.text import printable, suggest

if TYPE_CHECKING:
    from dbgate.catalog import Catalog
    from dbgate.gate.policy.model import Policy
    from dbgate.model import Identity, Target
    from dbgate.settings import Settings

app = new_app(no_args_is_help=True)
APPS: dict[str, typer.Typer] = {"policy": app}

FORMATS = ("text", "json")

Files = Annotated[list[Path], typer.Argument(metavar="FILE…", help="Policy files.", show_default=False)]
SomeFiles = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILE…]", help="Policy files. Default: the policy of --target.", show_default=False),
]
TargetOption = Annotated[
    str,
    typer.Option(
        "--target", metavar="TARGET", envvar="DBGATE_POLICY_TARGET", help="Hold it against this target's database."
    ),
]


@app.callback()
def policy() -> None:
    """Check, test and explain policies."""


@app.command()
def check(files: SomeFiles = None, target: TargetOption = "") -> int:
    """Read policy files and say what is wrong with them.

    With --target also say which globs match nothing in that database; without FILE, check the target's own policy.
    """
    from dbgate.config import load_policy_file

    catalog = _catalog_of(target) if target else None
    code = EXIT_OK
    for file in files or [_policy_of(target)]:
        try:
            found = load_policy_file(file)
        except UsageError as error:
            report(error)
            code = EXIT_USAGE
            continue
        print(f"ok {printable(str(file))}: {_summary(found)}")
        _notices(found, catalog, target)
    return code


@app.command("test")
def run_policy_tests(
    files: Files,
    target: TargetOption = "",
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", envvar="DBGATE_POLICY_VERBOSE", help="Name the tests that pass, too.")
    ] = False,
    junit: Annotated[
        str,
        typer.Option("--junit", metavar="FILE", envvar="DBGATE_POLICY_JUNIT", help="Write the results as JUnit XML."),
    ] = "",
) -> int:
    """Run the tests in policy files through the gate.

    Without --target, the tables and columns that a statement names are taken to exist, and no database is needed.
    Exit codes: 0 all passed, 2 a file is wrong, 3 a test failed.
    """
    from dbgate.cli.trials import print_trials, write_junit
    from dbgate.config import load_policy_file
    from dbgate.gate.policy.trial import run_tests

    catalog = _catalog_of(target) if target else None
    environment = _find(target)[1].environment if target else ""
    code, trials = EXIT_OK, []
    for file in files:
        try:
            found = load_policy_file(file)
        except UsageError as error:
            report(error)
            code = EXIT_USAGE
            continue
        if not found.tests:
            _notice(str(file), "there are no tests", "add a list under tests:")
            continue
        failures = run_tests(found, catalog, environment)
        trials.append((str(file), found.tests, failures))
        print_trials(str(file), found.tests, failures, verbose=verbose)
        code = code or (EXIT_DENIED if failures else EXIT_OK)
    if junit:
        write_junit(Path(junit), trials)
    return code


@app.command()
def explain(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The target.", show_default=False)],
    command: Annotated[
        list[str],
        typer.Option(
            "--command",
            "-c",
            metavar="SQL",
            envvar="DBGATE_POLICY_COMMAND",
            help="The statement; may be given several times.",
        ),
    ],
    email: Annotated[
        str, typer.Option("--as", metavar="EMAIL", envvar="DBGATE_POLICY_AS", help="Somebody else's e-mail.")
    ] = "",
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="GROUP", envvar="DBGATE_POLICY_GROUP", help="A group of theirs."),
    ] = None,
    actor: Annotated[
        str, typer.Option("--actor", metavar="ACTOR", envvar="DBGATE_POLICY_ACTOR", help="human, service or agent.")
    ] = "",
    rows: Annotated[
        int | None, typer.Option("--rows", min=0, envvar="DBGATE_POLICY_ROWS", help="How many rows it would touch.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter", "-p", metavar="NAME=VALUE", envvar="DBGATE_POLICY_PARAMETER", help="A value for :NAME."
        ),
    ] = None,
    unmasked: Annotated[
        list[str] | None,
        typer.Option(
            "--unmasked",
            metavar="TAG",
            envvar="DBGATE_POLICY_UNMASKED",
            help="What it would be once reviewers agreed to show this tag in clear; may be repeated.",
        ),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline",
            envvar="DBGATE_POLICY_OFFLINE",
            help="Do not connect: take the tables that the statement names to exist.",
        ),
    ] = False,
    output: Annotated[
        str, typer.Option("--format", envvar="DBGATE_POLICY_FORMAT", metavar="FORMAT", help="text or json.")
    ] = "text",
) -> int:
    """Say what the policy makes of a statement, by which rules, and what would run. Nothing runs."""
    from functools import cache

    from dbgate.cli.explaining import Question, explain_all
    from dbgate.config import load_policy

    if output not in FORMATS:
        raise UsageError(f"no such format: {output}", hint=suggest(output, FORMATS))
    settings, wanted = _find(target)
    question = Question(
        policy=load_policy(wanted),
        identity=_identity(settings, email, tuple(group or ()), actor),
        environment=wanted.environment,
        catalog=cache(lambda: None if offline else _catalog_of(target)),
        rows=rows,
        unmasked=tuple(unmasked or ()),
        as_json=output == "json",
    )
    return explain_all(command, _values(parameter or []), question)


def _find(name: str) -> tuple[Settings, Target]:
    from dbgate.config import find_target, for_target, load_settings

    settings = load_settings()
    target = find_target(settings, name)
    return for_target(settings, target), target


def _policy_of(name: str) -> Path:
    """The file of a target's policy. Raises `UsageError` when neither is there."""
    from dbgate.config.policies import WITHOUT_POLICY, builtin_dir

    if not name:
        raise UsageError("missing argument 'FILE…'", hint="name policy files, or a target with --target")
    _, target = _find(name)
    return Path(target.policy) if target.policy else builtin_dir() / WITHOUT_POLICY


def _catalog_of(name: str) -> Catalog:
    """The catalog of a target's database."""
    from dbgate.database import connect
    from dbgate.gate.policy.model import Limits

    settings, target = _find(name)
    database = connect(target, limits=Limits(), state_dir=settings.state_dir)
    try:
        return database.catalog()
    finally:
        database.close()


def _identity(settings: Settings, email: str, groups: tuple[str, ...], actor: str) -> Identity:
    """Who it is explained for: the one who asks, or whoever the options describe."""
    from dbgate.model import Actor, Identity

    if actor and actor not in {str(known) for known in Actor}:
        raise UsageError(f"no such actor: {actor}", hint=suggest(actor, map(str, Actor)))
    if not (email or groups or actor):
        from dbgate.identity import current_identity

        return current_identity(settings)
    return Identity("policy-explain:", email or "somebody", email, groups=groups, actor=Actor(actor or "human"))


def _values(parameters: list[str]) -> dict[str, str | None]:
    pairs = [parameter.partition("=") for parameter in parameters]
    for name, equals, _ in pairs:
        if not equals or not name.isidentifier():
            raise UsageError(f"not a parameter: {name}", hint="write -p NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _summary(policy: Policy) -> str:
    """What a policy holds, in one line."""
    labels = sum(len(entry.columns) for entry in policy.classify)
    parts = [
        _count(len(policy.rules), "rule"),
        f"{_count(labels, 'glob')} for {_count(len({e.tag for e in policy.classify}), 'tag')}",
        _count(len(policy.rows), "row filter"),
        _count(len(policy.tests), "test"),
    ]
    if len(policy.files) > 1:
        parts.append("extends " + ", ".join(printable(Path(name).name) for name in policy.files[:-1]))
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _notices(policy: Policy, catalog: Catalog | None, target: str) -> None:
    """What is not wrong, but may not be meant."""
    from dbgate.config import is_builtin
    from dbgate.gate.policy.trial import idle_globs

    main = Path(policy.files[-1])
    if not is_builtin(main) and not any(rule.effect != "deny" for rule in policy.rules):
        _notice(
            policy.files[-1], "no rule allows anything: alone, it denies every statement", "extend it, or add rules"
        )
    if catalog is None:
        return
    own = [name for name in policy.files if not is_builtin(Path(name))]
    for idle in idle_globs(policy, catalog, own):
        _notice(f"{idle.ref.file}:{idle.ref.line}", f"{idle.glob} matches nothing in {target}", "correct or remove it")


def _notice(place: str, text: str, hint: str) -> None:
    print(f"notice: {printable(place)}: {printable(text)}", file=sys.stderr)
    print(f"hint: {hint}", file=sys.stderr)


app.command()(scan)
