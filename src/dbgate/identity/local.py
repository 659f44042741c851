"""`provider: local`: the user that the operating system knows. Nothing is proven, and records say so."""

from __future__ import annotations

import os
import pwd

from dbgate.errors import UsageError
from dbgate.model import Actor, Assurance, Identity
from dbgate.settings import IdentitySettings


def local_identity(settings: IdentitySettings) -> Identity:
    """The owner of this process, by uid and never by an environment variable.

    User, groups, e-mail and actor are the configuration's claim where it makes one. Raises `UsageError` for an unknown actor.
    """
    try:
        actor = Actor(settings.actor)
    except ValueError:
        raise UsageError(
            f"identity.actor is {settings.actor!r}", hint=f"one of: {', '.join(str(actor) for actor in Actor)}"
        ) from None
    subject, name = os_user(os.getuid())
    return Identity(
        issuer=f"local:{os.uname().nodename}",
        subject=settings.user or subject,
        email=settings.email,
        name=name,
        groups=settings.groups,
        actor=actor,
        assurance=Assurance.LOCAL,
    )


def os_user(uid: int) -> tuple[str, str]:
    """The login name and the full name of `uid`; `uid:N` when the system has no name for it."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return f"uid:{uid}", ""
    return entry.pw_name, entry.pw_gecos.split(",")[0]
