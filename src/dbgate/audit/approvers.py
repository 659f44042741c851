"""Who approved what in a session: approvals stand in records of their own, before the statements that they are for."""

from __future__ import annotations

from typing import Any

from dbgate.text import printable


class Approvers:
    """Takes a session's records in order, and names the people behind a statement: by its grant, or else by its number."""

    def __init__(self) -> None:
        self._by_grant: dict[str, str] = {}
        self._by_number: dict[str, str] = {}

    def take(self, record: dict[str, Any]) -> None:
        """Note who approved, if the record says so."""
        people = record.get("approved_by")
        if record["kind"].startswith("approval.") and isinstance(people, list) and people:
            names = ", ".join(printable(str(person)) for person in people)
            if record.get("grant"):
                self._by_grant[str(record["grant"])] = names
            if record.get("id"):
                self._by_number[str(record["id"])] = names

    def of(self, intent: dict[str, Any]) -> str:
        """Who approved a statement, or what it shows in clear; empty when nobody had to."""
        opened = intent.get("unmasked")
        columns = [column for column in opened if isinstance(column, dict)] if isinstance(opened, list) else []
        grants = [intent.get("grant"), *(column.get("grant") for column in columns)]
        found = [self._by_grant.get(str(grant), "") for grant in grants if grant]
        if intent.get("grant") and not any(found):
            found.append(self._by_number.get(str(intent.get("id")), ""))
        return ", ".join(dict.fromkeys(filter(None, found)))
