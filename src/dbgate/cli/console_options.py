"""The options of `dbgate serve` that are the web console's and the webhooks'."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from dbgate.settings import IdentitySettings

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
    list[str] | None,
    typer.Option(
        "--console-client",
        envvar="DBGATE_SERVE_CONSOLE_CLIENT",
        help="The client that the console is at the issuer, NAME=ID for a named one; by default its client_id.",
    ),
]
ConsoleSecretOption = Annotated[
    list[str] | None,
    typer.Option(
        "--console-secret-file",
        envvar="DBGATE_SERVE_CONSOLE_SECRET_FILE",
        help=f"A file with that client's secret, NAME=FILE for a named issuer; or set {SECRET_VARIABLE}[_NAME].",
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
    """What the options of `serve` say of the console. `issuer` and `issuer_ca` are those of the service itself.

    `clients` and `secret_files` are for the main issuer, or begin with `NAME=` for a named one.
    """

    public_url: str = ""
    clients: tuple[str, ...] = ()
    secret_files: tuple[str, ...] = ()
    auditors: tuple[str, ...] = ()
    issuer: str = ""
    issuer_ca: str = ""


def said_for(words: Sequence[str], identity: IdentitySettings) -> str:
    """What options say for an issuer: the last word that begins with its name and `=`, or with no other's name; or empty."""
    found = ""
    for word in words:
        name, equals, value = word.partition("=")
        is_named = bool(equals) and name in (identity.name, *identity.others)
        if (name == identity.name) if is_named else not identity.name:
            found = value if is_named else word
    return found
