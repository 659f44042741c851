"""From options and settings to the web console that `dbgate serve` serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dbgate.cli.console_options import (
    SECRET_VARIABLE,
    WEBHOOK_SECRET_VARIABLE,
    ConsoleOptions,
    WebhookOptions,
    said_for,
)
from dbgate.cli.serve_wiring import issuers_of, verifier_of
from dbgate.errors import UsageError
from dbgate.variables import take_secret

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from dbgate.approvals.app import Api
    from dbgate.approvals.store import Store
    from dbgate.approvals.tokens import TokenVerifier
    from dbgate.audit.sessions import Archive
    from dbgate.console.app import Setup
    from dbgate.console.issuer import IssuerSignIn
    from dbgate.settings import IdentitySettings, Settings


def console(
    settings: Settings,
    options: ConsoleOptions,
    listening: str,
    verifier: TokenVerifier,
    store: Store,
    clock: Callable[[], datetime],
) -> tuple[Callable[[Api], Sequence[BaseRoute]], str, str]:
    """The console's routes for `create_app`, its origin, and what to say of it. Without one, the first two are empty.

    `listening` is the URL of the socket, where browsers look unless `--public-url` says otherwise. Raises `UsageError`.
    """
    from dbgate.approvals.issuers import IssuersVerifier
    from dbgate.approvals.oidc import OidcVerifier
    from dbgate.console.address import parse_address
    from dbgate.console.app import Setup, console_routes
    from dbgate.console.visits import Visits

    is_local = not isinstance(verifier, OidcVerifier | IssuersVerifier)
    off = _why_off(settings, options, listening, is_local=is_local)
    if off:
        return lambda api: (), "", f"no web console: {off}"
    address = parse_address(options.public_url or listening)
    if is_local and not address.is_loopback:
        raise UsageError(
            f"--local takes unverified identities, and {address.origin} can be reached from elsewhere",
            hint="leave --public-url out, or use --issuer and --audience",
        )
    auditors = options.auditors or settings.audit.auditors
    setup = Setup(
        address=address,
        visits=Visits(store, clock),
        issuers=() if is_local else _issuers(settings, options, address.origin, clock),
        auditors=auditors,
        archive=_archive(settings) if auditors else None,
    )
    return lambda api: console_routes(api, setup), address.origin, f"web console: {_url(settings, setup)}"


def _why_off(settings: Settings, options: ConsoleOptions, listening: str, *, is_local: bool) -> str:
    """Why there is no console, or empty."""
    from dbgate.approvals.transport import check_url

    if not options.public_url:
        try:
            check_url(listening, "the address")
        except UsageError:
            return "browsers reach it without TLS: name its https address with --public-url"
    missing = [
        one for one in ([] if is_local else issuers_of(settings, options.issuer)) if not _client_id(options, one)
    ]
    if missing:
        return "it needs a client at the issuer: --console-client"
    return ""


def _url(settings: Settings, setup: Setup) -> str:
    """The console's address; where identities are local, with a link that signs this user in once."""
    if setup.issuers or settings.identity.provider != "local":
        return setup.address.origin
    from dbgate.console.sign_in import once_url
    from dbgate.identity import current_identity

    return f"{once_url(setup.address, setup.visits.make_link(current_identity(settings)))} (works once)"


def _client_id(options: ConsoleOptions, identity: IdentitySettings) -> str:
    return said_for(options.clients, identity) or identity.client_id


def _issuers(
    settings: Settings, options: ConsoleOptions, origin: str, clock: Callable[[], datetime]
) -> tuple[IssuerSignIn, ...]:
    return tuple(_issuer(one, options, origin, clock) for one in issuers_of(settings, options.issuer))


def _issuer(
    identity: IdentitySettings, options: ConsoleOptions, origin: str, clock: Callable[[], datetime]
) -> IssuerSignIn:
    from dbgate.console.issuer import IssuerSignIn, Registration
    from dbgate.console.sign_in import callback_of

    file, variable = said_for(options.secret_files, identity), SECRET_VARIABLE
    if identity.name:
        variable += f"_{identity.name.replace('-', '_').upper()}"
    us = Registration(
        issuer=identity.issuer,
        client_id=_client_id(options, identity),
        redirect_uri=f"{origin}{callback_of(identity.name)}",
        secret=_secret(Path(file) if file else None, variable),
        scopes=tuple(scope for scope in identity.scopes if scope != "offline_access"),
        ca_file=options.issuer_ca or identity.ca_file,
        name=identity.name,
    )
    return IssuerSignIn(us, verifier_of(identity, clock, [us.client_id], [us.client_id], us.ca_file))


@contextmanager
def webhooks(
    options: WebhookOptions, store: Store, console_origin: str, clock: Callable[[], datetime]
) -> Iterator[str]:
    """Tells hooks of events while it is open; gives what to say of it, or empty without hooks. Raises `UsageError`."""
    if not options.urls:
        yield ""
        return
    from dbgate.approvals.webhooks.courier import Courier
    from dbgate.approvals.webhooks.hooks import read_hooks

    hooks = read_hooks(options.urls, _secret(options.secret_file, WEBHOOK_SECRET_VARIABLE))
    courier = Courier(store, hooks, clock, console=console_origin, ca_file=options.ca_file)
    courier.start()
    try:
        yield f"webhooks: {', '.join(hook.label for hook in hooks)}"
    finally:
        courier.stop()


def _secret(file: Path | None, variable: str) -> str:
    """A secret: from the file, or the variable, or none. Raises `UsageError`."""
    if file is None:
        return take_secret(variable)
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise UsageError(f"cannot read a secret from {file}: {error}") from None


def _archive(settings: Settings) -> Callable[[], Archive]:
    """Opens the audit bucket, for every page anew; the spool of this machine is not looked at."""

    def open_archive() -> Archive:
        from dbgate.audit.bucket import open_bucket
        from dbgate.audit.sessions import Archive

        return Archive(None, open_bucket(settings.audit.bucket))

    return open_archive
