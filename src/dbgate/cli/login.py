"""`dbgate login`, `logout`, `whoami`: signing in and out, and who it is."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Annotated

import typer

from dbgate.cli.app import new_app
from dbgate.errors import UsageError
from dbgate.model import Actor, Assurance, Identity
from dbgate.text import printable, suggest

login_app = new_app()
logout_app = new_app()
whoami_app = new_app()
APPS: dict[str, typer.Typer] = {"login": login_app, "logout": logout_app, "whoami": whoami_app}

FORMATS = ("text", "json")


@login_app.command()
def login(
    device: Annotated[
        bool, typer.Option("--device", envvar="DBGATE_DEVICE", help="Enter a code on another device instead.")
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", envvar="DBGATE_NO_BROWSER", help="Only show the address to open.")
    ] = False,
) -> None:
    """Sign in with the company's SSO.

    Opens the browser (the one that BROWSER names) and waits for it to come back. Services that have
    client credentials sign in without a person.
    """
    from dbgate.config import load_settings
    from dbgate.identity import sign_in

    progress = TerminalProgress()
    try:
        identity = sign_in(load_settings(), device=device, browser=not no_browser, progress=progress)
    finally:
        progress.close()
    if identity.assurance is Assurance.LOCAL:
        notice(f"identity.provider is local: you are {identity.label}, unverified; there is nothing to sign in to")
        return
    notice(f"signed in as {identity.label} until {clock(identity.expires_at)}; groups: {listing(identity.groups)}")


@logout_app.command()
def logout() -> None:
    """Sign out and remove every trace of the sign-in."""
    from dbgate.config import load_settings
    from dbgate.identity import sign_out

    settings = load_settings()
    done = sign_out(settings)
    if settings.identity.provider == "local":
        notice("identity.provider is local: there is nothing to sign out of")
    elif not done.found:
        notice("nobody was signed in")
    elif done.revoked is False:
        notice(
            "signed out here, but the issuer did not confirm that it forgot the sign-in",
            hint="end the session on the issuer's own page if this machine is not trusted",
        )
    else:
        notice("signed out")


@whoami_app.command()
def whoami(
    output: Annotated[
        str, typer.Option("--format", envvar="DBGATE_FORMAT", metavar="FORMAT", help="text or json.")
    ] = "text",
) -> None:
    """Show who is signed in, with groups and expiry."""
    from dbgate.config import load_settings
    from dbgate.identity import current_identity

    if output not in FORMATS:
        raise UsageError(f"no such format: {output}", hint=suggest(output, FORMATS))
    identity = current_identity(load_settings())
    print(as_json(identity) if output == "json" else as_text(identity))


def as_json(identity: Identity) -> str:
    """The identity as it stands in records, with the times of the sign-in."""
    times = {"signed_in_at": identity.signed_in_at, "expires_at": identity.expires_at}
    fields = {**identity.to_json(), **{name: time.isoformat() if time else None for name, time in times.items()}}
    return json.dumps(fields, indent=2)


def as_text(identity: Identity) -> str:
    """The identity for people: one line a fact, the most telling first."""
    proven = identity.assurance is Assurance.OIDC
    facts = {
        "who": identity.label,
        "name": identity.name,
        "actor": str(identity.actor) if identity.actor is not Actor.HUMAN else "",
        "on behalf of": identity.on_behalf_of,
        "groups": listing(identity.groups),
        "assurance": "oidc" if proven else "unverified (local)",
        "issuer": identity.issuer,
        "subject": identity.subject,
        "since": clock(identity.signed_in_at),
        "until": clock(identity.expires_at),
    }
    return "\n".join(f"{name + ':':<14}{printable(value)}" for name, value in facts.items() if value)


def listing(groups: tuple[str, ...]) -> str:
    """Groups for people."""
    return ", ".join(groups) or "none"


def clock(time: datetime | None) -> str:
    """A time in this machine's zone, or nothing."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z") if time else ""


def notice(text: str, *, hint: str = "") -> None:
    """A message for people, on stderr."""
    print(f"notice: {printable(text)}", file=sys.stderr)
    if hint:
        print(f"hint: {printable(hint)}", file=sys.stderr)


class TerminalProgress:
    """What a person sees on stderr while signing in. The countdown is for terminals only."""

    def __init__(self) -> None:
        self._counting = False

    def visit(self, url: str, *, opening: bool) -> None:
        """Say which address to open."""
        notice("opening the browser to sign in; if nothing opens, visit" if opening else "to sign in, visit")
        print(f"  {printable(url)}", file=sys.stderr, flush=True)

    def enter_code(self, url: str, code: str, *, complete_url: str, expires_s: float) -> None:
        """Say which code to enter where."""
        notice(f"to sign in, visit {url} on any device and enter the code {code}")
        if complete_url:
            notice(f"or visit {complete_url}")
        notice(f"the code is good for {expires_s / 60:.0f} minutes; Ctrl-C gives up")
        sys.stderr.flush()

    def waiting(self, left_s: float) -> None:
        """Count down in place."""
        if sys.stderr.isatty():
            minutes, seconds = divmod(int(left_s), 60)
            print(f"\r\033[Kwaiting… {minutes}:{seconds:02d}", end="", file=sys.stderr, flush=True)
            self._counting = True

    def close(self) -> None:
        """Take the countdown away, so that what follows begins on a line of its own."""
        if self._counting:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        self._counting = False
