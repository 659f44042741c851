"""The life of a session and of each statement in it, as a state machine without I/O.

Yields effects, receives their results. Doors drive it through `driver`, with the ports of `ports`.
"""
