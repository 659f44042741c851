"""What dbgate knows of a database: relations, columns, functions, as frozen values.

Loaded by `dbgate.database`, read by `dbgate.gate`. Everything is keyed by OID. Text that PostgreSQL
deparses (view definitions, defaults) was taken with an empty `search_path`, so its names are qualified.
"""

import msgspec


class CatalogColumn(msgspec.Struct, frozen=True, array_like=True):
    """A column. `type_oid` is the type as declared, `base_oid` without domains.

    `type` is `format_type(atttypid, atttypmod)`; `category` is `pg_type.typcategory` (`S` string,
    `N` numeric, `D` date, `B` boolean, `A` array, `E` enum, `U` other, `C` composite).
    `default` holds the expression of a generated column (`generated` set) and is empty otherwise. `collation` is the
    column's, qualified and quoted; empty when it is that of the type. `remote` is what the column of a foreign table is
    called elsewhere, where it has an option for that.
    """

    number: int
    name: str
    type: str
    type_oid: int
    base_oid: int
    base_type: str
    category: str
    not_null: bool = False
    generated: str = ""
    default: str = ""
    comment: str = ""
    collation: str = ""
    remote: str = ""


class CatalogRelation(msgspec.Struct, frozen=True, array_like=True):
    """A relation. `kind` is `pg_class.relkind`: `r` table, `p` partitioned, `v` view, `m` materialized, `f` foreign, `S` sequence.

    `parents` are the OIDs it inherits from or is a partition of. `definition` is the query of a view.
    `depends` lists, for views, the OIDs of relations that the query reads (from `pg_depend`).
    `readable` tells whether the connected role may SELECT from the whole relation. `primary_key` holds column numbers.
    `partition_key` is what `pg_get_partkeydef` says of a partitioned table. Composite types (kind `c`) have an entry too.
    `row_security` tells that the database's own policies choose which of its rows the role sees.
    `remote` is the schema and the name of the table that a foreign table stands for, by its options.
    `mark` changes with the relation's rules (a view's query is one) and with the expressions of its columns.
    """

    oid: int
    schema: str
    name: str
    kind: str
    columns: tuple[CatalogColumn, ...]
    parents: tuple[int, ...] = ()
    definition: str = ""
    depends: tuple[int, ...] = ()
    readable: bool = True
    primary_key: tuple[int, ...] = ()
    has_rules: bool = False
    has_triggers: bool = False
    row_estimate: int = 0
    comment: str = ""
    type_oid: int = 0
    partition_key: str = ""
    mark: str = ""
    row_security: bool = False
    remote: tuple[str, ...] = ()


class ForeignKey(msgspec.Struct, frozen=True, array_like=True):
    """A foreign key from `relation` to `referenced`. `on_delete`/`on_update` are `pg_constraint` letters: `a` no action, `r` restrict, `c` cascade, `n` set null, `d` set default."""

    name: str
    relation: int
    columns: tuple[int, ...]
    referenced: int
    referenced_columns: tuple[int, ...]
    on_delete: str
    on_update: str


class Constraint(msgspec.Struct, frozen=True, array_like=True):
    """A constraint of a table: `kind` is `c` check, `u` unique, `p` primary key or `x` exclusion, `columns` their numbers."""

    name: str
    relation: int
    kind: str
    columns: tuple[int, ...]


class Numbering(msgspec.Struct, frozen=True, array_like=True):
    """A sequence that gives a column its values: it belongs to the column, or the column's default asks it. By OIDs and number."""

    sequence: int
    relation: int
    column: int


