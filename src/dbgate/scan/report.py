"""What a scan tells: proposals as a `classify` block and as JSON. Names, counts and words; never a value."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec

from dbgate.model import Json
from dbgate.scan.coverage import COVERED, FOLLOWS, NEW, Proposal, can_be_named
from dbgate.text import printable


class Unsampled(msgspec.Struct, frozen=True):
    """A relation whose values were not looked at, and why."""

    table: str
    reason: str


class Report(msgspec.Struct, frozen=True):
    """A scan of a target: how much was looked at, what was found, what was not looked into."""

    target: str
    tables: int
    columns: int
    sampled: int
    proposals: tuple[Proposal, ...]
    unsampled: tuple[Unsampled, ...] = ()
    interrupted: bool = False

    def new(self) -> list[Proposal]:
        """What the policy does not label yet."""
        return [proposal for proposal in self.proposals if proposal.state == NEW]


def evidence_of(proposal: Proposal) -> str:
    """Why, in words."""
    finding = proposal.finding
    words = "; ".join(finding.evidence.words) or "what stands around it"
    return f"at {finding.path}: {words}" if finding.path.startswith("$") else words


def as_yaml(report: Report) -> Iterator[str]:
    """A policy file with the new entries, which `policy check` accepts. Each says why in a comment."""
    new = report.new()
    entries = [p for p in new if can_be_named(p.finding.column)]
    yield f"# Proposed for {printable(report.target)} by dbgate policy scan: {report.columns} columns of {report.tables} tables looked at."
    if report.interrupted:
        yield "# The scan was interrupted: there may be more."
    yield "version: 1"
    if entries:
        yield "classify:"
    for proposal in sorted(entries, key=lambda p: (p.finding.tag, p.finding.column)):
        name = json.dumps(str(proposal.finding.column), ensure_ascii=False)
        yield f"  # {proposal.finding.confidence:.2f}: {printable(evidence_of(proposal))}"
        yield f"  - {{columns: [{name}], tag: {proposal.finding.tag}}}"
    if not entries:
        yield "# Nothing new was found."
    for proposal in new:
        if proposal not in entries:
            yield f"# no glob can name {printable(str(proposal.finding.column))} alone ({proposal.finding.tag})"
    for state, what in ((COVERED, "labelled already"), (FOLLOWS, "follows from another column")):
        for proposal in report.proposals:
            if proposal.state == state:
                tags = ", ".join(proposal.carries) or proposal.finding.tag
                yield f"# {what}: {printable(str(proposal.finding.column))} ({tags})"


def as_json(report: Report) -> str:
    """The whole report."""
    document: dict[str, Json] = {
        "target": report.target,
        "tables": report.tables,
        "columns": report.columns,
        "sampled": report.sampled,
        "interrupted": report.interrupted,
        "findings": [_finding(proposal) for proposal in report.proposals],
        "not_sampled": [{"table": one.table, "reason": one.reason} for one in report.unsampled],
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def _finding(proposal: Proposal) -> Json:
    finding = proposal.finding
    return {
        "column": str(finding.column),
        "tag": finding.tag,
        "kind": finding.kind,
        "confidence": round(finding.confidence, 2),
        "state": proposal.state,
        "labels": list(proposal.carries),
        "mask": proposal.mask,
        "path": finding.path,
        "evidence": list(finding.evidence.words),
        "recognized": finding.evidence.recognized,
        "sampled": finding.evidence.sampled,
        "chance": None if finding.evidence.chance is None else round(finding.evidence.chance, 3),
    }
