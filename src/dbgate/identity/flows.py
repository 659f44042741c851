"""Signing in: browser, device code, a service's credentials."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

from dbgate.errors import Interrupted, SignInRequired, UsageError
from dbgate.identity.client import Client, naming, read_client
from dbgate.identity.local import local_identity
from dbgate.model import Identity
from dbgate.settings import Settings

if TYPE_CHECKING:
    from dbgate.identity.application import Application
    from dbgate.identity.stored import StoredSignIn
    from dbgate.identity.token_store import TokenStore

BROWSER_WAIT_S = 300.0
"""How long the browser may take, in seconds."""

PROBE = "probe"
"""A key under which nothing is ever kept."""


class Progress(Protocol):
    """What a person sees while signing in."""

    def visit(self, url: str, *, opening: bool) -> None:
        """Open `url` in a browser; `opening` tells that dbgate tries to do so itself."""

    def enter_code(self, url: str, code: str, *, complete_url: str, expires_s: float) -> None:
        """Enter `code` at `url` on any device, or open `complete_url`, within `expires_s` seconds."""

    def waiting(self, left_s: float) -> None:
        """About once a second while the code is awaited: seconds left."""


def sign_in(
    settings: Settings, *, device: bool, progress: Progress, browser: bool = True, account: str = ""
) -> Identity:
    """Sign in, keep the sign-in beside those of other accounts, let it act from now on, and return who it is.

    With `device` a person enters a code on any device (RFC 8628); without `browser` the address is only
    shown. A service needs neither. With `account` (an e-mail or a subject) only that one will do: if it is signed in
    already, it acts from now on and nobody is asked. Raises `SignInRequired` when the issuer or a check refuses,
    `Unreachable`, `UsageError`, and `Interrupted` on Ctrl-C; nothing is kept then.
    """
    if settings.identity.provider == "local":
        return local_identity(settings.identity)
    with naming(settings.identity):
        return _sign_in(settings, device=device, progress=progress, browser=browser, account=account)


def _sign_in(settings: Settings, *, device: bool, progress: Progress, browser: bool, account: str) -> Identity:
    from dbgate.identity.accounts import enter, place_of
    from dbgate.identity.application import open_application
    from dbgate.identity.renewal import acquire
    from dbgate.identity.stored import only_one, save
    from dbgate.identity.token_store import open_store

    client = read_client(settings.identity)
    store = open_store(settings)
    account = "" if client.service else account
    if account and (known := signed_in_before(settings, account)):
        enter(store, settings.state_dir, client, known)
        return known
    check_usable(store)
    wanted = account or ("" if client.service else settings.identity.account)
    if client.service:
        fresh = acquire(client)
    else:
        application = open_application(client)
        try:
            flow = by_device if device else by_browser
            fresh = flow(application, progress, browser=browser, wanted=wanted)
        except KeyboardInterrupt:
            raise Interrupted("the sign-in was interrupted; nothing was kept", hint="run: dbgate login") from None
    identity = fresh.identity(fresh.verified(client), settings.identity)
    check_wanted(identity, wanted)
    place = place_of(client, identity.subject)
    # Listed first: a sign-in that is not listed could not be signed out of.
    enter(store, settings.state_dir, client, identity)
    with only_one(settings.state_dir, place):
        save(store, place, fresh)
    return identity


def check_usable(store: TokenStore) -> None:
    """Find out before a person is asked whether the store can be written: it may be locked, full or read-only."""
    store.write(PROBE, b"")
    store.delete(PROBE)


def signed_in_before(settings: Settings, account: str) -> Identity | None:
    """Who `account` is, if its sign-in is good or can be renewed without asking; else None."""
    from dbgate.identity.current import current_identity

    try:
        return current_identity(settings, account)
    except SignInRequired:
        return None


def check_wanted(identity: Identity, wanted: str) -> None:
    """The person who signed in is the one that was asked for, where one was."""
    from dbgate.identity.accounts import Account

    signed_in = Account(key="", issuer="", client_id="", service=False, subject=identity.subject, email=identity.email)
    if wanted and not signed_in.is_called(wanted):
        raise SignInRequired(
            f"{identity.label} signed in, not {wanted}: nothing was kept",
            hint=f"choose {wanted} on the issuer's page, or run: dbgate login --account {identity.label}",
        )


def by_browser(application: Application, progress: Progress, *, browser: bool, wanted: str) -> StoredSignIn:
    """Authorization code with PKCE, back to loopback (RFC 7636, RFC 8252)."""
    from urllib.parse import parse_qs, urlsplit

    from dbgate.identity.issuer import reaching
    from dbgate.identity.loopback import RedirectServer

    with RedirectServer(application.client.redirect_uri) as server:
        flow = begin(application, server.uri, wanted)
        server.listen(flow["state"])
        progress.visit(flow["auth_uri"], opening=browser)
        if browser:
            open_browser(flow["auth_uri"])
        answer = server.wait(BROWSER_WAIT_S)
    check_source(application, answer)
    try:
        with reaching(application.client):
            result = application.app.acquire_token_by_auth_code_flow(flow, answer)
    except (ValueError, RuntimeError) as error:
        # msal raises these for a wrong state or nonce.
        raise SignInRequired(f"the issuer's answer is not to our request: {error}", hint="run: dbgate login") from None
    nonce = parse_qs(urlsplit(flow["auth_uri"]).query)["nonce"][0]
    return application.stored(result, nonce=nonce)


def begin(application: Application, redirect_uri: str, wanted: str) -> dict[str, Any]:
    """msal's authorization request. A form keeps the code out of the browser's history (RFC 9700 §4.3.1).

    For a `wanted` account the issuer is told whom to expect, and not to take whoever its page knows already.
    """
    import warnings

    mode = "form_post" if application.issuer.posts_answers else "query"
    with warnings.catch_warnings():
        # msal recommends form_post whenever it is not used; this issuer does not offer it.
        warnings.simplefilter("ignore", UserWarning)
        flow: dict[str, Any] = application.app.initiate_auth_code_flow(
            list(application.scopes),
            redirect_uri=redirect_uri,
            response_mode=mode,
            prompt=prompt_for(application.client, wanted) or None,
            login_hint=wanted or None,
        )
    return flow


def prompt_for(client: Client, wanted: str) -> str:
    """The `prompt` to send (OpenID Connect Core §3.1.2.1): what is configured, and `login` for a `wanted` account."""
    configured = client.prompt.split()
    if wanted and not {"login", "select_account"} & set(configured):
        configured.insert(0, "login")
    return " ".join(configured)


def check_source(application: Application, answer: dict[str, str]) -> None:
    """The answer must come from the issuer that was asked (RFC 9207)."""
    source = answer.get("iss", "")
    if source not in {"", application.issuer.url} or (application.issuer.names_itself and not source):
        raise SignInRequired("the browser's answer came from another issuer", hint="run: dbgate login")


def open_browser(url: str) -> None:
    """Open `url` in the browser that `BROWSER` or the desktop names, without waiting for it to end."""
    import threading
    import webbrowser

    def attempt() -> None:
        with contextlib.suppress(webbrowser.Error, OSError):
            webbrowser.open(url)

    threading.Thread(target=attempt, daemon=True).start()


def by_device(application: Application, progress: Progress, *, browser: bool, wanted: str) -> StoredSignIn:
    """Device code (RFC 8628): a person enters a code elsewhere while we ask the issuer every few seconds."""
    import time

    from dbgate.identity.application import refused
    from dbgate.identity.issuer import reaching

    if not application.issuer.device_endpoint:
        raise UsageError(f"{application.client.issuer} does not offer device codes", hint="run: dbgate login")

    def given_up(flow: dict[str, Any]) -> bool:
        left_s = float(flow.get("expires_at", 0)) - time.time()
        progress.waiting(max(left_s, 0))
        return left_s <= 0

    with reaching(application.client):
        flow = application.app.initiate_device_flow(list(application.scopes))
        if "user_code" not in flow:
            raise refused(flow, application.client)
        progress.enter_code(
            web_address(flow, "verification_uri", "verification_url"),
            str(flow["user_code"]),
            complete_url=web_address(flow, "verification_uri_complete"),
            expires_s=float(flow["expires_at"]) - time.time(),
        )
        result = application.app.acquire_token_by_device_flow(flow, exit_condition=given_up)
    if result.get("error") in {"authorization_pending", "slow_down"}:
        raise SignInRequired("nobody entered the code in time", hint="run: dbgate login --device")
    return application.stored(result)


def web_address(flow: dict[str, Any], *names: str) -> str:
    """The https address that the issuer gives under one of `names`, or empty: a person will open it."""
    address = next((str(flow[name]) for name in names if flow.get(name)), "")
    if address and not address.startswith("https://"):
        raise SignInRequired(f"the issuer's address for the code is not https: {address}", hint="run: dbgate login")
    return address
