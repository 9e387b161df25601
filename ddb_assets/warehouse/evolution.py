"""Which DDL turns the tables that are there into tables that can hold an export.

Pure: compares a relation with the catalog and answers with statements. A column is only ever added or widened, never
dropped; a type that cannot be widened is refused. The statements run and commit before the load's transaction.
"""
# ruff: noqa: S608  -- names come from quoted(), types from SqlType

from collections.abc import Mapping
from dataclasses import dataclass

from ddb_assets.column_type import SqlType, join, storable
from ddb_assets.parquet.report import Relation
from ddb_assets.warehouse.conversion import converted
from ddb_assets.warehouse.sql import Statement, Table, create_table, quoted


@dataclass(frozen=True)
class Step:
    """Statements that belong together. `atomic`: in one transaction; otherwise each commits by itself.

    Redshift refuses to lengthen a VARCHAR inside a transaction (Redshift, ALTER TABLE). `unless` counts the values that
    the step would lose: with any it is not taken, and `refusal` says why.
    """

    statements: tuple[Statement, ...]
    atomic: bool = False
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
) -> list[Step]:
    """The steps after which `table` has at least these columns in types at least this wide.

    `catalog` is empty when there is no table; the `empty` ones of `columns` are content with whatever type is there. A
    type that can only be had by losing values becomes a step that is taken only when there are no values.
    """
    if not catalog:
        return [Step((create_table(table, columns),))]
    plan = []
    for name, kind in columns.items():
        present = catalog.get(name)
        if present is None:
            plan.append(Step((Statement(f"ALTER TABLE {table} ADD COLUMN {quoted(name)} {kind}"),)))
            continue
        if name in empty:
            continue
        joined = join(present, kind)
        if joined is None:
            plan.append(_replace(table, name, present, kind))
            continue
        to = storable(joined)
        if to == present:
            continue
        plan.append(
            _lengthen(table, name, to) if to.name == present.name == "VARCHAR" else _rewrite(table, name, present, to)
        )
    return plan


def _lengthen(table: Table, name: str, to: SqlType) -> Step:
    return Step((Statement(f"ALTER TABLE {table} ALTER COLUMN {quoted(name)} TYPE {to}"),))


def _rewrite(table: Table, name: str, present: SqlType, to: SqlType) -> Step:
    """Add, copy, rename: the only way in Redshift to give a column another type than a longer VARCHAR."""
    copy = Statement(f"UPDATE {table} SET {_NEW} = {converted(table.column(name), present, to)}")
    return Step((_add(table, to), copy, *_take_place(table, name)), atomic=True)


def _replace(table: Table, name: str, present: SqlType, to: SqlType) -> Step:
    """Another type for a column in which everything is NULL, as it is when DynamoDB had nothing but NULL there."""
    refusal = (
        f"column {name!r} of {table} is {present}, the export has {to}, no type holds the values of both: "
        f"give the attribute another column name or its former type in the table's contract, or drop the column"
    )
    values = Statement(f"SELECT COUNT({table.column(name)}) FROM {table}")
    return Step((_add(table, to), *_take_place(table, name)), atomic=True, unless=values, refusal=refusal)


_NEW = quoted("_ddb_widened")


def _add(table: Table, kind: SqlType) -> Statement:
    return Statement(f"ALTER TABLE {table} ADD COLUMN {_NEW} {kind}")


def _take_place(table: Table, name: str) -> tuple[Statement, Statement]:
    return (
        Statement(f"ALTER TABLE {table} DROP COLUMN {quoted(name)}"),
        Statement(f"ALTER TABLE {table} RENAME COLUMN {_NEW} TO {quoted(name)}"),
    )
