r"""What `\d` and its kin show, from the catalog in memory: no statement is sent, so they work in a failed transaction too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from dbgate.catalog import Catalog, CatalogFunction, CatalogRelation, ForeignKey
from dbgate.doors.shell.names import KINDS, Names, quoted
from dbgate.text import printable, suggest

Labels = Callable[[int], Mapping[str, str]]
"""The tags of a relation's columns, by name."""

_ACTIONS = {"a": "", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
_FUNCTION_KINDS = {"f": "function", "p": "procedure", "a": "aggregate", "w": "window"}
_TYPE_KINDS = {
    "b": "base",
    "c": "composite",
    "d": "domain",
    "e": "enum",
    "p": "pseudo",
    "r": "range",
    "m": "multirange",
}


class Listing(msgspec.Struct, frozen=True):
    """A table to show: rows under columns, a title above, notes beneath (printable)."""

    columns: tuple[str, ...]
    rows: list[tuple[str | None, ...]]
    title: str = ""
    notes: tuple[str, ...] = ()


def no_labels(oid: int) -> Mapping[str, str]:
    """Nothing is labelled."""
    return {}


class Pattern(msgspec.Struct, frozen=True):
    """A name pattern as psql's: `*` and `?` are wild, a dot parts schema and name, quotes keep the case."""

    schema: str
    name: str

    @staticmethod
    def read(text: str) -> Pattern:
        """Read a pattern; empty matches everything."""
        parts: list[str] = [""]
        is_quoted = False
        for char in text.strip().rstrip(";"):
            if char == '"':
                is_quoted = not is_quoted
            elif char == "." and not is_quoted and len(parts) == 1:
                parts.append("")
            elif is_quoted:
                parts[-1] += re.escape(char)
            else:
                parts[-1] += {"*": ".*", "?": "."}.get(char, re.escape(char.lower()))
        return Pattern(parts[0] if len(parts) > 1 else "", parts[-1])

    def fits(self, schema: str, name: str) -> bool:
        """Whether a name matches."""
        return self._fits(self.schema, schema) and self._fits(self.name, name)

    @staticmethod
    def _fits(pattern: str, text: str) -> bool:
        return not pattern or re.fullmatch(pattern, text, re.DOTALL) is not None


def relations(names: Names, kinds: str, pattern: str, labels: Labels = no_labels, *, verbose: bool = False) -> Listing:
    """List relations of these kinds (`pg_class.relkind` letters), `verbose` with their comments."""
    wanted = Pattern.read(pattern)
    found = [r for r in names.catalog.relations if r.kind in kinds and wanted.fits(r.schema, r.name)]
    rows = [
        (
            r.schema,
            r.name,
            KINDS.get(r.kind, r.kind),
            f"{r.row_estimate:,}" if r.kind in "rpm" and r.row_estimate > 0 else "",
            str(len(labels(r.oid)) or ""),
            r.comment if verbose else "",
        )
        for r in sorted(found, key=lambda r: (r.schema, r.name))
    ]
    return _narrowed(("Schema", "Name", "Kind", "Rows (about)", "Labelled columns", "Comment"), rows, 3, pattern)


def describe(names: Names, pattern: str, labels: Labels = no_labels, *, verbose: bool = False) -> list[Listing]:
    r"""Describe every relation that the pattern names: `\d name`. A bare name means the search path first."""
    wanted = Pattern.read(pattern)
    found = [r for r in names.catalog.relations if wanted.fits(r.schema, r.name)]
    if not wanted.schema and "*" not in pattern and "?" not in pattern:
        visible = [r for r in found if names.relation("", r.name) is r]
        found = visible or found
    if found:
        found = sorted(found, key=lambda r: (r.schema, r.name))
        return [describe_relation(names.catalog, r, labels, verbose=verbose) for r in found]
    return [*_describe_system(names.catalog, wanted)] or [Listing((), [], notes=(_nothing(names, pattern),))]


def describe_relation(
    catalog: Catalog, relation: CatalogRelation, labels: Labels = no_labels, *, verbose: bool = False
) -> Listing:
    """Describe one relation: columns with type and labels, keys, parents; `verbose` with comments and a view's query."""
    tags = labels(relation.oid)
    rows: list[tuple[str | None, ...]] = [
        (
            column.name,
            column.type,
            "not null" if column.not_null else "",
            tags.get(column.name, ""),
            f"generated: {column.default}" if column.generated else "",
            column.comment if verbose else "",
        )
        for column in relation.columns
    ]
    listing = _narrowed(("Column", "Type", "Nullable", "Label", "Default", "Comment"), rows, 2, "")
    title = f'{KINDS.get(relation.kind, "relation").capitalize()} "{printable(str_name(relation))}"'
    notes = [*_notes(catalog, relation), *(_more_notes(relation) if verbose else ())]
    return Listing(listing.columns, listing.rows, title, tuple(notes))


def str_name(relation: CatalogRelation) -> str:
    """`schema.name`."""
    return f"{relation.schema}.{relation.name}"


def _notes(catalog: Catalog, relation: CatalogRelation) -> Iterable[str]:
    by_oid = {r.oid: r for r in catalog.relations}
    names = {c.number: quoted(c.name) for c in relation.columns}
    referring = {(key.relation, key.columns) for key in catalog.foreign_keys if key.referenced == relation.oid}
    if relation.primary_key:
        yield f"Primary key: {printable(', '.join(names.get(n, '?') for n in relation.primary_key))}"
    for key in catalog.foreign_keys:
        if key.relation == relation.oid and key.referenced in by_oid:
            yield f"Foreign key: {_key(key, relation, by_oid[key.referenced])}"
        elif key.referenced == relation.oid and key.relation in by_oid:
            other = by_oid[key.relation]
            if any((parent, key.columns) in referring for parent in other.parents):
                continue  # a partition refers as its parent does
            yield f"Referenced by: {printable(str_name(other))} {_key(key, other, relation)}"
    for oid in relation.parents:
        if oid in by_oid:
            word = "Partition of" if by_oid[oid].kind == "p" else "Inherits"
            yield f"{word}: {printable(str_name(by_oid[oid]))}"
    children = [printable(str_name(r)) for r in catalog.relations if relation.oid in r.parents]
    if children:
        yield f"{'Partitions' if relation.kind == 'p' else 'Child tables'}: {_some(children)}"
    if relation.has_triggers:
        yield "Triggers: yes"
    if not relation.readable:
        yield f"Not readable: the role {printable(catalog.role)} may not SELECT from all of it"


def _more_notes(relation: CatalogRelation) -> Iterable[str]:
    if relation.comment:
        yield f"Comment: {printable(relation.comment)}"
    if relation.definition:
        lines = printable(relation.definition, keep="\n\t").strip("\n").split("\n")
        yield "Query:\n" + "\n".join(f"  {line}" for line in lines)


def _key(key: ForeignKey, relation: CatalogRelation, referenced: CatalogRelation) -> str:
    own = {c.number: quoted(c.name) for c in relation.columns}
    theirs = {c.number: quoted(c.name) for c in referenced.columns}
    text = f"({', '.join(own.get(n, '?') for n in key.columns)}) references {str_name(referenced)}"
    text += f" ({', '.join(theirs.get(n, '?') for n in key.referenced_columns)})"
    for word, letter in (("ON DELETE", key.on_delete), ("ON UPDATE", key.on_update)):
        if _ACTIONS.get(letter):
            text += f" {word} {_ACTIONS[letter]}"
    return printable(text)


def _some(names: Sequence[str], limit: int = 20) -> str:
    more = f", and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _describe_system(catalog: Catalog, wanted: Pattern) -> Iterable[Listing]:
    for key, columns in sorted(catalog.system.items()):
        schema, _, name = key.partition(".")
        if wanted.name and wanted.fits(schema, name):
            yield Listing(("Column",), [(column,) for column in columns], f'System relation "{printable(key)}"')


def _nothing(names: Names, pattern: str) -> str:
    near = (
        suggest(pattern.rpartition(".")[2], [r.name for r in names.catalog.relations])
        if names.catalog.relations
        else ""
    )
    hint = f"; {near}" if near.startswith("did you mean") else ""
    return printable(f"No relation matches {pattern}{hint}")


def functions(catalog: Catalog, pattern: str) -> Listing:
    r"""List the database's own functions: `\df`. Those of extensions only when the pattern asks for them."""
    wanted = Pattern.read(pattern)
    found = [f for f in catalog.functions if wanted.fits(f.schema, f.name) and (pattern or not f.extension)]
    rows: list[tuple[str | None, ...]] = [
        (f.schema, f.name, f.returns, f.arguments, _function_kind(f), f.language)
        for f in sorted(found, key=_sort_function)
    ]
    return _narrowed(("Schema", "Name", "Returns", "Arguments", "Kind", "Language"), rows, 6, pattern)


def _sort_function(function: CatalogFunction) -> tuple[str, str, str]:
    return function.schema, function.name, function.arguments


def _function_kind(function: CatalogFunction) -> str:
    kind = _FUNCTION_KINDS.get(function.kind, function.kind)
    return f"{kind}, security definer" if function.security_definer else kind


def schemas(catalog: Catalog, pattern: str) -> Listing:
    r"""List the schemas: `\dn`."""
    wanted = Pattern.read(pattern)
    counts = dict.fromkeys(catalog.schemas, 0)
    for relation in catalog.relations:
        if relation.schema in counts:
            counts[relation.schema] += relation.kind in "rpvmf"
    rows: list[tuple[str | None, ...]] = [
        (schema, str(count), str(catalog.search_path.index(schema) + 1) if schema in catalog.search_path else "")
        for schema, count in sorted(counts.items())
        if wanted.fits("", schema)
    ]
    return _narrowed(("Schema", "Tables and views", "Searched"), rows, 2, pattern)


def types(catalog: Catalog, pattern: str) -> Listing:
    r"""List the database's own types: `\dT`."""
    wanted = Pattern.read(pattern)
    found = [t for t in catalog.types if wanted.fits(t.schema, t.name)]
    rows: list[tuple[str | None, ...]] = [
        (t.schema, t.name, _TYPE_KINDS.get(t.kind, t.kind), t.extension)
        for t in sorted(found, key=lambda t: (t.schema, t.name))
    ]
    return _narrowed(("Schema", "Name", "Kind", "Extension"), rows, 3, pattern)


def extensions(catalog: Catalog, pattern: str) -> Listing:
    r"""List the extensions: `\dx`."""
    wanted = Pattern.read(pattern)
    return _narrowed(
        ("Extension",), [(name,) for name in sorted(catalog.extensions) if wanted.fits("", name)], 1, pattern
    )


def _narrowed(columns: tuple[str, ...], rows: Sequence[tuple[str | None, ...]], kept: int, pattern: str) -> Listing:
    """The listing without the columns, behind the first `kept`, that are empty in every row."""
    if not rows:
        what = f"Nothing matches {printable(pattern)}" if pattern else "There is nothing to list"
        return Listing(columns[:kept], [], notes=(what,))
    used = [i for i in range(len(columns)) if i < kept or any(row[i] for row in rows)]
    return Listing(tuple(columns[i] for i in used), [tuple(row[i] for i in used) for row in rows])
