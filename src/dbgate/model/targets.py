"""The databases that people may reach."""

import msgspec


class PasswordSource(msgspec.Struct, frozen=True):
    """Where a target's password comes from: `libpq`, `keyring`, `env` (a name) or `command` (an argv)."""

    kind: str = "libpq"
    env: str = ""
    command: tuple[str, ...] = ()


class Target(msgspec.Struct, frozen=True):
    """A named database. `policy` is an absolute path, or empty for the built-in default policy.

    `issuer` names the one whose people and services may open it, where the configuration has several; empty for the main one.
    """

    name: str
    engine: str
    dsn: str
    password: PasswordSource = msgspec.field(default_factory=PasswordSource)
    environment: str = ""
    policy: str = ""
    issuer: str = ""
