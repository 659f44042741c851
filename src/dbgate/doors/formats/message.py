"""Messages for people: `error:`, `denied:` and `notice:` lines, then `hint:` lines."""

from __future__ import annotations

from dbgate.doors.formats.style import Style
from dbgate.text import printable


def message_lines(level: str, text: str, hint: str, style: Style) -> list[str]:
    """The lines of a message. Further lines of `text` (a place in the statement) stand as they are."""
    first, *more = text.split("\n")
    emphasis = style.notice if level == "notice" else style.error
    lines = [f"{emphasis(f'{level}:')} {printable(first)}"]
    lines += [printable(line, keep="\t") for line in more]
    return lines + [f"{style.hint('hint:')} {printable(line)}" for line in hint.splitlines()]
