"""Signing in again in the middle of a shell, when the sign-in has ended and could not be renewed silently.

The session stays as it is meanwhile: transaction, settings, prepared statements, history.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from dbgate.errors import Interrupted, SignInRequired

if TYPE_CHECKING:
    from dbgate.doors.shell import ShellDisplay
    from dbgate.model import Identity
    from dbgate.settings import Settings

LATER = "run the statement again to be asked again; the session is as it was"


def ask_to_sign_in(settings: Settings, display: ShellDisplay, whose: Identity, why: SignInRequired) -> Identity:
    """Ask the person at the terminal to sign in again, and return who did.

    Raises `SignInRequired` when they do not want to, or when the issuer refuses; `Unreachable`.
    """
    from prompt_toolkit import prompt

    display.message("notice", why.message)
    with leaving_keys_to_questions() as ended:
        try:
            answer = prompt(f"Sign in again as {whose.label}? [Y/n/d: with a code on another device] ").strip().lower()
        except (EOFError, KeyboardInterrupt):
            answer = "n"
        if answer.startswith("n") or ended:
            raise SignInRequired("the statement was not run: nobody is signed in", hint=LATER)
        return sign_in_as(settings, whose, device=answer.startswith("d"))


def sign_in_as(settings: Settings, whose: Identity, *, device: bool) -> Identity:
    """Sign `whose` in. Raises as `sign_in`, but Ctrl-C as `SignInRequired`: only the statement is given up."""
    from dbgate.cli.login import TerminalProgress
    from dbgate.identity import sign_in

    progress = TerminalProgress()
    try:
        return sign_in(settings, device=device, progress=progress, account=whose.email or whose.subject)
    except (Interrupted, KeyboardInterrupt):
        raise SignInRequired("the statement was not run: the sign-in was interrupted", hint=LATER) from None
    except SignInRequired as error:
        raise SignInRequired(error.message, hint=LATER) from None
    finally:
        progress.close()


@contextmanager
def leaving_keys_to_questions() -> Iterator[list[int]]:
    """Let Ctrl-C end a question, not a statement. SIGTERM and SIGHUP end it too, and are sent again afterwards.

    Yields the signals of that kind that came.
    """
    came: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGINT:
            came.append(number)
        raise KeyboardInterrupt

    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in watched}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for ending in came:
            os.kill(os.getpid(), ending)
