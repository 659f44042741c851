"""Relations whose very rows tell about hidden columns or rows: partitions, stored views that chose by them, foreign tables.

Masking their columns hides nothing: that a row is there, or how many are, shows which values it was chosen by.
"""

from __future__ import annotations

from dbgate.gate.protection import Protection
from dbgate.gate.scope import Entry
from dbgate.gate.splice import Refusal

_PLACE = frozenset({"tableoid", "ctid"})


def refuse_chosen(entry: Entry, protection: Protection, *, analyze: bool = False) -> None:
    """Raise `Refusal` where reading or changing an entry's rows would show hidden values. `analyze` counts rows by part."""
    relation = entry.relation
    if relation is None or not relation.oid:
        return
    name = f"{relation.schema}.{relation.name}"
    other = protection.filtered_elsewhere(relation)
    if other is not None:
        raise Refusal(f"{name} may show rows of {other.schema}.{other.name}, which has a row filter for you")
    tag = protection.chosen_by(relation)
    if tag and relation.kind in "vm":
        raise Refusal(f"the rows of {name} were chosen by values ({tag}) that you see only masked")
    if tag:
        raise Refusal(f"the rows of the partition {name} share values ({tag}) that you see only masked: use its parent")
    if relation.kind == "p" and (entry.system & _PLACE or analyze) and protection.keeps_apart(relation):
        what = "how many rows the partitions hold" if analyze else ", ".join(sorted(entry.system & _PLACE))
        raise Refusal(f"{what} would show values of {name} that you see only masked")
