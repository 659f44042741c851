"""`dbgate audit keys`: the keys that seal this installation's transcripts."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from dbgate.cli.app import new_app
from dbgate.cli.sessions import Formats, load
from dbgate.errors import EXIT_OK, UsageError
from dbgate.text import printable

app = new_app(no_args_is_help=True)


@app.callback()
def keys() -> None:
    """List, rotate and revoke the keys that seal this installation's transcripts."""


@app.command("list")
def list_command(form: Annotated[Formats, typer.Option("--format", help="How to print.")] = Formats.TABLE) -> int:
    """List the keys: which one signs, which ones did before, and which ones count no more."""
    from dbgate.audit.rotation import key_states
    from dbgate.cli.columns import print_table

    found = key_states(load().state_dir)
    if form is Formats.JSON:
        listed = [
            {
                "key": one.key.id,
                "state": one.state,
                "since": one.since.isoformat() if one.since else None,
                "vouched_by": one.vouched_by or None,
                "revoked_at": one.revoked_at.isoformat() if one.revoked_at else None,
                "reason": one.reason,
            }
            for one in found
        ]
        print(json.dumps(listed, indent=2))
        return EXIT_OK
    if not found:
        print("notice: there is no key yet; the first session makes one", file=sys.stderr)
        return EXIT_OK
    rows = []
    for one in found:
        since = f"{one.since:%Y-%m-%d %H:%M:%SZ}" if one.since else "the first"
        until = f"{one.revoked_at:%Y-%m-%d %H:%M:%SZ}" if one.revoked_at else ""
        rows.append((one.key.id, one.state, since, one.vouched_by, until, printable(one.reason)))
    print_table(("KEY", "STATE", "SINCE", "VOUCHED FOR BY", "REVOKED", "REASON"), rows, elastic=("REASON",))
    return EXIT_OK


@app.command("rotate")
def rotate_command(
    lost: Annotated[
        bool, typer.Option("--lost", help="The old key cannot be read any more: nothing vouches for the new one.")
    ] = False,
) -> int:
    """Sign with a new key from now on. The old one vouches for it, so whoever trusts the old one trusts the new one."""
    from dbgate.audit.keys import keys_dir
    from dbgate.audit.rotation import rotate

    settings = load()
    new = rotate(settings.state_dir, settings.audit.key_store, is_lost=lost)
    print(new.id)
    print(f"notice: the new key signs from now on: {keys_dir(settings.state_dir) / new.id}.pub", file=sys.stderr)
    if lost:
        print("hint: nothing vouches for it: give it to everybody who verifies, by a safe way", file=sys.stderr)
    print("hint: dbgate audit ship publishes it", file=sys.stderr)
    return EXIT_OK


@app.command("revoke")
def revoke_command(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, or the beginning of it.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the log.")] = "",
) -> int:
    """Let a key count no more, for good: somebody else may have it. The current key is replaced first.

    What it sealed before stays good, because the log knows it.
    """
    from dbgate.audit.rotation import revoke

    settings = load()
    if not reason.strip():
        raise UsageError("a revocation needs a reason", hint="give one with --reason TEXT")
    gone = revoke(settings.state_dir, key, reason, settings.audit.key_store)
    print(f"notice: {gone.id} is revoked: what it signs from now on does not hold", file=sys.stderr)
    print("hint: dbgate audit ship, at once: until then nobody else knows", file=sys.stderr)
    print("hint: whoever verifies with this key alone should get the new one: dbgate audit keys list", file=sys.stderr)
    return EXIT_OK
