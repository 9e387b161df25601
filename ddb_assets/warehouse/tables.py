"""The tables of one load: found or made, with every column that the export needs, before its transaction begins.

Which statements that takes is `evolution.py`'s to say; what then goes into the tables is `merge.py`'s.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass

from ddb_assets.column_type import SqlType
from ddb_assets.parquet.report import Relation, Report
from ddb_assets.warehouse import evolution, sql
from ddb_assets.warehouse.ledger import History
from ddb_assets.warehouse.protocol import LoadError, Warehouse, number
from ddb_assets.warehouse.sql import Table, Target


@dataclass(frozen=True)
class Tables:
    """What one load reads and writes.

    `former` are child tables that the export's contract no longer has, but an earlier load filled.
    """

    root: Target
    children: tuple[Target, ...]
    former: tuple[tuple[Table, Mapping[str, SqlType]], ...]
    tombstones: Table
    tombstone_types: Mapping[str, SqlType]

    @property
    def relations(self) -> tuple[Target, ...]:
        """The targets that get rows."""
        return (self.root, *self.children)

    @property
    def below(self) -> tuple[tuple[Table, Mapping[str, SqlType]], ...]:
        """Every child table, former ones too, with its columns."""
        return (*((t.table, t.types) for t in self.children), *self.former)

    @property
    def version(self) -> str:
        """The name of the version column, the same in all of them."""
        return self.root.relation.column("version").name


def prepare(warehouse: Warehouse, schema: str, report: Report, known: History, *, soft_delete: bool) -> Tables:
    """Makes tables and columns that are missing; every statement commits. Raises LoadError as `evolution` does."""

    def target(relation: Relation, place: int) -> Target:
        table = Table(schema, relation.name)
        columns = evolution.wanted(relation)
        if soft_delete and not place:
            columns[sql.DELETED_AT] = SqlType("TIMESTAMP")
        return Target(
            table,
            evolve(warehouse, table, columns, evolution.empty(relation)),
            relation,
            Table(None, f"_ddb_stage_{warehouse.session}_{place}"),
        )

    targets = [target(relation, place) for place, relation in enumerate(report.relations)]
    root = targets[0]
    keys = {c.name: SqlType.parse(c.type) for c in root.relation.keys}
    stones = sql.tombstones(root.table)
    version = root.relation.column("version")
    stone_types = evolve(warehouse, stones, {**keys, version.name: SqlType.parse(version.type)})
    others = (Table(schema, name) for name in sorted(known.relations - {r.name for r in report.relations}))
    former = tuple((table, evolve(warehouse, table, keys)) for table in others if warehouse.catalog(table))
    return Tables(root, tuple(targets[1:]), former, stones, stone_types)


def evolve(
    warehouse: Warehouse, table: Table, columns: Mapping[str, SqlType], empty: frozenset[str] = frozenset()
) -> dict[str, SqlType]:
    """Gives the table at least these columns, the `empty` ones in any type; its columns afterwards."""
    for step in evolution.steps(table, columns, warehouse.catalog(table), empty):
        with warehouse.transaction() if step.atomic else nullcontext():
            if step.unless and number(warehouse, step.unless):
                raise LoadError(step.refusal)
            for statement in step.statements:
                warehouse.execute(statement)
    return warehouse.catalog(table)
