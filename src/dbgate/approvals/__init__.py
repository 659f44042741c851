"""Approvals: the service, its store, its client, and signed grants.

Never decides whether an approval is needed: the gate does.
"""
