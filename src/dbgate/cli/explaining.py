"""`dbgate policy explain`, statement by statement: what cannot be judged is told, and the others go on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from dbgate.cli.explanation import Asked, error_fields, print_explanation
from dbgate.errors import EXIT_OK, StatementError, UsageError
from dbgate.gate.policy.imagined import imagine
from dbgate.gate.policy.trial import judge_once
from dbgate.gate.syntax import Source, split
from dbgate.text import printable

if TYPE_CHECKING:
    from dbgate.catalog import Catalog
    from dbgate.gate.policy.model import Policy
    from dbgate.model import Identity


class Question(msgspec.Struct, frozen=True):
    """For whom and where statements are explained. `catalog` gives the target's, or None to imagine one."""

    policy: Policy
    identity: Identity
    environment: str
    catalog: Callable[[], Catalog | None]
    rows: int | None = None
    unmasked: tuple[str, ...] = ()
    as_json: bool = False


def explain_all(texts: Sequence[str], values: Mapping[str, str | None], question: Question) -> int:
    """Explain every statement of every text, and return the first failure's exit code. Raises `UsageError` for none."""
    code, count = EXIT_OK, 0
    for text in texts:
        try:
            sources = split(text, values)
        except StatementError as error:
            count += 1
            code = code or _tell(error, text, question)
            continue
        for number, source in enumerate(sources, 1):
            count += 1
            if len(sources) > 1 and not question.as_json:
                print(f"{chr(10) if number > 1 else ''}statement {number} of {len(sources)}: {printable(source.text)}")
            code = _explain(source, question) or code
    if not count:
        raise UsageError("there is no statement in -c", hint="for example: -c 'select 1'")
    return code


def _explain(source: Source, question: Question) -> int:
    judged = partial(
        judge_once,
        source,
        policy=question.policy,
        catalog=question.catalog() or imagine(source.tree, question.policy),
        identity=question.identity,
        environment=question.environment,
        now=datetime.now(UTC),
        unmasked=question.unmasked,
    )
    try:
        found = judged(rows=question.rows)
    except StatementError as error:
        return _tell(error, source.text, question)
    asked = Asked(question.policy, question.identity, question.environment, lambda count: judged(rows=count))
    print_explanation(found, asked, as_json=question.as_json)
    return EXIT_OK


def _tell(error: StatementError, text: str, question: Question) -> int:
    """Say what is wrong with a statement, and where in it."""
    from dbgate.doors.formats.message import message_lines
    from dbgate.doors.formats.style import Style
    from dbgate.session.messages import with_place

    if question.as_json:
        print(json.dumps(error_fields(error), ensure_ascii=False))
    for line in message_lines("error", with_place(error.message, error.position, text), error.hint, Style(False)):
        print(line, file=sys.stderr)
    return error.exit_code
