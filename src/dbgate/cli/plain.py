"""Commands whose words stay words: typer would import pydantic (60 ms) to find out that a string is a string."""

from __future__ import annotations

from typing import Any

import typer.core

_WORDS = (str, list[str])


class _AsGiven:
    """Stands where typer keeps the conversion of a parameter's value."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value as given."""
        if value is None and (param.multiple or param.nargs == -1):
            return ()
        return value


def _as_given(param: Any) -> Any:
    if param is not None:
        setattr(param, "_runtime_param", _AsGiven())  # noqa: B010  typer keeps it in a private attribute
    return param


class PlainHelp:
    """For a command or group: `--help` is a flag and needs no conversion."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option `--help`."""
        return _as_given(super().get_help_option(ctx))  # type: ignore[misc]


class PlainCommand(PlainHelp, typer.core.TyperCommand):
    """A command that takes texts and lists of texts as they are; parameters of other types are converted by typer."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for param in self.params:
            described = getattr(param, "type_descriptor", None)
            if described is not None and described.annotation in _WORDS and described.parameter_info.parser is None:
                _as_given(param)
