"""The tables of a comparison, and its JSON form."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tools.regress.outcomes import REFUSALS, Outcome, Verdict, group_of
from tools.regress.play import Played

MAX_REFUSED_PERCENT = 3.0
"""Of the SELECTs that PostgreSQL answers; more fails the run."""


class Report:
    """What came of all files."""

    def __init__(self) -> None:
        self.files: dict[str, Played] = {}

    def add(self, name: str, played: Played) -> None:
        """Take in a file."""
        self.files[name] = played

    @property
    def outcomes(self) -> list[Outcome]:
        """Every compared statement."""
        return [outcome for played in self.files.values() for outcome in played.outcomes]

    @property
    def failed(self) -> bool:
        """Whether anything differs, or too many SELECTs are refused."""
        return any(o.verdict is Verdict.DIFFERENT for o in self.outcomes) or self.refused_percent > MAX_REFUSED_PERCENT

    @property
    def refused_percent(self) -> float:
        """How many of the SELECTs are refused although PostgreSQL answers them: no work is lost where it does not."""
        return self._percent_of_selects(Verdict.REFUSED)

    @property
    def refused_at_all_percent(self) -> float:
        """How many of the SELECTs are refused, those included to which PostgreSQL gives an error too."""
        return self._percent_of_selects(Verdict.REFUSED, Verdict.BOTH)

    def _percent_of_selects(self, *verdicts: Verdict) -> float:
        selects = [o for o in self.outcomes if o.is_select]
        return 100 * sum(o.verdict in verdicts for o in selects) / len(selects) if selects else 0.0

    def table(self) -> list[str]:
        """The lines by file, and the sum."""
        heads = ["file", "statements", *map(str, Verdict), "SELECTs", "refused", "by both"]
        rows = [[name, *_counts(played.outcomes)] for name, played in self.files.items()]
        rows.append(["all", *_counts(self.outcomes)])
        return aligned([heads, *rows])

    def summary(self) -> list[str]:
        """Why statements were refused, most frequent first; what was left out; the figures that decide."""
        lines = []
        for head, verdict, selects in (
            ("refused SELECTs", Verdict.REFUSED, True),
            ("SELECTs that PostgreSQL refuses too", Verdict.BOTH, True),
            ("other refused statements", Verdict.REFUSED, False),
            ("other statements that PostgreSQL refuses too", Verdict.BOTH, False),
        ):
            lines += ["", f"{head}, by reason"]
            lines += self._reasons(o for o in self.outcomes if o.verdict is verdict and o.is_select is selects)
        left_out: Counter[str] = sum((p.left_out for p in self.files.values()), Counter())
        lines += ["", "left out", *(f"{count:7}  {what}" for what, count in left_out.most_common())]
        reordered = sum(o.note == "rows in another order" for o in self.outcomes)
        lines += ["", f"identical, with rows in another order where none was asked for: {reordered}"]
        lines += [f"refused SELECTs, with those that PostgreSQL refuses too: {self.refused_at_all_percent:.2f} %"]
        lines += [f"refused SELECTs: {self.refused_percent:.2f} %   goal ≤ {MAX_REFUSED_PERCENT:g} %"]
        lines += [f"different: {sum(o.verdict is Verdict.DIFFERENT for o in self.outcomes)}   goal 0"]
        return lines

    def shown(self, verdict: Verdict) -> list[str]:
        """Every statement with the verdict, and why."""
        return [
            f"{o.file}:{o.line}: {'' if o.is_select else '(no SELECT) '}{o.reason}\n    {o.text[:400]}"
            for o in self.outcomes
            if o.verdict is verdict
        ]

    def write(self, path: Path) -> None:
        """Write the report as JSON: figures by file, and every statement that is not identical."""
        data = {
            "files": {name: Counter(str(o.verdict) for o in played.outcomes) for name, played in self.files.items()},
            "left_out": {name: played.left_out for name, played in self.files.items() if played.left_out},
            "selects": sum(o.is_select for o in self.outcomes),
            "refused_percent": round(self.refused_percent, 3),
            "refused_at_all_percent": round(self.refused_at_all_percent, 3),
            "statements": [
                {
                    "file": o.file,
                    "line": o.line,
                    "verdict": str(o.verdict),
                    "select": o.is_select,
                    "reason": o.reason,
                    "group": group_of(o.reason) if o.verdict in REFUSALS else "",
                    "note": o.note,
                    "text": o.text,
                }
                for o in self.outcomes
                if o.verdict is not Verdict.IDENTICAL or o.note
            ],
        }
        path.write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")

    @staticmethod
    def _reasons(outcomes: Iterable[Outcome]) -> list[str]:
        refused = list(outcomes)
        examples = {group_of(o.reason): o for o in reversed(refused)}
        counts = Counter(group_of(o.reason) for o in refused)
        return [
            f"{count:7}  {group}\n         {examples[group].file}:{examples[group].line}: {examples[group].text[:110]}"
            for group, count in counts.most_common()
        ]


def _counts(outcomes: Sequence[Outcome]) -> list[str]:
    by_verdict = Counter(o.verdict for o in outcomes)
    selects = [o for o in outcomes if o.is_select]
    refused = [str(sum(o.verdict is verdict for o in selects)) for verdict in REFUSALS]
    return [str(len(outcomes)), *(str(by_verdict[v]) for v in Verdict), str(len(selects)), *refused]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with columns of one width: the first to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
