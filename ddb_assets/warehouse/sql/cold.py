"""The cold tier of a table, as its loads see it: old rows that have moved from the warehouse to Iceberg tables.

`_ddb_cold__<root>` has the key and the version of every item whose rows are cold, and the number of the move that brought
them there. That table says what is cold, and nothing else does: a cold row without its key there is not shown. It is an
ordinary table, so a load treats it like the child tables of the root, in its own transaction: a newer write, a delete or a full
export takes the key out, and an older write is stale. So an item is in the root or among the cold keys, never in both or in
neither, and no delete has to be remembered for the sake of a cold row.

`_ddb_cold_fields__<root>` says which field of which Iceberg table has the values of which column, so that loads can make the
views again when a column changes. `cold_rows.py` has the SQL of cold rows, `redshift/cold/` moves rows.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ddb_assets.contract.column_type import SqlType, join
from ddb_assets.contract.report import Report
from ddb_assets.contract.stages import Chain
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql import evolution, retype, statements
from ddb_assets.warehouse.sql.engine import SqlEngine, number
from ddb_assets.warehouse.sql.statements import Statement, TableName, quoted
from ddb_assets.warehouse.sql.tables import hidden_columns

FIELD_TYPES = {
    "relation": SqlType("VARCHAR", 512),
    "external_schema": SqlType("VARCHAR", 127),
    "external_table": SqlType("VARCHAR", 127),
    "column_name": SqlType("VARCHAR", 127),
    "field": SqlType("VARCHAR", 127),
    "column_type": SqlType("VARCHAR", 64),
}
"""A row without a `column_name` has a view as its `relation`, and a hash of the view's text as its `column_type`."""
FIELDS_MARK = "field"
_AT_ONCE = 500


@dataclass(frozen=True)
class Field:
    """A field of an Iceberg table: which column had its values, and the column's type then."""

    column: str
    name: str
    type: SqlType


@dataclass(frozen=True)
class ColdTable:
    """The Iceberg table of a relation's cold rows, as the warehouse sees it, with its fields in the order of their age."""

    table: TableName
    fields: tuple[Field, ...]

    def of(self, column: str) -> tuple[Field, ...]:
        """The fields with values of a column: several if its type has changed."""
        return tuple(one for one in self.fields if one.column == column)


@dataclass(frozen=True)
class ColdTier:
    """The cold tables by relation, and hashes of the texts of the views that show them, by view."""

    keys: TableName
    tables: Mapping[str, ColdTable] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)


def read(engine: SqlEngine, root: TableName, there: Collection[str]) -> ColdTier | None:
    """The cold tier of a table, if it has one; `there` are the names of the tables that exist.

    Raises LoadError when the table of cold keys is gone, and cold rows with it.
    """
    keys, fields = statements.cold(root), statements.cold_fields(root)
    if fields.name not in there:
        return None
    # guard: the cold keys are gone
    if keys.name not in there:
        raise LoadError(
            f"{keys} is gone, and only it says which rows of {root} are in the cold tier: restore it from a backup, or start "
            f"the table over"
        )
    tables: dict[str, ColdTable] = {}
    made: dict[str, str] = {}
    for found in engine.fetch(Statement(f"SELECT {', '.join(FIELD_TYPES)} FROM {fields}")):
        relation, place, name, column, field_, kind = (None if one is None else str(one) for one in found)
        if column is None or field_ is None:
            made[str(relation)] = str(kind)
            continue
        one = Field(column, field_, SqlType.parse(str(kind)))
        before = tables.get(str(relation), ColdTable(TableName(place, str(name)), ()))
        tables[str(relation)] = ColdTable(before.table, (*before.fields, one))
    return ColdTier(keys, tables, made)


def record_fields(engine: SqlEngine, root: TableName, tables: Mapping[str, ColdTable]) -> None:
    """Within a transaction: replaces what is known of the fields of these relations."""
    place = statements.cold_fields(root)
    rows: list[tuple[object, ...]] = []
    for relation, cold in tables.items():
        engine.execute(Statement(f"DELETE FROM {place} WHERE relation = ? AND column_name IS NOT NULL", (relation,)))
        rows += [(relation, cold.table.schema, cold.table.name, f.column, f.name, str(f.type)) for f in cold.fields]
    _insert(engine, place, rows)


def record_views(engine: SqlEngine, root: TableName, made: Mapping[str, str]) -> None:
    """Within a transaction: replaces the hashes of these views."""
    place = statements.cold_fields(root)
    for view in made:
        engine.execute(Statement(f"DELETE FROM {place} WHERE relation = ? AND column_name IS NULL", (view,)))
    _insert(engine, place, [(view, None, None, None, None, text) for view, text in made.items()])


def _insert(engine: SqlEngine, place: TableName, rows: list[tuple[object, ...]]) -> None:
    names = ", ".join(map(quoted, FIELD_TYPES))
    marks = f"({', '.join('?' * len(FIELD_TYPES))})"
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        values = tuple(value for row in some for value in row)
        engine.execute(Statement(f"INSERT INTO {place} ({names}) VALUES {', '.join([marks] * len(some))}", values))


def check_alone(root: TableName, there: Collection[str], *, streamed: bool, soft_delete: bool) -> None:
    """Raises LoadError for what a table with a cold tier cannot have."""
    what = "a stream" if streamed else "soft_delete" if soft_delete else ""
    # guard: a cold tier without a stream
    if what and statements.cold_fields(root).name in there:
        raise LoadError(
            f"{root} has rows in the cold tier, which cannot be combined with {what}: take {what} out of the table's contract, "
            "or start the table over without `retain`"
        )


def check_types(engine: SqlEngine, cold: ColdTier, report: Report, chain: Chain) -> None:
    """Raises LoadError before a column gets a type that cannot show the values of its cold rows."""
    wrong = list(_unfit(cold, report))
    # guard: types of cold values
    if wrong and number(engine, statements.count(cold.keys)):
        relation, column, kind, wanted = wrong[0]
        raise LoadError(
            f"column {column!r} of {relation!r} is {kind} in the cold tier, export {report.export_id} has {wanted}, and cold "
            f"values cannot be shown as that: give the attribute another column name or its previous type in the table's "
            f"contract, or start the table over {chain.restart}"
        )


def _unfit(cold: ColdTier, report: Report) -> Iterable[tuple[str, str, SqlType, SqlType]]:
    for relation in report.relations:
        wanted, empty = evolution.wanted(relation), evolution.empty(relation)
        declared, hidden = retype.declared(relation), hidden_columns(report, relation)
        for one in cold.tables[relation.name].fields if relation.name in cold.tables else ():
            kind = wanted.get(one.column)
            if kind is None or one.column in empty or one.column in hidden:
                continue
            retyped = one.column in declared and retype.is_possible(one.type, kind)
            if retyped or join(one.type, kind) is None:
                yield relation.name, one.column, one.type, kind
