"""`dbgate login` and `logout`: signing in and out."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from dbgate.cli.app import AccountOption, IssuerOption, new_app
from dbgate.model import Assurance
from dbgate.settings import MAIN
from dbgate.text import printable

if TYPE_CHECKING:
    from dbgate.identity import SignedOut

login_app = new_app()
logout_app = new_app()
APPS: dict[str, typer.Typer] = {"login": login_app, "logout": logout_app}


@login_app.command()
def login(
    device: Annotated[
        bool, typer.Option("--device", envvar="DBGATE_DEVICE", help="Enter a code on another device instead.")
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", envvar="DBGATE_NO_BROWSER", help="Only show the address to open.")
    ] = False,
    account: Annotated[
        str,
        typer.Option(
            "--account",
            metavar="NAME",
            envvar="DBGATE_ACCOUNT",
            help="Whom to sign in, by e-mail or subject; one that is signed in already becomes the active one.",
        ),
    ] = "",
    issuer: IssuerOption = "",
) -> None:
    """Sign in with the company's SSO.

    Opens the browser (the one that BROWSER names) and waits for it to come back. Services that have
    client credentials sign in without a person. Other accounts stay signed in; the new one is the active one.
    """
    from dbgate.config import at_issuer, load_settings
    from dbgate.identity import sign_in

    settings = at_issuer(load_settings(), issuer)
    progress = TerminalProgress()
    try:
        identity = sign_in(settings, device=device, browser=not no_browser, progress=progress, account=account)
    finally:
        progress.close()
    if identity.assurance is Assurance.LOCAL:
        notice(f"identity.provider is local: you are {identity.label}, unverified; there is nothing to sign in to")
        return
    where = f" at {settings.identity.name or MAIN}" if settings.issuers else ""
    until = clock(identity.expires_at)
    claim = settings.identity.groups_claim
    notice(
        f"signed in as {identity.label}{where} until {until}; groups: {listing(identity.groups)}",
        hint="" if identity.groups else f"policies go by groups: the issuer sent no claim {claim!r}, or an empty one",
    )


@logout_app.command()
def logout(
    account: AccountOption = "",
    issuer: IssuerOption = "",
    everyone: Annotated[
        bool, typer.Option("--all", envvar="DBGATE_LOGOUT_ALL", help="Sign out everybody, at every issuer.")
    ] = False,
) -> None:
    """Sign out and remove every trace of the sign-in."""
    from dbgate.config import at_issuer, load_settings
    from dbgate.identity import sign_out, sign_out_all

    settings = at_issuer(load_settings(), issuer)
    if everyone:
        for done in (everybody := sign_out_all(settings)):
            tell_signed_out(done, named=True)
        if not everybody:
            notice("nobody was signed in")
        return
    done = sign_out(settings, account)
    if settings.identity.provider == "local":
        notice("identity.provider is local: there is nothing to sign out of")
    elif not done.found:
        notice("nobody was signed in")
    else:
        tell_signed_out(done, named=bool(done.now or account))


def tell_signed_out(done: SignedOut, *, named: bool) -> None:
    """Say what signing one account out did, and who acts from now on."""
    who = f"{done.account}: " if named and done.account else ""
    if done.revoked is False:
        notice(
            f"{who}signed out here, but the issuer did not confirm that it forgot the sign-in",
            hint="end the session on the issuer's own page if this machine is not trusted",
        )
    else:
        notice(f"{who}signed out")
    if done.now:
        notice(f"{done.now} is the active account now")


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
        notice("enter only a code that your own terminal shows: whoever sends you one wants to be you")
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
