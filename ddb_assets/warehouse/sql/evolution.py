"""Which DDL turns the existing tables into tables that can hold an export.

Pure: compares a relation with the catalog and returns statements. A column is only ever added or widened, never dropped; a
type that cannot be widened is refused. The statements run and commit before the load's transaction.

Except for a longer VARCHAR, a new type means a new column in place of the old one, and Redshift counts the old ones too
towards its 1,600 (Redshift, "Quotas and limits"). So texts and bytes that grow get headroom. Numbers already have headroom
from flattening: more digits here would leave none for a larger scale, and turn the column into text.
"""
# ruff: noqa: S608  -- names come from quoted(), types from SqlType

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ddb_assets.contract.column_type import MAX_VARBYTE, MAX_VARCHAR, SqlType, join, storable
from ddb_assets.contract.report import Relation
from ddb_assets.warehouse.sql import ddl, encoding, retype
from ddb_assets.warehouse.sql.conversion import converted
from ddb_assets.warehouse.sql.ddl import Design
from ddb_assets.warehouse.sql.engine import Layout
from ddb_assets.warehouse.sql.statements import Statement, TableName, quoted

PLAIN = Design()
NONE: Mapping[str, str] = {}


@dataclass(frozen=True)
class Step:
    """Statements that belong together. `atomic`: in one transaction; otherwise each commits by itself.

    Redshift refuses to lengthen a VARCHAR inside a transaction (Redshift, ALTER TABLE). `column` gets the type `to`;
    `exchanged` means that another column takes its place, so that it must not be a key of the table meanwhile. `unless`
    counts the values that the step would lose: if there are any, it is not taken, and `refusal` says why.
    """

    statements: tuple[Statement, ...]
    atomic: bool = False
    column: str = ""
    to: SqlType | None = None
    exchanged: bool = False
    unless: Statement | None = None
    refusal: str = ""


def wanted(relation: Relation) -> dict[str, SqlType]:
    """The columns a relation's table has: all but the delete flag, which lives in staging only."""
    return {c.name: storable(SqlType.parse(c.type)) for c in relation.columns if c.is_stored}


def empty(relation: Relation) -> frozenset[str]:
    """The columns that have never had a value."""
    return frozenset(c.name for c in relation.columns if c.empty)


def steps(
    table: TableName,
    columns: Mapping[str, SqlType],
    have: Layout,
    empty: frozenset[str] = frozenset(),
    design: Design = PLAIN,
    hidden: frozenset[str] = frozenset(),
    declared: Mapping[str, str] = NONE,
) -> list[Step]:
    """The steps after which `table` has at least these columns in types at least this wide.

    `have` is empty when there is no table; the `empty` ones of `columns` accept any existing type. A type that would lose
    values becomes a step that is taken only if there are no values, or if the contract hides them (`hidden`). A column of
    texts that the contract declares as numbers becomes one of numbers (`declared`: its key in `_ddb_extra`, by column).
    `design` applies to new tables and columns, never to existing ones.
    """
    if not have.types and not have.foreign:
        return [Step(tuple(ddl.create_table(table, columns, design)), atomic=True)]
    missing = {name: kind for name, kind in columns.items() if name not in have.types}
    plan = [_add_all(table, missing, design)] if missing else []
    for name, kind in columns.items():
        present = have.types.get(name)
        if present is None or name in empty:
            continue
        if name in declared and name not in hidden and retype.is_possible(present, kind):
            plan.append(_retype(table, name, kind, design, have, declared[name]))
            continue
        joined = join(present, kind)
        if joined is None:
            step = _replace(table, name, kind, design, have)
            plan.append(replace(step, unless=None) if name in hidden else step)  # old values must not be seen
        elif storable(joined) != present:
            # guard: headroom
            plan.append(_widen(table, name, roomy(storable(joined), present), design, have))
    return plan


