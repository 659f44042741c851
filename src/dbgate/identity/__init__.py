"""Sign-in, tokens and groups: who is it, and how do we know.

Hands out `dbgate.model.Identity`, and bearer tokens for the approvals service.
"""
