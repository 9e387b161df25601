"""The statements of a move's last transaction that make hot rows cold: keys in, rows compared, hot rows out."""
# ruff: noqa: S608  -- names come from quoted(), types from SqlType

from collections.abc import Mapping
from dataclasses import dataclass

from ddb_assets.warehouse.bookkeeping import MOVE, STALE_SINCE
from ddb_assets.warehouse.errors import InterruptedLoadError, WarehouseError
from ddb_assets.warehouse.redshift.cold.choosing import Hot
from ddb_assets.warehouse.redshift.cold.hot import newest_load
from ddb_assets.warehouse.sql.cold import ColdTable
from ddb_assets.warehouse.sql.cold_rows import ColdRows, comparable
from ddb_assets.warehouse.sql.engine import SqlEngine, number
from ddb_assets.warehouse.sql.statements import Statement, TableName, quoted


@dataclass(frozen=True)
class Swap:
    """Makes the rows of one move cold. `keys` is the table of cold keys, `tables` are the Iceberg tables of the relations.

    `load` is the number of the newest load when the rows were unloaded.
    """

    engine: SqlEngine
    hot: Hot
    keys: TableName
    move: int
    tables: Mapping[str, ColdTable]
    load: int

    def run(self) -> dict[str, int]:
        """Within a transaction that holds the lock of loads. Returns the rows of each relation that are cold now.

        Raises WarehouseError for a row that is not the same in both places, and InterruptedLoadError if a load came between.
        """
        engine, hot = self.engine, self.hot
        engine.execute(self._insert_keys())
        rows = {relation: self._checked(relation) for relation in hot.relations}
        for relation in reversed(hot.relations):
            # guard: rows are not hot and cold
            engine.execute(self._delete_hot(relation))
        both = number(engine, self._count_both())
        if both:
            raise WarehouseError(f"{both} items of {hot.root} would be hot and cold: nothing was moved")
        return rows

    def _rows(self, relation: str) -> ColdRows:
        hot = self.hot
        return ColdRows(self.tables[relation], self.keys, hot.keys, hot.version, hot.types[relation], move=self.move)

    def _insert_keys(self) -> Statement:
        """The keys of the items whose hot version is the cold one."""
        hot, root, cold = self.hot, self.hot.root, self.tables[self.hot.root.name].table
        rows = self._rows(root.name)
        stale = [STALE_SINCE] if STALE_SINCE in hot.types[root.name] else []
        names = [*hot.keys, hot.version]
        own = [root.column(name) for name in (*names, *stale)]
        same = [f"{rows.value(name)} = {root.column(name)}" for name in names]
        same.append(f"{cold.column(MOVE)} = {self.move}")
        columns = ", ".join(map(quoted, (*names, *stale, MOVE)))
        return Statement(
            f"INSERT INTO {self.keys} ({columns}) SELECT {', '.join(own)}, CAST({self.move} AS BIGINT) "
            f"FROM {root} INNER JOIN {cold} ON {' AND '.join(same)}"
        )

    def _of_this_move(self, relation: str) -> str:
        """The condition that a hot row is of an item that has become cold by this move."""
        return f"{self.hot.same(self.hot.table(relation), self.keys)} AND {self.keys.column(MOVE)} = {self.move}"

    def _checked(self, relation: str) -> int:
        """How many rows of a relation become cold. Raises WarehouseError if any of them is not what the hot row is."""
        engine, own, types = self.engine, self.hot.table(relation), self.hot.moved(relation)
        rows = self._rows(relation)
        joined = f"FROM {own} INNER JOIN {self.keys} ON {self._of_this_move(relation)}"
        hot = ", ".join(comparable(own.column(name), kind) for name, kind in types.items())
        as_cold = [comparable(rows.value(name), kind) for name, kind in types.items()]
        there = number(engine, Statement(f"SELECT COUNT(*) {joined}"))
        moved = number(engine, Statement(rows.query(["COUNT(*)"])))
        differing = number(
            engine,
            Statement(
                f"SELECT COUNT(*) FROM (SELECT {hot} {joined} EXCEPT {rows.query(as_cold)}) AS {quoted('other')}"
            ),
        )
        # guard: cold rows are the hot ones
        if moved != there or differing:
            if newest_load(engine, self.hot.root) != self.load:
                raise InterruptedLoadError(f"a load has changed rows of {own} while they were moved")
            raise WarehouseError(
                f"{own} has {there} rows to move, {self.tables[relation].table} shows {moved} for them, and {differing} "
                "differ: nothing was moved. Nothing is lost, and the next move takes away what was written"
            )
        return there

    def _delete_hot(self, relation: str) -> Statement:
        return Statement(
            f"DELETE FROM {self.hot.table(relation)} USING {self.keys} WHERE {self._of_this_move(relation)}"
        )

    def _count_both(self) -> Statement:
        root = self.hot.root
        same = " AND ".join(f"{root.column(name)} = {self.keys.column(name)}" for name in self.hot.keys)
        return Statement(f"SELECT COUNT(*) FROM {root} INNER JOIN {self.keys} ON {same}")
