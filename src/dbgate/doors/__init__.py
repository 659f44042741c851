"""The ways in: the interactive shell and `exec`.

A door shows and asks. It sends nothing to a database except through the session.
"""
