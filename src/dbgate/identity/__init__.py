"""Sign-in, tokens and groups: who is it, and how do we know.

Hands out `dbgate.model.Identity`, and bearer tokens for the approvals service. Must not judge: what an
identity may do is the gate's business. Importing it is cheap; what it needs is imported when it is used.

    current_identity(settings)   who acts now; renews silently, never asks a person
    bearer_token(settings)       what to show to the approvals service
    sign_in(settings, …)         browser, device code or service credentials
    sign_out(settings)           forget a sign-in, and tell the issuer; `sign_out_all` forgets every one
    sign_ins(settings)           who is signed in, at every issuer
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from dbgate.identity.current import bearer_token, current_identity

if TYPE_CHECKING:
    from dbgate.identity.flows import Progress, sign_in
    from dbgate.identity.leaving import SignedOut, sign_out, sign_out_all
    from dbgate.identity.overview import SignIn, sign_ins, store_name

__all__ = [
    "Progress",
    "SignIn",
    "SignedOut",
    "bearer_token",
    "current_identity",
    "sign_in",
    "sign_ins",
    "sign_out",
    "sign_out_all",
    "store_name",
]

_LATER = {
    "Progress": "flows",
    "sign_in": "flows",
    "SignedOut": "leaving",
    "sign_out": "leaving",
    "sign_out_all": "leaving",
    "SignIn": "overview",
    "sign_ins": "overview",
    "store_name": "overview",
}
"""Name → module: what only some commands use."""


def __getattr__(name: str) -> object:
    """Import what most commands do without when it is asked for."""
    if name in _LATER:
        return getattr(import_module(f"dbgate.identity.{_LATER[name]}"), name)
    raise AttributeError(name)
