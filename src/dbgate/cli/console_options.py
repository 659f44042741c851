"""The options of `dbgate serve` that are the web console's and the webhooks'."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

SECRET_VARIABLE = "DBGATE_SERVE_CONSOLE_SECRET"
"""The variable with the console's client secret. There is no option for it: process lists show options."""

WEBHOOK_SECRET_VARIABLE = "DBGATE_SERVE_WEBHOOK_SECRET"
"""The variable with the secret that webhooks are signed with."""

PublicUrlOption = Annotated[
    str,
    typer.Option(
        "--public-url",
        envvar="DBGATE_SERVE_PUBLIC_URL",
        help="The console's address as browsers see it, when a proxy stands in front.",
    ),
]
ConsoleClientOption = Annotated[
    str,
    typer.Option(
        "--console-client",
        envvar="DBGATE_SERVE_CONSOLE_CLIENT",
        help="The client that the console is at the issuer; by default identity.client_id.",
    ),
]
ConsoleSecretOption = Annotated[
    Path | None,
    typer.Option(
        "--console-secret-file",
        envvar="DBGATE_SERVE_CONSOLE_SECRET_FILE",
        help=f"A file with that client's secret, if it has one; or set {SECRET_VARIABLE}.",
    ),
]
AuditorsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--auditors",
        envvar="DBGATE_SERVE_AUDITORS",
        help="A group that may watch recordings in the console; may be repeated. By default audit.auditors.",
    ),
]


WebhookOption = Annotated[
    list[str] | None,
    typer.Option(
        "--webhook",
        envvar="DBGATE_SERVE_WEBHOOK",
        help="A URL that is told of requests and decisions; may be repeated. Better in the variable: it may be a secret.",
    ),
]
WebhookSecretOption = Annotated[
    Path | None,
    typer.Option(
        "--webhook-secret-file",
        envvar="DBGATE_SERVE_WEBHOOK_SECRET_FILE",
        help=f"A file with the secret that webhooks are signed with; or set {WEBHOOK_SECRET_VARIABLE}.",
    ),
]
WebhookCaOption = Annotated[
    str,
    typer.Option("--webhook-ca", envvar="DBGATE_SERVE_WEBHOOK_CA", help="A PEM bundle for the webhooks' certificates."),
]


class WebhookOptions(msgspec.Struct, frozen=True):
    """What the options of `serve` say of webhooks."""

    urls: tuple[str, ...] = ()
    secret_file: Path | None = None
    ca_file: str = ""


class ConsoleOptions(msgspec.Struct, frozen=True):
    """What the options of `serve` say of the console. `issuer` and `issuer_ca` are those of the service itself."""

    public_url: str = ""
    client_id: str = ""
    secret_file: Path | None = None
    auditors: tuple[str, ...] = ()
    issuer: str = ""
    issuer_ca: str = ""