class CatalogFunction(msgspec.Struct, frozen=True, array_like=True):
    """A function outside `pg_catalog`. `arguments` is `pg_get_function_identity_arguments` by types only: `date, integer`.

    `kind` is `pg_proc.prokind` (`f` function, `p` procedure, `a` aggregate, `w` window).
    `extension` names the extension that owns it, or is empty. `required` is how many arguments a call has to give at least,
    `variadic` that it may give any number more. `constructs` is the OID of the range type whose constructor it is, or 0.
    `argument_types` are the OIDs of what goes in (None: not known), `result_types` those of types outside `pg_catalog`
    that come out.
    """

    oid: int
    schema: str
    name: str
    arguments: str
    kind: str = "f"
    language: str = "sql"
    security_definer: bool = False
    extension: str = ""
    returns: str = ""
    required: int = 0
    variadic: bool = False
    constructs: int = 0
    argument_types: tuple[int, ...] | None = None
    result_types: tuple[int, ...] = ()

    def takes(self, count: int) -> bool:
        """Whether a call with that many arguments can mean it."""
        own = self.arguments.count(",") + 1 if self.arguments else 0
        return self.required <= count and (self.variadic or count <= own)


class CatalogOperator(msgspec.Struct, frozen=True, array_like=True):
    """An operator outside `pg_catalog`, the OID of its function, and those of its operands' types (0: none there)."""

    schema: str
    name: str
    function: int
    left: int = 0
    right: int = 0


class CatalogCast(msgspec.Struct, frozen=True, array_like=True):
    """A cast of somebody's own: OIDs and bare names of both types, and the OID of its function.

    `function` is 0 for a cast without one. `context` is `pg_cast.castcontext`: `e` only where it is written, `a` in
    assignments too, `i` wherever it fits.
    """

    source: int
    target: int
    target_name: str
    function: int
    context: str
    source_name: str = ""


class CatalogType(msgspec.Struct, frozen=True, array_like=True):
    """A type outside `pg_catalog`; of tables' row types only those with `check_functions`, which a cast to it or to what it
    holds calls. `kind` is `pg_type.typtype`, `base` the type under a domain."""

    oid: int
    schema: str
    name: str
    kind: str
    extension: str = ""
    check_functions: tuple[int, ...] = ()
    base: str = ""


class Catalog(msgspec.Struct, frozen=True):
    """One database as the connected role sees it.

    `search_path` lists the schemas that the role searches, in order, without `pg_catalog`.
    `fingerprint` changes whenever anything in here may have changed. `newest` are the highest OIDs of functions,
    operators and casts.
    `system` maps the names of `pg_catalog` and `information_schema` relations to their column names
    in order: `("pg_catalog", "pg_class") -> (...)`, with the key written `schema.name`.
    `composites` are the types of `CREATE TYPE … AS (…)`, as relations of kind `c`.
    `type_names` maps the OIDs of types outside `pg_catalog`, and of their arrays, to the names that `format_type`
    writes, qualified. `type_functions` gives, by type OID, the functions outside `pg_catalog` and extensions that run
    when values of the type, or of types inside of it, are shown, read or compared; `type_checks` those that a cast to it
    runs. `type_parts` gives the types outside `pg_catalog` that stand inside of a type; it is empty where no function
    of anybody's own stands behind a cast, an operator or a function's name.
    """

    database: str
    role: str
    server_version: int
    search_path: tuple[str, ...]
    fingerprint: str
    schemas: tuple[str, ...]
    relations: tuple[CatalogRelation, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    composites: tuple[CatalogRelation, ...] = ()
    functions: tuple[CatalogFunction, ...] = ()
    operators: tuple[CatalogOperator, ...] = ()
    types: tuple[CatalogType, ...] = ()
    extensions: tuple[str, ...] = ()
    system: dict[str, tuple[str, ...]] = {}
    type_names: dict[int, str] = {}
    newest: str = ""
    casts: tuple[CatalogCast, ...] = ()
    type_functions: dict[int, tuple[int, ...]] = {}
    type_checks: dict[int, tuple[int, ...]] = {}
    type_parts: dict[int, tuple[int, ...]] = {}
    numberings: tuple[Numbering, ...] = ()


def names_in(catalog: Catalog) -> frozenset[str]:
    """Every name that stands in a catalog."""
    found = {catalog.role, catalog.database, *catalog.schemas, *catalog.search_path, *catalog.extensions}
    for relation in catalog.relations:
        found.add(relation.name)
        found.update(column.name for column in relation.columns)
    found.update(function.name for function in catalog.functions)
    found.update(kind.name for kind in catalog.types)
    found.update(key.name for key in catalog.foreign_keys)
    return frozenset(found)
