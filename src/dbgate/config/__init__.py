"""The configuration: reading, validating, and finding the files it names.

    load_settings()         the configuration file, environment and defaults as `dbgate.settings.Settings`
    find_target(…)          a target by its name
    load_policy(target)     the policy that a target names, or the built-in one
    at_issuer(…)            the settings with another of several issuers as the one that acts; `for_target`, `everyone`

Turns files and the environment into values; opens no connection and decides nothing.
"""

from __future__ import annotations

from dbgate.config.choosing import at_issuer, everyone, for_target
from dbgate.config.loading import find_target, load_settings
from dbgate.config.policies import is_builtin, load_policy, load_policy_file

__all__ = [
    "at_issuer",
    "everyone",
    "find_target",
    "for_target",
    "is_builtin",
    "load_policy",
    "load_policy_file",
    "load_settings",
]
