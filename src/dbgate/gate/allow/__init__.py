"""The allow-lists of the gate: what a statement may contain. Whatever is on no list is refused with its name.

Owns the reviewed names of functions (`functions.py`), syntax nodes and statements (`nodes.py`), settings
(`settings.py`) and system relations (`system.py`). Pure data and look-ups: it must not know policies, identities or
catalogs. docs/functions.md tells how the lists are made and kept.
"""
