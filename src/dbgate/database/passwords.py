"""Where a target's password comes from. It is handed to libpq and stands in no message, argument list or file."""

from __future__ import annotations

import subprocess

from dbgate.errors import UsageError
from dbgate.model import Target
from dbgate.variables import take_secret

COMMAND_S = 60.0
"""How long a password command may take; it may ask a person for a touch or a code."""
KEYRING_SERVICE = "dbgate"


def password_of(target: Target) -> str | None:
    """The password of `target`; None where libpq finds it (in the DSN, `PGPASSWORD`, `.pgpass`, or none is needed).

    Raises `UsageError` when the place that the target names holds none.
    """
    source = target.password
    match source.kind:
        case "libpq":
            return None
        case "env":
            value = take_secret(source.env)
            if not value:
                raise UsageError(f"target {target.name}: no password in {source.env}", hint=f"set {source.env}")
            return value
        case "command":
            return _from_command(target)
        case "keyring":
            return _from_keyring(target)
    raise UsageError(
        f"target {target.name}: unknown kind of password: {source.kind}", hint="known: libpq, keyring, env, command"
    )


def keyring_name(target: str) -> str:
    """The name of a target's password in the keyring, under the service `dbgate`."""
    return f"target:{target}"


def _from_command(target: Target) -> str:
    """The first line of what the command prints. It is run without a shell; its messages go to the terminal."""
    program = target.password.command[0] if target.password.command else ""
    told = f"target {target.name}: the password command {program}"
    try:
        done = subprocess.run(
            list(target.password.command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=COMMAND_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"{told} took more than {COMMAND_S:.0f} s", hint="run it by hand to see why") from None
    except (OSError, IndexError, ValueError):
        raise UsageError(f"{told} cannot be started", hint="check password.command of the target") from None
    password = done.stdout.decode("utf-8", "replace").split("\n", 1)[0].rstrip("\r")
    if done.returncode or not password:
        why = f"failed with exit code {done.returncode}" if done.returncode else "printed nothing"
        raise UsageError(f"{told} {why}", hint="run it by hand to see why")
    return password


def _from_keyring(target: Target) -> str:
    import keyring
    from keyring.errors import KeyringError

    name = keyring_name(target.name)
    try:
        password = keyring.get_password(KEYRING_SERVICE, name)
    except KeyringError:
        hint = "unlock or install a keyring, or name another source under `password:`"
        raise UsageError(f"target {target.name}: the keyring cannot be read", hint=hint) from None
    if not password:
        hint = f"store it with: keyring set {KEYRING_SERVICE} {name}"
        raise UsageError(f"target {target.name}: the keyring holds no password", hint=hint)
    return password
