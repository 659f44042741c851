"""`dbgate whoami`: who is signed in, how far that is proven, and what it opens."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from dbgate.cli.app import AccountOption, IssuerOption, new_app
from dbgate.cli.login import clock, listing
from dbgate.errors import EXIT_OK, EXIT_SIGN_IN, UsageError
from dbgate.model import Actor, Assurance, Identity
from dbgate.settings import MAIN
from dbgate.text import printable, suggest

if TYPE_CHECKING:
    from dbgate.identity import SignIn
    from dbgate.model import Json
    from dbgate.settings import Settings

app = new_app()
APPS: dict[str, typer.Typer] = {"whoami": app}

FORMATS = ("text", "json")


@app.command()
def whoami(
    output: Annotated[
        str, typer.Option("--format", envvar="DBGATE_FORMAT", metavar="FORMAT", help="text or json.")
    ] = "text",
    account: AccountOption = "",
    issuer: IssuerOption = "",
    everyone: Annotated[
        bool, typer.Option("--all", envvar="DBGATE_WHOAMI_ALL", help="List every account, at every issuer.")
    ] = False,
) -> int:
    """Show who is signed in, since when and until when, with groups, and the targets that opens."""
    from dbgate.config import at_issuer, load_settings
    from dbgate.identity import current_identity, sign_ins, store_name

    if output not in FORMATS:
        raise UsageError(f"no such format: {output}", hint=suggest(output, FORMATS))
    settings = at_issuer(load_settings(), issuer)
    if everyone and settings.identity.provider == "oidc":
        return show_all(sign_ins(settings), output)
    identity = current_identity(settings, account)
    opened, store = targets_for(settings, identity), store_name(settings)
    name = settings.identity.name or MAIN if settings.issuers else ""
    print(as_json(identity, opened, store) if output == "json" else as_text(identity, opened, store, name))
    return EXIT_OK


def targets_for(settings: Settings, identity: Identity) -> dict[str, dict[str, str] | None]:
    """What the policies of its issuer's targets open to an identity: `allow` or `approve` by access; None where a policy
    cannot be read."""
    from dbgate.cli.targets import access_to

    ours = [target for target in settings.targets.values() if target.issuer == settings.identity.name]
    rows = (access_to(target, identity) for target in ours)
    return {row.target.name: None if row.error else row.access for row in rows}


def as_json(identity: Identity, opened: dict[str, dict[str, str] | None], store: str) -> str:
    """The identity as it stands in records, with the times of the sign-in, the targets and the store."""
    fields: dict[str, Json] = {
        **identity.to_json(),
        "signed_in_at": iso(identity.signed_in_at),
        "expires_at": iso(identity.expires_at),
        "store": store,
        "targets": {name: dict(access) if access is not None else None for name, access in opened.items()},
    }
    return json.dumps(fields, indent=2)


def as_text(identity: Identity, opened: dict[str, dict[str, str] | None], store: str, issuer_name: str) -> str:
    """The identity for people: one line a fact, the most telling first."""
    proven = identity.assurance is Assurance.OIDC
    facts = {
        "who": identity.label,
        "name": identity.name,
        "actor": str(identity.actor) if identity.actor is not Actor.HUMAN else "",
        "on behalf of": identity.on_behalf_of,
        "groups": listing(identity.groups),
        "assurance": "oidc" if proven else "unverified (local)",
        "issuer": f"{issuer_name}: {identity.issuer}" if issuer_name else identity.issuer,
        "subject": identity.subject,
        "since": clock(identity.signed_in_at),
        "until": clock(identity.expires_at),
        "store": store,
        "targets": "; ".join(f"{name} ({reach(access)})" for name, access in opened.items()) or "none configured",
    }
    return "\n".join(f"{name + ':':<14}{printable(value)}" for name, value in facts.items() if value)


def reach(access: dict[str, str] | None) -> str:
    """What a policy opens, for people: `read, write?`, where `?` means with approval."""
    if access is None:
        return "its policy cannot be read"
    return ", ".join(name if effect == "allow" else f"{name}?" for name, effect in access.items()) or "nothing"


def show_all(found: tuple[SignIn, ...], output: str) -> int:
    """List every sign-in; `*` marks those that act here, one at each issuer. Exit code 5 when there is none."""
    if output == "json":
        print(json.dumps([entry(one) for one in found], indent=2))
    elif found:
        from dbgate.cli.columns import print_table

        names = any(one.here not in {"", MAIN} for one in found)
        cells = [
            (
                "*" if one.active and one.here else "",
                one.account,
                f"{one.here}: {one.issuer}" if names and one.here else one.issuer,
                one.client_id,
                one.state,
                clock(one.until),
            )
            for one in found
        ]
        print_table(("", "ACCOUNT", "ISSUER", "CLIENT", "STATE", "UNTIL"), cells, elastic=("ISSUER", "STATE"))
    return EXIT_OK if found else EXIT_SIGN_IN


def entry(one: SignIn) -> dict[str, Json]:
    """A sign-in for scripts."""
    return {
        "account": one.account,
        "subject": one.subject,
        "issuer": one.issuer,
        "client_id": one.client_id,
        "service": one.service,
        "active": one.active and bool(one.here),
        "issuer_name": one.here,
        "state": one.state,
        "signed_in_at": iso(one.since),
        "expires_at": iso(one.until),
    }


def iso(time: datetime | None) -> str | None:
    """A time as ISO 8601, or None."""
    return time.isoformat() if time else None
