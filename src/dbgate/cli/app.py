"""The root command: a table of commands, each imported only when it is used."""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
import typer.core
from typer._click.exceptions import NoArgsIsHelpError

from dbgate import __version__
from dbgate.cli.option_variables import name_variables
from dbgate.cli.plain import PlainHelp
from dbgate.errors import EXIT_INTERRUPTED, EXIT_USAGE, DbgateError, UsageError
from dbgate.text import printable, suggest

COMMANDS: dict[str, tuple[str, str]] = {
    "connect": ("dbgate.cli.connect", "Open the SQL shell on a target."),
    "exec": ("dbgate.cli.exec", "Run statements on a target and print their results."),
    "login": ("dbgate.cli.login", "Sign in with the company's SSO."),
    "logout": ("dbgate.cli.login", "Sign out and remove every trace of the sign-in."),
    "whoami": ("dbgate.cli.whoami", "Show who is signed in, and which targets that opens."),
    "targets": ("dbgate.cli.targets", "List the databases you may reach."),
    "requests": ("dbgate.cli.requests", "List, show and decide approval requests."),
    "sessions": ("dbgate.cli.sessions", "List and show recorded sessions."),
    "replay": ("dbgate.cli.replay", "Play a recorded session, or export it."),
    "audit": ("dbgate.cli.audit", "Verify, ship and read the audit bucket."),
    "policy": ("dbgate.cli.policy", "Check, test and explain policies."),
    "serve": ("dbgate.cli.serve", "Run the approvals service."),
    "demo": ("dbgate.cli.demo", "Everything, on an embedded PostgreSQL."),
    "doctor": ("dbgate.cli.doctor", "Check what is configured, reachable, signed in, writable."),
}
"""Command → (module, help line). A module offers a `typer.Typer` for it in its dict `APPS`."""


# Shared by every command that acts as somebody.
AccountOption = Annotated[
    str,
    typer.Option(
        "--account",
        metavar="NAME",
        envvar="DBGATE_ACCOUNT",
        help="Whose sign-in, by e-mail or subject; else the active.",
    ),
]

IssuerOption = Annotated[
    str,
    typer.Option(
        "--issuer",
        metavar="NAME",
        envvar="DBGATE_ISSUER",
        help="At which of the configuration's issuers, by name or URL; else the main one.",
    ),
]


class LazyGroup(PlainHelp, typer.core.TyperGroup):
    """A group that knows its commands by name and imports one only to run it or show its own help."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command = typer.main.get_command(importlib.import_module(module).APPS[cmd_name])
        command.name = cmd_name
        name_variables(command, (cmd_name,))
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UsageError(f"no such command: {args[0]}", hint=suggest(args[0], COMMANDS))
        return super().resolve_command(ctx, args)


def new_app(**options: Any) -> typer.Typer:
    """A `typer.Typer` as all of dbgate's: plain help, no completion options of its own."""
    settings: dict[str, Any] = {
        "rich_markup_mode": None,
        "add_completion": False,
        "pretty_exceptions_enable": False,
        "context_settings": {"help_option_names": ["-h", "--help"]},
    }
    return typer.Typer(**(settings | options))


app = new_app(cls=LazyGroup, no_args_is_help=True)


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        print(f"dbgate {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A bastion shell for databases: every statement judged, masked, approved and recorded."""


def report(error: DbgateError) -> None:
    """Print an error and its hint to stderr as `error:` and `hint:` lines."""
    print(f"error: {printable(error.message)}", file=sys.stderr)
    for line in error.hint.splitlines():
        print(f"hint: {printable(line)}", file=sys.stderr)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code. The one catch point of the program."""
    if "_DBGATE_COMPLETE" in os.environ:
        from dbgate.cli.candidates import answer

        return answer(sys.argv[1:] if arguments is None else arguments)
    command = typer.main.get_command(app)
    try:
        result = command.main(args=arguments, prog_name="dbgate", standalone_mode=False)
    except DbgateError as error:
        report(error)
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return quiet_stdout()
    except typer.TyperException as error:
        return report_usage(error)
    return int(result or 0)


def report_usage(error: typer.TyperException) -> int:
    """Print what typer says of a wrong option or argument, with the nearest right one; exit code 2."""
    ctx = getattr(error, "ctx", None)
    if isinstance(error, NoArgsIsHelpError):
        error.show()
        return EXIT_USAGE
    close = tuple(getattr(error, "possibilities", None) or ())
    path = ctx.command_path if ctx is not None else "dbgate"
    hint = f"did you mean {close[0]}?" if close else f"see {path} --help"
    message = error.format_message().split("\n", 1)[0].rstrip(".")
    report(UsageError(message[:1].lower() + message[1:], hint=hint))
    return EXIT_USAGE


def quiet_stdout() -> int:
    """Forget a reader that went away (`| head`): no traceback, the conventional exit code of SIGPIPE."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13
