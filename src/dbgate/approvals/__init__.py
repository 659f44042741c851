"""Approvals: the service, its store, its client, and signed grants.

Never decides whether an approval is needed: the gate does. `states` holds every transition of a request,
`reviewers` says who may decide, `grants` signs and verifies, `service` applies them to a `store`,
`app` speaks HTTP, `client` is what the command line uses.
"""

from __future__ import annotations

from dbgate.approvals.client import ApprovalsClient, RequestStatus

__all__ = ["ApprovalsClient", "RequestStatus"]
