"""Signing in and out: browser, device code, a service's credentials."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from dbgate.errors import DbgateError, Interrupted, SignInRequired, UsageError
from dbgate.identity.client import Client, read_client
from dbgate.identity.local import local_identity
from dbgate.model import Identity
from dbgate.settings import Settings

if TYPE_CHECKING:
    from dbgate.identity.application import Application
    from dbgate.identity.stored import StoredSignIn
    from dbgate.identity.token_store import TokenStore

BROWSER_WAIT_S = 300.0
"""How long the browser may take, in seconds."""


class Progress(Protocol):
    """What a person sees while signing in."""

    def visit(self, url: str, *, opening: bool) -> None:
        """Open `url` in a browser; `opening` tells that dbgate tries to do so itself."""

    def enter_code(self, url: str, code: str, *, complete_url: str, expires_s: float) -> None:
        """Enter `code` at `url` on any device, or open `complete_url`, within `expires_s` seconds."""

    def waiting(self, left_s: float) -> None:
        """About once a second while the code is awaited: seconds left."""


@dataclass(frozen=True, slots=True)
class SignedOut:
    """What signing out did. `found`: there was a sign-in. `revoked`: the issuer forgot it too; None when it had nothing to forget."""

    found: bool
    revoked: bool | None = None


def sign_in(settings: Settings, *, device: bool, progress: Progress, browser: bool = True) -> Identity:
    """Sign in, keep the sign-in in place of the one before, and return who it is.

    With `device` a person enters a code on any device (RFC 8628); without `browser` the address is only
    shown. A service needs neither. Raises `SignInRequired` when the issuer or a check refuses,
    `Unreachable`, `UsageError`, and `Interrupted` on Ctrl-C; nothing is kept then.
    """
    if settings.identity.provider == "local":
        return local_identity(settings.identity)
    from dbgate.identity.application import open_application
    from dbgate.identity.renewal import acquire
    from dbgate.identity.stored import only_one, save
    from dbgate.identity.token_store import open_store

    client = read_client(settings.identity)
    store = open_store(settings)
    if client.service:
        fresh = acquire(client)
    else:
        application = open_application(client)
        try:
            flow = by_device if device else by_browser
            fresh = flow(application, progress, browser=browser)
        except KeyboardInterrupt:
            raise Interrupted("the sign-in was interrupted; nothing was kept", hint="run: dbgate login") from None
    identity = fresh.identity(fresh.verified(client), settings.identity)
    with only_one(settings.state_dir, client):
        save(store, client, fresh)
    return identity


def by_browser(application: Application, progress: Progress, *, browser: bool) -> StoredSignIn:
    """Authorization code with PKCE, back to loopback (RFC 7636, RFC 8252)."""
    from urllib.parse import parse_qs, urlsplit

    from dbgate.identity.issuer import reaching
    from dbgate.identity.loopback import RedirectServer

    with RedirectServer(application.client.redirect_uri) as server:
        flow = begin(application, server.uri)
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


def begin(application: Application, redirect_uri: str) -> dict[str, Any]:
    """msal's authorization request. A form keeps the code out of the browser's history (RFC 9700 §4.3.1)."""
    import warnings

    mode = "form_post" if application.issuer.posts_answers else "query"
    with warnings.catch_warnings():
        # msal recommends form_post whenever it is not used; this issuer does not offer it.
        warnings.simplefilter("ignore", UserWarning)
        flow: dict[str, Any] = application.app.initiate_auth_code_flow(
            list(application.scopes),
            redirect_uri=redirect_uri,
            response_mode=mode,
            prompt=application.client.prompt or None,
        )
    return flow


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


def by_device(application: Application, progress: Progress, *, browser: bool) -> StoredSignIn:
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
            str(flow.get("verification_uri") or flow.get("verification_url", "")),
            str(flow["user_code"]),
            complete_url=str(flow.get("verification_uri_complete", "")),
            expires_s=float(flow["expires_at"]) - time.time(),
        )
        result = application.app.acquire_token_by_device_flow(flow, exit_condition=given_up)
    if result.get("error") in {"authorization_pending", "slow_down"}:
        raise SignInRequired("nobody entered the code in time", hint="run: dbgate login --device")
    return application.stored(result)


def sign_out(settings: Settings) -> SignedOut:
    """Forget the sign-in: token, keys, msal's cache, lock. Then ask the issuer to revoke it (RFC 7009).

    Works on a damaged store too. Raises `SignInRequired` when the store cannot be written.
    """
    if settings.identity.provider == "local":
        return SignedOut(found=False)
    from dbgate.identity.file_store import FileStore
    from dbgate.identity.stored import lock_path, only_one
    from dbgate.identity.token_store import open_store

    client = read_client(settings.identity)
    with only_one(settings.state_dir, client):
        # The file first: it may be left from before the configuration chose the keyring.
        found, secret = forget(FileStore(settings.state_dir / "identity"), client)
        in_store, kept = forget(open_store(settings), client)
        found, secret = found or in_store, secret or kept
        lock_path(settings.state_dir, client).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (settings.state_dir / "identity").rmdir()
    return SignedOut(found, forget_at_issuer(client, secret) if secret else None)


def forget(store: TokenStore, client: Client) -> tuple[bool, str]:
    """Remove what a store holds, damaged or not; whether there was something, and the refresh token in it."""
    secret = ""
    with contextlib.suppress(DbgateError):
        secret = refresh_token(store.read(client.key))
    return store.delete(client.key), secret


def refresh_token(data: bytes | None) -> str:
    """The refresh token in a stored sign-in, or empty."""
    try:
        entries = json.loads(json.loads(data or b"{}").get("cache") or "{}").get("RefreshToken", {})
        return next((str(entry["secret"]) for entry in entries.values()), "")
    except (ValueError, AttributeError, KeyError, TypeError):
        return ""


def forget_at_issuer(client: Client, secret: str) -> bool:
    """Ask the issuer to revoke a refresh token; whether it did. Never raises: the sign-out is done."""
    from dbgate.identity.issuer import IssuerSession, discover, revoke

    try:
        session = IssuerSession(client)
        return revoke(session, client, discover(session, client), secret)
    except DbgateError:
        return False
