"""Webhooks: what happens to requests is told to other services, signed, until they have taken it.

`hooks` says where to and with which secret, `messages` what is said, `outbox` what still has to be said (kept
in the store, so that a restart loses nothing and several instances say it once), `courier` says it.
"""

from __future__ import annotations
