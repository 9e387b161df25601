"""Which DDL turns the tables that are there into tables that can hold an export.

Pure: compares a relation with the catalog and answers with statements. A column is only ever added or widened, never
dropped; a type that cannot be widened is refused. The statements run and commit before the load's transaction.
"""
# ruff: noqa: S608  -- names come from quoted(), types from SqlType

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ddb_assets.column_type import SqlType, join, storable
from ddb_assets.parquet.report import Relation
from ddb_assets.warehouse import ddl
from ddb_assets.warehouse.conversion import converted
from ddb_assets.warehouse.ddl import Design
from ddb_assets.warehouse.sql import Statement, Table, quoted

PLAIN = Design()


@dataclass(frozen=True)
class Step:
    """Statements that belong together. `atomic`: in one transaction; otherwise each commits by itself.

    Redshift refuses to lengthen a VARCHAR inside a transaction (Redshift, ALTER TABLE). `before` and `after` commit by
    themselves around it. `types` are the table's columns after it, if it changes which there are or what they hold.
    `unless` counts the values that the step would lose: with any it is not taken, and `refusal`
    says why.
    """

    statements: tuple[Statement, ...]
    atomic: bool = False
    before: tuple[Statement, ...] = ()
    after: tuple[Statement, ...] = ()
    types: Mapping[str, SqlType] = field(default_factory=dict)
    unless: Statement | None = None
    refusal: str = ""


def wanted(relation: Relation) -> dict[str, SqlType]:
    """The columns a relation's table has: all but the delete flag, which lives in staging only."""
    return {c.name: storable(SqlType.parse(c.type)) for c in relation.columns if c.role != "deleted"}


def empty(relation: Relation) -> frozenset[str]:
    """The columns of which nothing but NULL was ever seen."""
    return frozenset(c.name for c in relation.columns if c.empty)


def steps(
    table: Table,
    columns: Mapping[str, SqlType],
    catalog: Mapping[str, SqlType],
    empty: frozenset[str] = frozenset(),
    design: Design = PLAIN,
    hidden: frozenset[str] = frozenset(),
) -> list[Step]:
    """The steps after which `table` has at least these columns in types at least this wide.

    `catalog` is empty when there is no table; the `empty` ones of `columns` are content with whatever type is there. A
    type that can only be had by losing values becomes a step that is taken only when there are no values, or when the
    contract hides them (`hidden`). `design`
    holds for what is made, never for what is there.
    """
    if not catalog:
        return [Step(tuple(ddl.create_table(table, columns, design)), atomic=True, types=columns)]
    missing = {name: kind for name, kind in columns.items() if name not in catalog}
    plan = [_add_all(table, missing, design, catalog)] if missing else []
    for name, kind in columns.items():
        present = catalog.get(name)
        if present is None or name in empty:
            continue
        joined = join(present, kind)
        if joined is None:
            step = _replace(table, name, kind, design, catalog)
            plan.append(replace(step, unless=None) if name in hidden else step)  # what was there must not be seen
            continue
        to = storable(joined)
        if to == present:
            continue
        if to.name == present.name == "VARCHAR":
            plan.append(Step((Statement(f"ALTER TABLE {table} ALTER COLUMN {quoted(name)} TYPE {to}"),)))
        else:
            plan.append(_rewrite(table, name, to, design, catalog))
    return plan


def _add_all(table: Table, columns: Mapping[str, SqlType], design: Design, catalog: Mapping[str, SqlType]) -> Step:
    """One column per statement, as Redshift has it, and all in one commit."""
    added = (
        Statement(f"ALTER TABLE {table} ADD COLUMN {ddl.column(name, kind, design)}") for name, kind in columns.items()
    )
    return Step((*added, *ddl.describe(table, columns, design)), atomic=True, types={**catalog, **columns})


def _rewrite(table: Table, name: str, to: SqlType, design: Design, catalog: Mapping[str, SqlType]) -> Step:
    """Add, copy, rename: the only way in Redshift to give a column another type than a longer VARCHAR."""
    copy = Statement(f"UPDATE {table} SET {_NEW} = {converted(table.column(name), catalog[name], to)}")
    return _exchange(table, name, to, design, catalog, (copy,))


def _replace(table: Table, name: str, to: SqlType, design: Design, catalog: Mapping[str, SqlType]) -> Step:
    """Another type for a column in which everything is NULL, as it is when DynamoDB had nothing but NULL there."""
    refusal = (
        f"column {name!r} of {table} is {catalog[name]}, the export has {to}, no type holds the values of both: "
        f"give the attribute another column name or its former type in the table's contract, or drop the column"
    )
    values = Statement(f"SELECT COUNT({table.column(name)}) FROM {table}")
    return replace(_exchange(table, name, to, design, catalog, ()), unless=values, refusal=refusal)


def _exchange(
    table: Table,
    name: str,
    to: SqlType,
    design: Design,
    catalog: Mapping[str, SqlType],
    filled: tuple[Statement, ...],
) -> Step:
    """A new column in the place of an old one; a key of the table's design is one again afterwards."""
    return Step(
        (
            Statement(f"ALTER TABLE {table} ADD COLUMN {_NEW} {to}"),
            *filled,
            Statement(f"ALTER TABLE {table} DROP COLUMN {quoted(name)}"),
            Statement(f"ALTER TABLE {table} RENAME COLUMN {_NEW} TO {quoted(name)}"),
            *ddl.describe(table, [name], design),
        ),
        atomic=True,
        before=ddl.released(table, name, design),
        after=ddl.restored(table, name, design),
        types={other: kind for other, kind in catalog.items() if other != name} | {name: to},
    )


_NEW = quoted("_ddb_widened")
