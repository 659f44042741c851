"""The text that runs: qualified names, masks, row filters, whatever kind of statement holds the query."""

from __future__ import annotations

from dbgate.gate.allow.system import is_system, system_verdict
from dbgate.gate.chosen import refuse_chosen
from dbgate.gate.lexer import Offsets, Tokens
from dbgate.gate.names import qualified, quote, strings
from dbgate.gate.protection import Protection
from dbgate.gate.scope import Label
from dbgate.gate.splice import Edit, Refusal, RewriteError, Splices
from dbgate.gate.statement import Examined
from dbgate.gate.substitute import Substitution
from dbgate.gate.syntax import Source, parse_one
from dbgate.model import Allow, MaskedColumn, Relation, Rewrite


def rewrite(source: Source, examined: Examined, protection: Protection) -> Allow | Rewrite:
    """What runs instead of `source`. Raises `RewriteError` when it cannot be made safely."""
    found = examined.found
    if examined.copied is not None:
        return _rewrite_copy(source, examined, protection)
    if not examined.inner_kind:
        return Allow(source.text)
    if examined.kind == "ViewStmt":
        _refuse_system(examined, protection)
        return Allow(source.text)
    result = Substitution(source.text, source.tree, found, protection).run()
    masked = _masked(found.outputs | found.predicates | found.write_reads)
    output = tuple(i for i, c in enumerate(found.columns or ()) if any(x.hidden for x in c.labels))
    if not result.shielded and not result.filtered and not masked:
        return Allow(result.text, edits=result.edits)
    return Rewrite(
        text=result.text,
        masked=masked,
        output=output,
        predicates=tuple(sorted({x.column for x in found.predicates if x.hidden})),
        filtered=tuple(dict.fromkeys(result.filtered)),
        lineage_known=found.columns is not None,
        edits=result.edits,
    )


def _refuse_system(examined: Examined, protection: Protection) -> None:
    """A view over a system relation of which something is hidden would show it to others, or later."""
    for entry in examined.found.reads:
        relation = entry.relation
        if relation is None or relation.schema == protection.schema.temp_schema:
            continue
        if is_system(relation.schema, relation.name) and not system_verdict(relation.schema, relation.name).safe:
            raise Refusal(f"{relation.schema}.{relation.name} may not be read by a view: {_WHY}")


_WHY = "it holds samples of rows, texts of statements or passwords"


def _masked(labels: set[Label]) -> tuple[MaskedColumn, ...]:
    hidden = sorted({(x.column, x.tag, x.method.method) for x in labels if x.hidden})
    return tuple(MaskedColumn(*fields) for fields in hidden)


def _rewrite_copy(source: Source, examined: Examined, protection: Protection) -> Allow | Rewrite:
    """`COPY table (columns) TO STDOUT` becomes `COPY (SELECT columns FROM …) TO STDOUT` where it shows masks."""
    entry = examined.copied
    if entry is None or entry.relation is None or entry.body is None:
        raise RewriteError("the table of COPY could not be found")
    relation = entry.relation
    refuse_chosen(entry, protection)
    temporary = relation.schema == protection.schema.temp_schema
    system = not temporary and is_system(relation.schema, relation.name)
    if system and not system_verdict(relation.schema, relation.name).safe:
        raise Refusal(f"{relation.schema}.{relation.name} is not copied: {_WHY}")
    tokens = Tokens(source.text)
    try:
        first = tokens.index_at(Offsets(source.text).to_chars(int(entry.body["location"])))
    except (KeyError, LookupError):
        raise RewriteError("the table of COPY could not be found in the text") from None
    end = tokens.name_end(first)
    if not protection.shields(relation):
        known = [quote(c.name) for c in relation.columns if not c.generated]
        listed = "" if examined.body.get("attlist") else f" ({', '.join(known)})"
        sent = qualified(relation.schema, relation.name) + listed
        splices = Splices([Edit(tokens.list[first].start, tokens.list[end - 1].end, sent)])
        return Allow(splices.apply(source.text), edits=splices.places())
    if end < len(tokens.list) and tokens.list[end].text == "(":
        end = tokens.matching(end) + 1
    if relation.kind not in "rpf":
        raise RewriteError(f"COPY reads tables: write COPY (SELECT … FROM {relation.name}) TO STDOUT")
    names = strings(examined.body.get("attlist", ())) or [c.name for c in relation.columns if not c.generated]
    only = "ONLY " if relation.kind == "r" else ""  # COPY leaves out the rows of inheriting tables
    made_of = protection.source(relation, only=only, columns={name: name for name in names})
    query = f"SELECT {', '.join(quote(n) for n in names)} FROM ({made_of}) AS copied"
    splices = Splices([Edit(tokens.list[first].start, tokens.list[end - 1].end, f"({query})")])
    text = splices.apply(source.text)
    made = parse_one(text).get("CopyStmt", {})
    same = {k: v for k, v in made.items() if k not in {"query", "options"}}
    if same or made.get("is_program") or made.get("filename"):
        raise RewriteError("COPY could not be rewritten")
    hidden = _masked(examined.found.outputs)
    filtered: tuple[Relation, ...] = (Relation(relation.schema, relation.name, relation.oid, relation.kind),)
    output = tuple(i for i, c in enumerate(examined.found.columns or ()) if any(x.hidden for x in c.labels))
    filtered = filtered if protection.filters(relation) else ()
    return Rewrite(text, masked=hidden, output=output, filtered=filtered, edits=splices.places())