def roomy(to: SqlType, present: SqlType) -> SqlType:
    """`to`, which `present` must become, with headroom."""
    if to.name == present.name == "VARCHAR":
        return SqlType("VARCHAR", max(to.size, min(2 * present.size, MAX_VARCHAR)))
    if to.name == present.name == "VARBYTE":
        return SqlType("VARBYTE", max(to.size, min(4 * present.size, MAX_VARBYTE)))
    return to


def _add_all(table: TableName, columns: Mapping[str, SqlType], design: Design) -> Step:
    """One column per statement, as Redshift has it, and all in one commit."""
    added = (
        Statement(f"ALTER TABLE {table} ADD COLUMN {ddl.column(name, kind, design)}") for name, kind in columns.items()
    )
    return Step((*added, *ddl.describe(table, columns, design)), atomic=True)


def _widen(table: TableName, name: str, to: SqlType, design: Design, have: Layout) -> Step:
    """Lengthens a VARCHAR if Redshift can; else adds, copies and renames, the only way to any other type."""
    present = have.types[name]
    fixed = name in have.defaults or have.encodings.get(name, "").lower() in encoding.FIXED
    if to.name == present.name == "VARCHAR" and not fixed:
        longer = Statement(f"ALTER TABLE {table} ALTER COLUMN {quoted(name)} TYPE {to}")
        return Step((longer,), column=name, to=to)
    copy = Statement(f"UPDATE {table} SET {_NEW} = {converted(table.column(name), present, to)}")
    return _exchange(table, name, to, design, have, (copy,))


def _replace(table: TableName, name: str, to: SqlType, design: Design, have: Layout) -> Step:
    """Another type for a column that has only NULL, because DynamoDB had nothing else there."""
    refusal = (
        f"column {name!r} of {table} is {have.types[name]}, the export has {to}, no type holds the values of both: "
        f"give the attribute another column name or its previous type in the table's contract; or ALTER TABLE {table} DROP "
        f"COLUMN {quoted(name)} and load a full export that is newer than all that is loaded, or a full export with restart"
    )
    values = Statement(f"SELECT COUNT({table.column(name)}) FROM {table}")
    return replace(_exchange(table, name, to, design, have, ()), unless=values, refusal=refusal)


def _retype(table: TableName, name: str, to: SqlType, design: Design, have: Layout, key: str) -> Step:
    """Numbers in place of texts, as the contract declares; texts that are not numbers go to `_ddb_extra`."""
    refusal = (
        f"column {name!r} of {table} is {have.types[name]}, the contract declares {to}, and it has texts that are no such "
        f"numbers and cannot be put into _ddb_extra (too long, with control characters, or there is a value "
        f"already): take the type out of the contract; or ALTER TABLE {table} DROP COLUMN {quoted(name)} and load a full "
        f"export that is newer than all that is loaded, which brings every value again"
    )
    filled = retype.fill(table, name, WIDENED, to, key)
    lost = retype.count_lost(table, name, to, key)
    # guard: or the type stays
    return replace(_exchange(table, name, to, design, have, filled), unless=lost, refusal=refusal)


def _exchange(
    table: TableName,
    name: str,
    to: SqlType,
    design: Design,
    have: Layout,
    filled: tuple[Statement, ...],
) -> Step:
    """A new column in place of an old one, with the same compression."""
    kept = encoding.kept(have.encodings.get(name, ""), have.types[name], to)
    return Step(
        (
            Statement(f"ALTER TABLE {table} ADD COLUMN {_NEW} {to}" + (f" ENCODE {kept}" if kept else "")),
            *filled,
            Statement(f"ALTER TABLE {table} DROP COLUMN {quoted(name)}"),
            Statement(f"ALTER TABLE {table} RENAME COLUMN {_NEW} TO {quoted(name)}"),
            *ddl.describe(table, [name], design),
        ),
        atomic=True,
        column=name,
        to=to,
        exchanged=True,
    )


WIDENED = "_ddb_widened"
_NEW = quoted(WIDENED)
