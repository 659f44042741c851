"""From a target's name to a session: settings, policy, identity, transcript, database and approvals, joined.

The order matters: who it is and what is allowed is known first, then the session's start is made durable, and only
then is the database spoken to.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dbgate import __version__
from dbgate.errors import DbgateError, SignInRequired, UsageError

if TYPE_CHECKING:
    from dbgate.audit import SessionRecorder
    from dbgate.gate.policy.model import Policy
    from dbgate.model import Identity, Json, Target
    from dbgate.session.driver import SessionDriver
    from dbgate.session.ports import Approvals, Database, Display
    from dbgate.settings import Settings


class SystemClock:
    """The time of this machine."""

    def now(self) -> datetime:
        """Now, aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()


def settings_now() -> Settings:
    """The configuration that DBGATE_CONFIG or the usual place holds. Raises `DocumentError`."""
    from dbgate.config import load_settings

    return load_settings()


@contextmanager
def open_driver(
    target_name: str,
    *,
    display: Display,
    door: str,
    reason: str = "",
    wait_s: float | None = None,
    dry_run: bool = False,
    keep_going: bool = False,
    request: str | None = None,
    settings: Settings | None = None,
    ask_reason: Callable[[], str] | None = None,
    may_ask: bool = True,
    confirm: Callable[[str], bool] | None = None,
    account: str = "",
    sign_in_again: Callable[[Identity, SignInRequired], Identity] | None = None,
) -> Iterator[SessionDriver]:
    """A session on a target; at the end it is sealed, and shipped in the background.

    `door` is the command's name, for the record. `ask_reason` asks the person when the policy wants a reason and none
    was given. With `may_ask` false no approval is ever asked for. `account` names the account that acts where several are signed
    in; `sign_in_again` asks the person when the sign-in ends and cannot be renewed silently. For the other arguments see `SessionDriver`. Raises `UsageError`,
    `SignInRequired`, `AuditUnavailable` and `Unreachable`, in this order, before anything has run.
    """
    from dbgate.audit import Pulse, open_session, ship_in_background
    from dbgate.config import find_target, for_target, load_policy
    from dbgate.gate.decide import judge
    from dbgate.gate.script import read_script
    from dbgate.identity import current_identity
    from dbgate.session.driver import SessionDriver

    settings = settings or settings_now()
    target = find_target(settings, target_name)
    settings = for_target(settings, target)
    policy = load_policy(target)
    identity = current_identity(settings, account)
    if policy.reason_required and not reason and ask_reason is not None:
        reason = ask_reason()
    recorder = open_session(
        state_dir=settings.state_dir,
        bucket=settings.audit.bucket,
        start=_start(identity, target, policy, door=door, reason=reason),
        key_store=settings.audit.key_store,
    )
    try:
        with recorder, Pulse(recorder), ExitStack() as closing:
            driver = SessionDriver(
                judge=judge,
                read_script=read_script,
                policy=policy,
                identity=identity,
                target=target,
                recorder=recorder,
                database=_connect(settings, target, policy, recorder),
                approvals=_approvals(settings, identity, closing) if may_ask else _asks_nobody,
                display=display,
                clock=SystemClock(),
                wait_s=wait_s,
                dry_run=dry_run,
                keep_going=keep_going,
                request=request,
                reason=reason,
                how_to_unmask=_how_to_unmask(door, target),
                confirm=confirm,
                renew=_renewal(settings, identity, sign_in_again),
            )
            _tell_of_backlog(settings, display)
            try:
                yield driver
            except BaseException:
                _close_quietly(driver)
                raise
            driver.close()
    finally:
        ship_in_background(settings.state_dir, settings.file)


def _renewal(
    settings: Settings, identity: Identity, sign_in_again: Callable[[Identity, SignInRequired], Identity] | None
) -> Callable[[], Identity] | None:
    """How the session's own account is proven anew: silently, or else by asking the person, where there is one to ask."""
    if settings.identity.provider == "local":
        return None
    from dbgate.identity import current_identity

    def renew() -> Identity:
        try:
            return current_identity(settings, identity.subject)
        except SignInRequired as error:
            if sign_in_again is None:
                raise
            return sign_in_again(identity, error)

    return renew


BACKLOG_S = 60.0
"""Sessions that ended longer ago and are still in the spool wait for a bucket that is away."""


def _tell_of_backlog(settings: Settings, display: Display) -> None:
    """Say so when finished sessions could not be shipped: they are kept, and go out later."""
    from dbgate.audit import spool

    count = spool.waiting(settings.state_dir, older_than_s=BACKLOG_S)
    if count:
        sessions = "1 finished session waits" if count == 1 else f"{count} finished sessions wait"
        display.message(
            "notice", f"{sessions} for the audit bucket", "dbgate audit ship sends them, or says why it cannot"
        )


def _how_to_unmask(door: str, target: Target) -> Callable[[Sequence[str]], str]:
    """How a person asks at this door to see tags in clear."""
    if door == "shell":
        return lambda tags: f"\\unmask {' '.join(tags)}"
    return lambda tags: f"dbgate exec {target.name} … --unmask {' --unmask '.join(tags)}"


def _start(identity: Identity, target: Target, policy: Policy, *, door: str, reason: str) -> dict[str, Json]:
    """The fields of `session.start`."""
    return {
        "identity": identity.to_json(),
        "target": target.name,
        "engine": target.engine,
        "environment": target.environment,
        "policy": list(policy.files),
        "policy_digest": policy.digest,
        "door": door,
        "reason": reason,
        "host": socket.gethostname(),
        "client": {"os_user": _os_user(), "pid": os.getpid(), "ssh": os.environ.get("SSH_CONNECTION", "")},
        "version": __version__,
    }


def _os_user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _connect(settings: Settings, target: Target, policy: Policy, recorder: SessionRecorder) -> Database:
    """Connect, or end the session with the reason why not."""
    from dbgate.database import connect

    try:
        return connect(target, limits=policy.limits, state_dir=settings.state_dir)
    except DbgateError as error:
        recorder.close({"reason": "no connection", "error": error.message, "statements": 0})
        raise


def _approvals(settings: Settings, identity: Identity, closing: ExitStack) -> Callable[[], Approvals]:
    """Opens the approvals client when a statement first needs it."""
    opened: list[Approvals] = []

    def approvals() -> Approvals:
        if not opened:
            from dbgate.cli.approvals_wiring import open_approvals

            client = open_approvals(settings, identity)
            closing.callback(client.close)
            opened.append(client)
        return opened[0]

    return approvals


def _asks_nobody() -> Approvals:
    raise UsageError("it needs an approval, which is not asked for here", hint="run it with dbgate exec")


def _close_quietly(driver: SessionDriver) -> None:
    """End the session while another error is on its way: what the end itself runs into must not hide it."""
    try:
        driver.close("failed")
    except DbgateError:
        return
