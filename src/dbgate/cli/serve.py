"""`dbgate serve`: the approvals service."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbgate.cli import console_wiring, serve_wiring
from dbgate.cli.app import new_app
from dbgate.cli.console_options import (
    AuditorsOption,
    ConsoleClientOption,
    ConsoleOptions,
    ConsoleSecretOption,
    PublicUrlOption,
    WebhookCaOption,
    WebhookOption,
    WebhookOptions,
    WebhookSecretOption,
)
from dbgate.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from dbgate.approvals.listen import Tls
    from dbgate.approvals.tokens import TokenVerifier
    from dbgate.settings import Settings

app = new_app()


HostOption = Annotated[str, typer.Option("--host", envvar="DBGATE_SERVE_HOST", help="The address to listen on.")]
PortOption = Annotated[
    int, typer.Option("--port", envvar="DBGATE_SERVE_PORT", min=0, max=65535, help="The port; 0 picks a free one.")
]
DatabaseOption = Annotated[
    str,
    typer.Option(
        "--database",
        envvar="DBGATE_SERVE_DATABASE",
        help="sqlite:///PATH or postgresql://USER@HOST/DATABASE; by default a file in the state directory.",
        show_default=False,
    ),
]
IssuerOption = Annotated[
    str,
    typer.Option(
        "--issuer",
        envvar="DBGATE_SERVE_ISSUER",
        help="Whose tokens alone count; by default identity.issuer and issuers.",
    ),
]
AudienceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--audience",
        envvar="DBGATE_SERVE_AUDIENCE",
        help="What tokens are for; may be repeated. By default identity.client_id and identity.audience.",
    ),
]
ClientOption = Annotated[
    list[str] | None,
    typer.Option(
        "--client",
        envvar="DBGATE_SERVE_CLIENT",
        help="A client whose tokens count; may be repeated. By default any that the issuer gave for the audience.",
    ),
]
IssuerCaOption = Annotated[
    str,
    typer.Option("--issuer-ca", envvar="DBGATE_SERVE_ISSUER_CA", help="A PEM bundle for the issuer's certificate."),
]
LocalOption = Annotated[
    bool,
    typer.Option("--local", envvar="DBGATE_SERVE_LOCAL", help="Take this machine's own, unverified tokens instead."),
]
CertificateOption = Annotated[
    str,
    typer.Option(
        "--certificate", envvar="DBGATE_SERVE_CERTIFICATE", help="Serve https with this PEM certificate chain."
    ),
]
PrivateKeyOption = Annotated[
    str, typer.Option("--private-key", envvar="DBGATE_SERVE_PRIVATE_KEY", help="The certificate's private key, PEM.")
]
GrantKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--grant-key",
        envvar="DBGATE_SERVE_GRANT_KEY",
        help="The private key that signs grants, PEM, the same for all instances; by default in the state directory.",
    ),
]
NewGrantKeyOption = Annotated[
    bool,
    typer.Option("--new-grant-key", help="Sign with this key from now on, though the database knows another."),
]
MetricsTokenOption = Annotated[
    Path | None,
    typer.Option(
        "--metrics-token",
        envvar="DBGATE_SERVE_METRICS_TOKEN",
        help="A file with the bearer token that /metrics asks for; without one everybody may read them.",
    ),
]
AuditEveryOption = Annotated[
    str,
    typer.Option(
        "--audit-every",
        envvar="DBGATE_SERVE_AUDIT_EVERY",
        help="How long one transcript of the service's decisions gets before it is sealed and shipped.",
    ),
]
ReadyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--ready-file", envvar="DBGATE_SERVE_READY_FILE", help="Write the URL there once connections are accepted."
    ),
]


@app.command()
def serve(
    context: typer.Context,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8765,
    database: DatabaseOption = "",
    issuer: IssuerOption = "",
    audience: AudienceOption = None,
    client: ClientOption = None,
    issuer_ca: IssuerCaOption = "",
    local: LocalOption = False,
    certificate: CertificateOption = "",
    private_key: PrivateKeyOption = "",
    grant_key: GrantKeyOption = None,
    new_grant_key: NewGrantKeyOption = False,
    audit_every: AuditEveryOption = "1h",
    metrics_token: MetricsTokenOption = None,
    public_url: PublicUrlOption = "",
    console_client: ConsoleClientOption = None,
    console_secret_file: ConsoleSecretOption = None,
    auditors: AuditorsOption = None,
    webhook: WebhookOption = None,
    webhook_secret_file: WebhookSecretOption = None,
    webhook_ca: WebhookCaOption = "",
    ready_file: ReadyFileOption = None,
) -> int:
    """Run the approvals service and its web console until it is stopped with Ctrl-C or SIGTERM."""
    _check_installed()
    from dbgate.approvals import listen
    from dbgate.approvals.app import create_app
    from dbgate.config import load_settings

    settings = load_settings()
    options = ConsoleOptions(
        public_url,
        tuple(console_client or ()),
        tuple(console_secret_file or ()),
        tuple(auditors or ()),
        issuer,
        issuer_ca,
    )
    serve_wiring.refuse_shown_password(context, database)
    if bool(certificate) != bool(private_key):
        raise UsageError("--certificate and --private-key belong together", hint="give both, or neither")
    tls = listen.Tls(certificate, private_key) if certificate else None
    verifier = _verifier(
        settings, is_local=local, issuer=issuer, audiences=audience or [], clients=client or [], issuer_ca=issuer_ca
    )
    with listen.bind(host, port) as found:
        if local and not listen.stays_here(found):
            raise UsageError(
                f"--local takes unverified identities, and {host} can be reached from elsewhere",
                hint="listen on 127.0.0.1, or use --issuer and --audience",
            )
        with (
            serve_wiring.open_state(settings, database, grant_key, is_new_key=new_grant_key) as (store, signer),
            serve_wiring.open_ledger(settings, database, audit_every) as ledger,
        ):
            url = listen.url_of(found, tls)
            beside, origin, said = console_wiring.console(settings, options, url, verifier, store, _now)
            application = create_app(
                store,
                verifier,
                signer,
                _now,
                ledger=ledger,
                metrics_token=serve_wiring.read_token(metrics_token),
                beside=beside,
            )
            hooks = WebhookOptions(tuple(webhook or ()), webhook_secret_file, webhook_ca)
            with console_wiring.webhooks(hooks, store, origin, _now) as told:
                on_ready = _on_ready(found, tls, ready_file, (said, told), is_local=local)
                listen.make_server(application, tls=tls, on_ready=on_ready).run(sockets=[found])
    return EXIT_OK


def _check_installed() -> None:
    from importlib.util import find_spec

    needed = ("jinja2", "prometheus_client", "starlette", "uvicorn")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise UsageError(f"dbgate serve needs {', '.join(missing)}", hint="install dbgate[server]")


def _verifier(
    settings: Settings, *, is_local: bool, issuer: str, audiences: list[str], clients: list[str], issuer_ca: str
) -> TokenVerifier:
    """Who checks tokens: the issuer's keys, or with `--local` this machine's. Exactly one of them."""
    if is_local:
        from dbgate.approvals import keys
        from dbgate.approvals.local import LocalVerifier, key_file

        if issuer or audiences or clients:
            raise UsageError("--local does not go with --issuer, --audience or --client", hint="choose one")
        return LocalVerifier(keys.load_or_create(key_file(settings.state_dir)), clock=_now)
    from dbgate.approvals.issuers import IssuersVerifier

    chosen = serve_wiring.issuers_of(settings, issuer)
    if len(chosen) > 1 and (audiences or clients or issuer_ca):
        raise UsageError(
            "--audience, --client and --issuer-ca are for one issuer, and the configuration has several",
            hint="name one with --issuer, or write audience and ca_file to each in the configuration",
        )
    found = [serve_wiring.verifier_of(one, _now, audiences, clients, issuer_ca) for one in chosen]
    return found[0] if len(found) == 1 else IssuersVerifier(found)


def _on_ready(
    found: socket.socket, tls: Tls | None, ready_file: Path | None, notices: Sequence[str], *, is_local: bool
) -> Callable[[], None]:
    """What to say and write once connections are accepted."""
    from dbgate.approvals import listen

    url = listen.url_of(found, tls)

    def on_ready() -> None:
        print(f"notice: approvals service listening on {url}", file=sys.stderr, flush=True)
        for notice in filter(None, notices):
            print(f"notice: {notice}", file=sys.stderr, flush=True)
        if is_local:
            print("notice: identities are local and unverified (--local)", file=sys.stderr, flush=True)
        if tls is None and not listen.stays_here(found):
            print("notice: http without TLS: put a proxy with TLS in front", file=sys.stderr, flush=True)
        if ready_file is not None:
            _write_whole(ready_file, url + "\n")

    return on_ready


def _write_whole(file: Path, text: str) -> None:
    """Write a file so that readers find it whole or not at all."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)


def _now() -> datetime:
    return datetime.now(UTC)


APPS = {"serve": app}
