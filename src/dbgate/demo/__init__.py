"""The demo: a payroll database on an embedded PostgreSQL, two people, and a tour that really happens.

Drives the installed `dbgate` from outside, as a person would; knows nothing of the gate or the session.
"""
