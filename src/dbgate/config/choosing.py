"""Which of several issuers a command or a target means."""

from __future__ import annotations

from msgspec.structs import replace

from dbgate.errors import UsageError
from dbgate.model import Target
from dbgate.settings import MAIN, Settings
from dbgate.text import suggest


def at_issuer(settings: Settings, name: str) -> Settings:
    """The settings with the issuer of that name, or of exactly that URL, as the one that acts; unchanged without a name.

    Raises `UsageError` with the nearest one.
    """
    if not name:
        return settings
    known = settings.issuers or {MAIN: settings.identity}
    found = known.get(name) or next((one for one in known.values() if one.issuer == name), None)
    if found is None:
        raise UsageError(f"no such issuer: {name}", hint=suggest(name, known))
    return replace(settings, identity=found)


def for_target(settings: Settings, target: Target) -> Settings:
    """The settings with the one issuer as the acting one whose people and services may open `target`."""
    return at_issuer(settings, target.issuer or MAIN) if settings.issuers else settings


def everyone(settings: Settings) -> tuple[Settings, ...]:
    """The settings with each of the issuers as the acting one, the one that acts now first."""
    others = (one for one in settings.issuers.values() if one.name != settings.identity.name)
    return (settings, *(replace(settings, identity=one) for one in others))
