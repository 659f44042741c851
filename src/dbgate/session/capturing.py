"""What the person saw of a statement goes on record: the server's notices, and the result as it was shown."""

from __future__ import annotations

from collections import Counter

from dbgate.model import Json
from dbgate.session.effects import Capture
from dbgate.session.masking import hide
from dbgate.session.ports import Database, Display, Recorder


def capture(effect: Capture, database: Database, display: Display, recorder: Recorder) -> None:
    """Record notices and output, and show the notices. Raises `AuditUnavailable`."""
    for text, times in Counter(database.notices()).items():
        said = f"{text} ({times} times)" if times > 1 else text
        fields: dict[str, Json] = {"id": effect.statement_id, "level": "notice", "text": hide(said, effect.hidden)}
        recorder.record("notice", fields, durable=False)
        display.message("notice", said)
    seen, cut = display.output()
    if seen and effect.opened:
        names = ", ".join(sorted(map(str, effect.opened)))
        seen, cut = f"(not kept: it shows {names} in clear under a grant)\n", True
    if seen:
        fields = {"id": effect.statement_id, "text": hide(seen, effect.hidden), "truncated": cut}
        recorder.record("output", fields, durable=False)
