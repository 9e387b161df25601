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
from ddb_assets.warehouse.protocol import LoadError
from ddb_assets.warehouse.sql import Statement, Table, create_table, quoted


@dataclass(frozen=True)
class Step:
    """Statements that belong together. `atomic`: in one transaction; otherwise each commits by itself.

    Redshift refuses to lengthen a VARCHAR inside a transaction (Redshift, ALTER TABLE).
    """

    statements: tuple[Statement, ...]
    atomic: bool = False


def wanted(relation: Relation) -> dict[str, SqlType]:
    """The columns a relation's table has: all but the delete flag, which lives in staging only."""
    return {c.name: storable(SqlType.parse(c.type)) for c in relation.columns if c.role != "deleted"}


def steps(table: Table, columns: Mapping[str, SqlType], catalog: Mapping[str, SqlType]) -> list[Step]:
    """The steps after which `table` has at least these columns in types at least this wide.

    `catalog` is empty when there is no table. Raises LoadError for a column whose
    type can only be had by losing values.
    """
    if not catalog:
        return [Step((create_table(table, columns),))]
    plan = []
    for name, kind in columns.items():
        present = catalog.get(name)
        if present is None:
            plan.append(Step((Statement(f"ALTER TABLE {table} ADD COLUMN {quoted(name)} {kind}"),)))
            continue
        joined = join(present, kind)
        if joined is None:
            raise LoadError(
                f"column {name!r} of {table} is {present}, the export has {kind}, no type holds the values of both: "
                f"give the attribute another column name or its former type in the table's contract, or drop the column"
            )
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
    new = quoted("_ddb_widened")
    old = quoted(name)
    return Step(
        (
            Statement(f"ALTER TABLE {table} ADD COLUMN {new} {to}"),
            Statement(f"UPDATE {table} SET {new} = {converted(table.column(name), present, to)}"),
            Statement(f"ALTER TABLE {table} DROP COLUMN {old}"),
            Statement(f"ALTER TABLE {table} RENAME COLUMN {new} TO {old}"),
        ),
        atomic=True,
    )
