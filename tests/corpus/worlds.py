"""The corpus's database in two editions, and how a statement is judged and run against one.

`world.sql` puts a sentinel into every labelled cell. The second edition holds other sentinels, in another order: whoever
sees only masks must not be able to tell the two apart.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.conftest import LiveDatabase

from dbgate.errors import StatementError
from dbgate.gate.decide import Context, Judgement, judge
from dbgate.gate.policy.model import Policy
from dbgate.gate.policy.read import read_policy
from dbgate.gate.syntax import split
from dbgate.gate.tracking import SessionObjects
from dbgate.model import Identity
from dbgate.session.ports import Database

HERE = Path(__file__).parent
WORDS = ("ebrafish", "alrusine", "okapitis", "tapirish", "OALABEAR", "azelleon")
_NUMBER = re.compile(r"(?<![0-9a-z.])7741\d{0,2}(?!\d)")
OTHER_SENTINELS = {
    "Zebrafish": "Aardvarkh",
    "walrusine": "wolverine",
    "okapitis": "wombatis",
    "tapirish": "quokkash",
    "KOALABEAR": "ECHIDNABE",
    "gazelleon": "impalaeon",
    "774130 + g": "885299 - g",
    "774131": "885231",
    "7742": "8853",
    "7741": "8852",
    "5150770000 + g": "6261880099 - g",
    "51507700": "62618800",
    "'Zebr'": "'Aard'",
    "774135": "885291",
    "Zebra%": "Aardv%",
    "'wild', interval": "'calm', interval",
    "B'101'": "B'010'",
    "true, ": "false, ",
}
"""What stands in the second edition instead; what masks show (last characters, domains) stays."""


def world_script(edition: int) -> str:
    """The script of `world.sql`, in the first or the second edition."""
    text = (HERE / "world.sql").read_text(encoding="utf-8")
    if edition == 2:
        head, marker, data = text.partition("INSERT INTO payroll.departments")
        text = head + marker + _other(data)
    return text


def _other(text: str) -> str:
    pattern = "|".join(re.escape(word) for word in sorted(OTHER_SENTINELS, key=len, reverse=True))
    return re.sub(pattern, lambda match: OTHER_SENTINELS[match[0]], text)


def make_world(database: LiveDatabase, edition: int = 1) -> None:
    """Make the database, readable and writable for the ordinary role, but for `hr.locked`."""
    _leave_sentinels_to_cells(database)
    database.execute(world_script(edition))
    objects = (HERE / "objects.sql").read_text(encoding="utf-8")
    database.execute(_other(objects) if edition == 2 else objects)
    user = database.app_user
    for schema in ("payroll", "shop", "public", "hr", "own"):
        database.execute(
            f"GRANT USAGE ON SCHEMA {schema} TO {user};"
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user};"
            f"GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {user}"
        )
    # A superuser's own right, given to the role of the tests: so the gate alone hides the passwords.
    database.execute(f"GRANT SELECT ON pg_catalog.pg_authid, pg_catalog.pg_shadow TO {user}")
    database.execute(f"REVOKE ALL ON hr.locked FROM {user}; GRANT CREATE ON SCHEMA public TO {user}")


def _leave_sentinels_to_cells(database: LiveDatabase) -> None:
    """Let the server count its object identifiers beyond the sentinels of five digits: catalogs show them rightly."""
    database.execute("BEGIN; SELECT count(lo_creat(-1)) FROM generate_series(lo_creat(-1)::bigint, 77420); ROLLBACK")


def sentinels() -> frozenset[str]:
    """Every form in which a sentinel could come out, lower case."""
    forms: set[str] = {"51507700"}
    for word in WORDS:
        for text in (word, word[::-1], word[1:], word.encode().hex()):
            forms.add(text.lower())
    for n in range(1, 13):
        values = (f"Zebrafish{10 + n}-99{30 + n}", f"walrusine{40 + n}@mail.example", f"KOALABEAR{50 + n}DE00")
        for value in values:
            raw = value.encode()
            digests = (
                hashlib.md5(raw, usedforsecurity=False),
                hashlib.sha1(raw, usedforsecurity=False),
                hashlib.sha256(raw),
            )
            forms |= {digest.hexdigest() for digest in digests}
            forms.add(base64.b64encode(raw).decode().lower()[:16])
    return frozenset(forms)


FORMS = sentinels()


def leaked(*texts: str) -> set[str]:
    """The forms of sentinels that stand in the texts; keyed tokens, which may hold any digits, are left out."""
    everything = re.sub(r"tok_[0-9a-f]{24}|\b[0-9a-f]{64}\b", "", " ".join(texts).lower())
    return {form for form in FORMS if form in everything} | set(_NUMBER.findall(everything))


@dataclass(slots=True)
class Seen:
    """What a person sees of a statement: columns, rows, messages."""

    names: list[str] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    rows: list[tuple[str | None, ...]] = field(default_factory=list)
    messages: str = ""


def policy() -> Policy:
    """The policy of the corpus."""
    return read_policy([("policy.yaml", (HERE / "policy.yaml").read_text(encoding="utf-8"))])


def judged(
    sql: str,
    connection: Database,
    given: Policy,
    groups: tuple[str, ...] = ("staff",),
    objects: SessionObjects | None = None,
    path: tuple[str, ...] | None = None,
) -> Judgement:
    """The judgement on one statement for a member of the groups; `path` is the session's search path, if it set one."""
    (source,) = split(sql)
    identity = Identity("local:test", "sam", email="sam@example.com", groups=groups)
    now = datetime.now(UTC)
    known = objects or SessionObjects()
    context = Context(identity, given, connection.catalog(), "test", now, search_path=path, objects=known)
    return judge(source, context)


def outcome(text: str, connection: Database, *, alone: bool = True) -> Seen:
    """What is seen of a statement; `alone` runs it in a transaction of its own that leaves nothing behind."""
    seen = Seen()
    if alone:
        connection.execute_unrecorded("BEGIN")
    try:
        result = connection.run(text)
        seen.names = [column.name for column in result.columns]
        seen.types = [column.type_oid for column in result.columns]
        for batch in result.batches():
            seen.rows += batch
    except StatementError as error:
        seen.messages = f"{error.sqlstate} {error.message} {error.hint}"
    finally:
        if alone:
            connection.execute_unrecorded("ROLLBACK")
            connection.execute_unrecorded("DEALLOCATE ALL")
    seen.messages += " ".join(connection.notices())
    return seen
