"""From the text of policy files to a `Policy`. Pure: text in, values or `DocumentError` out.

A file is parsed alone (`parse_file`); then all files of a policy are joined (`join_files`), what is extended before
what extends it. Order never decides anything between rules; where two files set the same mask, limit or `reason`,
the file that extends goes before the one it extends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from dbgate.document import Value, parse_document
from dbgate.errors import DocumentError
from dbgate.gate.policy import sections
from dbgate.gate.policy.globs import is_glob, matches
from dbgate.gate.policy.model import (
    Classify,
    FunctionList,
    Limits,
    MaskMethod,
    Policy,
    PolicyTest,
    RowFilter,
    Rule,
    Unmask,
)
from dbgate.text import suggest

VERSION = 1
REASONS = ("optional", "required")


class PolicyFile(msgspec.Struct, frozen=True):
    """One policy file, parsed. `tag_uses` are the tags and globs over tags that have to be known in the end."""

    name: str
    text: str
    extends: tuple[Value, ...]
    classify: tuple[Classify, ...]
    mask: tuple[tuple[str, MaskMethod], ...]
    unmask: tuple[Unmask, ...]
    rows: tuple[RowFilter, ...]
    rules: tuple[Rule, ...]
    limits: Limits
    functions: FunctionList
    reason: str
    tests: tuple[PolicyTest, ...]
    tag_uses: tuple[tuple[str, Value], ...]
    rule_uses: tuple[tuple[str, Value], ...]


_KEYS = frozenset("extends reason classify unmask rules rows tests mask limits functions".split())


def read_policy(files: Sequence[tuple[str, str]]) -> Policy:
    """The policy of several files, each as (name, text), what is extended first. `extends` is not followed here."""
    return join_files([parse_file(name, text) for name, text in files])


def parse_file(name: str, text: str) -> PolicyFile:
    """Parse one policy file. `name` stands in messages. Raises `DocumentError`."""
    with parse_document(text, name).mapping() as top:
        top.asked |= _KEYS  # `reason` is not a mistake for `version`
        version = top.required("version")
        if version.integer() != VERSION:
            raise version.error(f"there is no version {version.integer()}", f"this dbgate reads version: {VERSION}")
        extends, reason = top.value("extends"), top.choice("reason", REASONS, "")
        classify, unmask, rules = top.sequence("classify"), top.sequence("unmask"), top.sequence("rules")
        rows, tests = top.sequence("rows"), top.sequence("tests")
        mask, limits, functions = top.value("mask"), top.value("limits"), top.value("functions")
        top.finish()
        return PolicyFile(
            name=name,
            text=text,
            extends=_names(extends) if extends else (),
            classify=tuple(map(sections.read_classify, classify)),
            mask=tuple((tag, sections.read_mask(tag, value)) for tag, value in _entries(mask)),
            unmask=tuple(map(sections.read_unmask, unmask)),
            rows=tuple(map(sections.read_row_filter, rows)),
            rules=tuple(map(sections.read_rule, rules)),
            limits=sections.read_limits(limits) if limits else Limits(),
            functions=sections.read_functions(functions) if functions else FunctionList(),
            reason=reason,
            tests=tuple(test for value in tests for test in sections.read_tests(value)),
            tag_uses=tuple(_tag_uses(mask, unmask, rules)),
            rule_uses=tuple(_rule_uses(tests)),
        )


def join_files(files: Sequence[PolicyFile]) -> Policy:
    """Join the files of a policy; the last one is the policy itself, and its tests count. Raises `DocumentError`."""
    classify = tuple(entry for file in files for entry in file.classify)
    _check_tags(files, {entry.tag for entry in classify})
    functions = FunctionList(
        allow=tuple(dict.fromkeys(s for file in files for s in file.functions.allow)),
        extensions=tuple(dict.fromkeys(e for file in files for e in file.functions.extensions)),
    )
    return Policy(
        digest=_digest(files),
        files=tuple(file.name for file in files),
        classify=classify,
        mask=_masks(files),
        unmask=tuple(entry for file in files for entry in file.unmask),
        rows=tuple(entry for file in files for entry in file.rows),
        rules=_unique(files),
        limits=_limits(files),
        functions=functions,
        reason_required=next((f.reason for f in reversed(files) if f.reason), "optional") == "required",
        tests=files[-1].tests,
    )


def _digest(files: Sequence[PolicyFile]) -> str:
    """`sha256:…` over the files' contents, each with its length before it, so that nothing can move between files."""
    total = hashlib.sha256()
    for file in files:
        content = file.text.encode("utf-8")
        total.update(len(content).to_bytes(8, "big") + content)
    return f"sha256:{total.hexdigest()}"


def _names(value: Value) -> tuple[Value, ...]:
    value.texts()
    return value.values() if value.is_list else (value,)


def _entries(value: Value | None) -> list[tuple[str, Value]]:
    if value is None:
        return []
    reader = value.mapping()
    return [(key, reader.required(key)) for key in reader.keys()]  # noqa: SIM118 (a Reader is no dict)


def _tag_uses(mask: Value | None, unmask: Iterable[Value], rules: Iterable[Value]) -> list[tuple[str, Value]]:
    uses = _entries(mask)
    conditions = [when for rule in rules if (when := rule.mapping().value("when")) is not None]
    for place in [*unmask, *conditions]:
        tags = place.mapping().value("tags")
        if tags is not None:
            uses += zip(tags.texts(), _names(tags), strict=True)
    return uses


def _rule_uses(tests: Iterable[Value]) -> list[tuple[str, Value]]:
    return [(rule.text(), rule) for test in tests if (rule := test.mapping().value("rule")) is not None]


def _check_tags(files: Iterable[PolicyFile], known: set[str]) -> None:
    """Every tag that is named has to be given to some column by `classify`; a glob has to meet at least one."""
    for file in files:
        for name, value in file.tag_uses:
            if name == "*" or name in known or (is_glob(name) and any(matches(name, tag) for tag in known)):
                continue
            what = "no tag matches" if is_glob(name) else "no classify entry gives the tag"
            raise value.error(f"{what} {name}", suggest(name, known) or "there are no tags: add classify entries")


def _unique(files: Sequence[PolicyFile]) -> tuple[Rule, ...]:
    """The rules of all files. The same id twice is an error; so is a test that names a rule which is not there."""
    found: dict[str, Rule] = {}
    for file in files:
        for rule in file.rules:
            first = found.setdefault(rule.id, rule)
            if first is not rule:
                raise DocumentError(
                    f"the rule {rule.id} stands twice, first in {first.ref.file}:{first.ref.line}",
                    file=file.name,
                    line=rule.ref.line,
                    hint="give it another id",
                )
    for name, value in files[-1].rule_uses:
        if name not in found:
            raise value.error(f"rule: there is no rule {name}", suggest(name, found))
    # The nearest file first: of several rules that deny, the first one's message is shown.
    return tuple(rule for file in reversed(files) for rule in file.rules)


def _masks(files: Iterable[PolicyFile]) -> tuple[tuple[str, MaskMethod], ...]:
    """The mask methods, those of tags before those of globs, and of globs the one that says most first."""
    methods = {tag: method for file in files for tag, method in file.mask}
    return tuple(sorted(methods.items(), key=lambda item: _generality(item[0])))


def _generality(tag: str) -> tuple[bool, int, str]:
    return (is_glob(tag), -sum(char not in "*?" for char in tag), tag)


def _limits(files: Iterable[PolicyFile]) -> Limits:
    found = {
        name: value
        for file in files
        for name in Limits.__struct_fields__
        if (value := getattr(file.limits, name)) is not None
    }
    return Limits(**found)
