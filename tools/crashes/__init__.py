"""Kills dbgate at every step that it takes on disk, and proves afterwards that nothing was lost.

    python -m tools.crashes                every step of a session and of shipping, then 500 kills at random times
    python -m tools.crashes --random 50    fewer of the latter

`faults` installs the faults in a process, `world` is a PostgreSQL and a home to work in, `evidence` asks the server what it saw and holds
the records to it.
"""
