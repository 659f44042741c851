"""What an allow-list says of one name."""

from __future__ import annotations

import msgspec


class Verdict(msgspec.Struct, frozen=True):
    """Whether a name may stand in a statement.

    With `safe` it may, wherever the grammar lets it. Otherwise `reason` says why not, as a phrase that continues
    "NAME is refused: …", and `hint` what to do instead. A `special` name may stand there only under a condition that
    the caller has to check; a caller that does not know the condition must refuse. `kind` is the class of the reason
    (`reads-files`, `locks`, …); a name that is on no list has the reason `NOT_REVIEWED` and no kind.
    `columns` and `condition` belong to system relations (`system.replacements`); of their rows only those are shown
    for which `rows` holds: the others are dbgate's own, and hold no secret.
    """

    safe: bool
    special: str = ""
    reason: str = ""
    hint: str = ""
    kind: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    condition: str = ""
    rows: str = ""


NOT_REVIEWED = "not reviewed"
SAFE = Verdict(safe=True)
UNKNOWN = Verdict(safe=False, reason=NOT_REVIEWED)
