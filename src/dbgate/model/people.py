"""Who it is, and how far that was proven."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from dbgate.model.values import Json


class Actor(StrEnum):
    """What kind of being acts."""

    HUMAN = "human"
    SERVICE = "service"
    AGENT = "agent"


class Assurance(StrEnum):
    """How far the identity was proven."""

    OIDC = "oidc"
    LOCAL = "local"


class Identity(msgspec.Struct, frozen=True):
    """Who acts.

    `issuer` and `subject` together name a person or a service for ever; `email` is for people to read.
    `on_behalf_of` is the e-mail or subject of the human behind an agent. With `Assurance.LOCAL`
    nothing was proven: every record says so.
    """

    issuer: str
    subject: str
    email: str = ""
    name: str = ""
    groups: tuple[str, ...] = ()
    actor: Actor = Actor.HUMAN
    on_behalf_of: str = ""
    assurance: Assurance = Assurance.LOCAL
    signed_in_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def label(self) -> str:
        """What a person reads: the e-mail, or else the subject."""
        return self.email or self.subject

    @property
    def key(self) -> str:
        """The text that tells two identities apart: issuer and subject."""
        return f"{self.issuer}#{self.subject}"

    def to_json(self) -> dict[str, Json]:
        """The identity as it stands in records, requests and grants."""
        return {
            "issuer": self.issuer,
            "subject": self.subject,
            "email": self.email,
            "name": self.name,
            "groups": list(self.groups),
            "actor": str(self.actor),
            "on_behalf_of": self.on_behalf_of,
            "assurance": str(self.assurance),
        }
