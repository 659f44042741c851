"""`dbgate connect`: the shell on a target."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbgate import __version__
from dbgate.cli.app import AccountOption, new_app
from dbgate.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from dbgate.approvals import ApprovalsClient
    from dbgate.doors.shell import About, ShellDisplay
    from dbgate.session.driver import SessionDriver
    from dbgate.session.ports import RequestState
    from dbgate.settings import Settings

app = new_app()
APPS = {"connect": app}

MAX_INPUT_BYTES = 16 * 1024 * 1024


@app.command()
def connect(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The target to open.", envvar="DBGATE_TARGET")],
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", envvar="DBGATE_REASON", help="Why, for the record.")
    ] = "",
    account: AccountOption = "",
    vi: Annotated[bool, typer.Option("--vi", envvar="DBGATE_VI", help="Edit with vi's keys.")] = False,
) -> int:
    r"""Open the SQL shell on a target.

    Statements end with a semicolon; \? lists the commands of the shell. Every statement is decided and recorded.
    DBGATE_PAGER names the pager for long results (cat for none), EDITOR the editor of \e; NO_COLOR is respected.
    """
    from dbgate.cli.sign_in_again import ask_to_sign_in
    from dbgate.cli.signals import Signals
    from dbgate.cli.wiring import open_driver, settings_now
    from dbgate.config import find_target, for_target
    from dbgate.doors.shell import ShellDisplay, run_script, run_shell

    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        raise UsageError("the shell needs a terminal", hint="dbgate exec runs statements without one")
    settings = settings_now()
    settings = for_target(settings, find_target(settings, target))
    display = ShellDisplay(sys.stdout, sys.stderr, keep_bytes=settings.audit.output_limit_bytes)
    on_terminal = sys.stdin.isatty()
    with (
        Signals() as signals,
        open_driver(
            target,
            settings=settings,
            display=display,
            door="shell",
            reason=reason,
            wait_s=None if on_terminal else 0.0,
            ask_reason=ask_reason if on_terminal else None,
            confirm=ask_whether if on_terminal else None,
            account=account,
            sign_in_again=partial(ask_to_sign_in, settings, display) if on_terminal else None,
        ) as driver,
        _about(driver, settings, vi=vi) as about,
    ):
        signals.forward_to(driver)
        if on_terminal:
            return run_shell(driver, display, about, version=__version__)
        return run_script(driver, display, about, _statements(display, target))


def ask_reason() -> str:
    """Ask the person for the reason that the policy wants."""
    from prompt_toolkit import prompt

    try:
        return prompt("The policy of this target asks for a reason: ").strip()
    except (EOFError, KeyboardInterrupt):
        raise Interrupted("no reason given", hint="give one with --reason TEXT") from None


def ask_whether(question: str) -> bool:
    """Ask the person; anything but yes is no."""
    from prompt_toolkit import prompt

    try:
        return prompt(f"{question} [y/N] ").strip().lower().startswith("y")
    except (EOFError, KeyboardInterrupt):
        return False


def _statements(display: ShellDisplay, target: str) -> str:
    """What stands on standard input, when that is no terminal."""
    display.message("notice", "standard input is not a terminal", f"dbgate exec {target} is made for scripts")
    data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
    if len(data) > MAX_INPUT_BYTES:
        raise UsageError(f"standard input is larger than {MAX_INPUT_BYTES // 1024 // 1024} MiB", hint="split it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"byte {error.start + 1}"
        raise UsageError(f"standard input is not UTF-8 text ({where})", hint="convert it with iconv") from None


@contextmanager
def _about(driver: SessionDriver, settings: Settings, *, vi: bool) -> Iterator[About]:
    """What the shell shows of the session and may call; the approvals client is opened when first used."""
    from dbgate.doors.shell import About

    opened: list[ApprovalsClient] = []

    def approvals() -> ApprovalsClient:
        if not opened:
            from dbgate.cli.approvals_wiring import open_approvals

            opened.append(open_approvals(settings, driver.identity))
        return opened[0]

    def requests() -> Sequence[RequestState]:
        return approvals().find(role="mine")

    def withdraw(request: str) -> str:
        return approvals().withdraw(request).status

    has_approvals = bool(settings.approvals.url)
    try:
        yield About(
            target=driver.target,
            identity=driver.identity,
            policy=policy_name(driver),
            state_dir=settings.state_dir,
            idle_s=driver.policy.limits.idle_s,
            labels=_labels(driver),
            requests=requests if has_approvals else None,
            withdraw=withdraw if has_approvals else None,
            tags=_tags(driver),
            targets=tuple(settings.targets.values()),
            vi=vi,
        )
    finally:
        for client in opened:
            client.close()


def policy_name(driver: SessionDriver) -> str:
    """The policy's file, or that it is the built-in one."""
    return Path(driver.target.policy).name if driver.target.policy else "built-in"


def _labels(driver: SessionDriver) -> Callable[[int], Mapping[str, str]]:
    """Gives the tags of a relation's columns, and whether this identity sees them in clear."""

    def labels(oid: int) -> Mapping[str, str]:
        from dbgate.gate.protection import protection_for

        protection = protection_for(driver.catalog, driver.policy, driver.identity, driver.openings.now())
        found = protection.labels.get(oid, {})
        return {
            name: ", ".join(sorted(f"{label.tag}{'' if label.hidden else ' (in clear)'}" for label in labels))
            for name, labels in found.items()
        }

    return labels


def _tags(driver: SessionDriver) -> Callable[[], Mapping[str, str]]:
    """Gives the policy's tags, and how this identity sees each."""

    def tags() -> Mapping[str, str]:
        from dbgate.gate.opening import always_visible, known_tags, offers_for
        from dbgate.session.unmasking import with_approval

        known = known_tags(driver.policy)
        seen = dict.fromkeys(known, "masked")
        for offer in offers_for(driver.policy, driver.identity, known):
            seen |= dict.fromkeys(offer.tags, f"masked; may be opened {with_approval(offer)}")
        seen |= dict.fromkeys(always_visible(driver.policy, driver.identity), "in clear")
        return seen | {tag: f"in clear until {end.astimezone():%H:%M}" for tag, end in driver.openings.listing()}

    return tags
