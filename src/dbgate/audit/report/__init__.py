"""Evidence packs for auditors: figures with the queries behind them, integrity verdicts, and what they do not prove.

`figures` are the queries; `controls` say which figures speak for which control; `pack` gathers; `page` is the HTML.
Every figure can be computed again from the bucket with `dbgate audit search` and its query.
"""

from __future__ import annotations

from dbgate.audit.report.controls import STANDARDS
from dbgate.audit.report.pack import Pack, Scope, gather

__all__ = ["STANDARDS", "Pack", "Scope", "gather"]
