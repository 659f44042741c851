"""From settings and an identity to the approvals client, for every command that needs one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbgate.approvals import ApprovalsClient
from dbgate.errors import UsageError

if TYPE_CHECKING:
    from dbgate.model import Identity
    from dbgate.settings import Settings


def open_approvals(settings: Settings, identity: Identity) -> ApprovalsClient:
    """The approvals client of `identity`. Connects when first used; close it afterwards.

    Raises `UsageError` when no service is configured.
    """
    if not settings.approvals.url:
        where = settings.file or "the configuration file"
        raise UsageError(
            "no approvals service is configured",
            hint=f"set approvals.url in {where}; `dbgate serve --local` runs one on this machine",
        )

    def token() -> str:
        if settings.identity.provider == "local":
            from dbgate.approvals.local import mint_local_token

            return mint_local_token(settings.state_dir, identity)
        from dbgate.identity import bearer_token

        return bearer_token(settings, identity.subject)

    return ApprovalsClient(settings.approvals, token, identity, settings.state_dir)
