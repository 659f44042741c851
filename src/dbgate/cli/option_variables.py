"""Every option has an environment variable: those that name none get `DBGATE_`, the command's path and the option's name."""

from __future__ import annotations

from typing import Any

NAMED_IN_HELP = "[env var: "
"""Options with this in their help read their variable themselves: its value is one text, not words."""

SAID_ONCE = frozenset({"--version", "--help", "--new-grant-key"})
"""These are about one call. A variable would repeat them."""


def name_variables(command: Any, path: tuple[str, ...]) -> None:
    """Give the options of a command, and of those below it, their variables. Lists are split at white space."""
    for param in command.params:
        if param.param_type_name != "option" or param.envvar or SAID_ONCE & set(param.opts):
            continue
        if NAMED_IN_HELP not in (param.help or ""):
            longest = max(param.opts, key=len).lstrip("-")
            param.envvar = "_".join(("DBGATE", *path, longest)).replace("-", "_").upper()
    for name, below in getattr(command, "commands", {}).items():
        name_variables(below, (*path, name))
