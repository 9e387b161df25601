"""Which cold rows are superseded: those of moves that have ended, and that no cold key counts any more.

Of a move that the table of moves does not know, the warehouse was restored from a backup since: it has ended too.

A row that is superseded stays so for ever: a key comes back to the cold keys only with the number of another move. A query
that began before the row was superseded may still need it, so it is first only noted, with the time, in
`_ddb_cold_gone__<root>`; what was noted long enough ago can be taken away.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

import polars as pl
import pyarrow as pa

from ddb_assets.contract.column_type import SqlType
from ddb_assets.warehouse.bookkeeping import MOVE
from ddb_assets.warehouse.redshift.cold.choosing import Hot
from ddb_assets.warehouse.redshift.cold.unload import unloaded
from ddb_assets.warehouse.sql import statements
from ddb_assets.warehouse.sql.cold import ColdTable
from ddb_assets.warehouse.sql.cold_rows import ColdRows
from ddb_assets.warehouse.sql.engine import SqlEngine, number
from ddb_assets.warehouse.sql.statements import Statement, TableName, quoted
from ddb_assets.warehouse.sql.tables import GONE_SINCE, cold_columns
from ddb_assets.warehouse.times import timestamp_value

AT_ONCE = 1_000_000
"""So many items are taken away by one compaction at most: their keys are held in memory."""


@dataclass(frozen=True)
class Superseded:
    """The superseded items of a table. `root` is the Iceberg table of the root's cold rows, as the warehouse sees it."""

    engine: SqlEngine
    hot: Hot
    root: ColdTable

    @property
    def noted(self) -> TableName:
        """The table of those that were noted."""
        return statements.cold_gone(self.hot.root)

    def count(self) -> int:
        """How many items of the root's Iceberg table are superseded now."""
        return number(self.engine, Statement(f"SELECT COUNT(*) {self._found()}"))

    def note(self, now: datetime) -> int:
        """Notes those that were not noted yet; how many these are."""
        engine, noted, rows = self.engine, self.noted, self._rows(self.noted)
        names = [*self.hot.keys, self.hot.version]
        columns = ", ".join(map(quoted, (*names, MOVE, GONE_SINCE)))
        values = ", ".join([*(rows.value(name) for name in names), self.root.table.column(MOVE)])
        moment = statements.literal(cast("datetime", timestamp_value(now)).isoformat(sep=" "))
        known = f"LEFT JOIN {noted} ON {self._same(rows, noted)}"
        new = f"SELECT {values}, CAST({moment} AS TIMESTAMP) {self._found(known)} AND {noted.column(MOVE)} IS NULL"
        before = number(engine, statements.count(noted))
        engine.execute(Statement(f"INSERT INTO {noted} ({columns}) {new}"))
        return number(engine, statements.count(noted)) - before

    def take(self, taken: TableName, before: datetime) -> int:
        """Fills a new temporary table with key, version and move of those that were noted before; how many these are."""
        engine, noted, types = self.engine, self.noted, self.hot.types[self.hot.root.name]
        columns = cold_columns({name: types[name] for name in self.hot.keys}, self.hot.version)
        names = ", ".join(map(quoted, columns))
        engine.execute(Statement(f"DROP TABLE IF EXISTS {taken}"))
        engine.execute(
            Statement(f"CREATE TEMP TABLE {taken} ({', '.join(f'{quoted(n)} {kind}' for n, kind in columns.items())})")
        )
        since = noted.column(GONE_SINCE)
        # guard: queries that run may still need a row
        old = f"({since} <= ?)"
        engine.execute(
            Statement(
                f"INSERT INTO {taken} ({names}) SELECT DISTINCT {names} FROM {noted} WHERE {old} "
                f"ORDER BY {quoted(MOVE)} LIMIT {AT_ONCE}",
                (timestamp_value(before),),
            )
        )
        return number(engine, statements.count(taken))

    def forget(self, taken: TableName) -> None:
        """Those that were taken away are not noted any more."""
        same = [f"{self.noted.column(n)} = {taken.column(n)}" for n in (*self.hot.keys, self.hot.version, MOVE)]
        self.engine.execute(Statement(f"DELETE FROM {self.noted} USING {taken} WHERE {' AND '.join(same)}"))

    def _rows(self, keys: TableName) -> ColdRows:
        return ColdRows(self.root, keys, self.hot.keys, self.hot.version, self.hot.types[self.hot.root.name])

    def _same(self, rows: ColdRows, keys: TableName) -> str:
        pairs = [f"{rows.value(name)} = {keys.column(name)}" for name in (*self.hot.keys, self.hot.version)]
        return " AND ".join([*pairs, f"{self.root.table.column(MOVE)} = {keys.column(MOVE)}"])

    def _found(self, more: str = "") -> str:
        """FROM and WHERE of the superseded rows of the root."""
        keys, moves, table = statements.cold(self.hot.root), statements.moves(self.hot.root), self.root.table
        begun = f"{table.column(MOVE)} <= (SELECT MAX({MOVE}) FROM {moves})"
        # guard: rows of moves that have not ended
        ended = f"({moves.column('moved_at')} IS NOT NULL OR {moves.column(MOVE)} IS NULL AND {begun})"
        return (
            f"FROM {table} LEFT JOIN {moves} ON {table.column(MOVE)} = {moves.column(MOVE)} "
            f"LEFT JOIN {keys} ON {self._same(self._rows(keys), keys)} {more} WHERE {keys.column(MOVE)} IS NULL AND {ended}"
        )


class Taken:
    """The keys of superseded items, to be found among rows of the Iceberg table of a relation."""

    def __init__(self, engine: SqlEngine, hot: Hot, taken: TableName) -> None:
        self._hot, types = hot, hot.types[hot.root.name]
        columns = {**{name: types[name] for name in hot.keys}, hot.version: SqlType("BIGINT"), MOVE: SqlType("BIGINT")}
        wanted = ", ".join(unloaded(taken.column(name), kind) for name, kind in columns.items())
        found = engine.fetch(Statement(f"SELECT {wanted} FROM {taken}"))
        rows = list(zip(*found, strict=True)) or [()] * len(columns)
        self._rows = pl.DataFrame(
            [
                _texts(pl.Series(str(place), list(values), dtype=_fetched(kind)))
                for place, (values, kind) in enumerate(zip(rows, columns.values(), strict=True))
            ]
        )
        self.moves = sorted({cast("int", values) for values in rows[-1]})

    def fields(self, table: ColdTable) -> list[str]:
        """The fields of a relation's Iceberg table that `without` needs."""
        return [field for fields in self._named(table) for field in fields]

    def without(self, batch: pa.RecordBatch, table: ColdTable) -> pa.RecordBatch:
        """The rows of a relation's Iceberg table that are not of these items."""
        columns = []
        for place, fields in enumerate(self._named(table)):
            values = [_texts(cast("pl.Series", pl.from_arrow(batch.column(field)))) for field in fields]
            columns.append(pl.select(pl.coalesce(values)).to_series().alias(str(place)))
        names = [one.name for one in columns]
        rows = pl.DataFrame(columns).with_row_index("row")
        kept = rows.join(self._rows, on=names, how="anti", maintain_order="left")
        return batch if len(kept) == len(rows) else batch.take(kept["row"].to_arrow())

    def _named(self, table: ColdTable) -> list[list[str]]:
        return [*([one.name for one in table.of(name)] for name in (*self._hot.keys, self._hot.version)), [MOVE]]


def counted(engine: SqlEngine, hot: Hot, relation: str, table: ColdTable, taken: TableName) -> int:
    """How many rows of a relation's Iceberg table are of the items in `taken`."""
    rows = ColdRows(table, taken, hot.keys, hot.version, hot.types[relation])
    return number(engine, Statement(rows.query(["COUNT(*)"])))


def _fetched(kind: SqlType) -> Any:
    """The type in polars of a value as `unloaded` selects it."""
    match kind.name:
        case "DECIMAL":
            return pl.Decimal(kind.size, kind.scale)
        case "BIGINT" | "TIMESTAMP" | "TIMESTAMPTZ":
            return pl.Int64
        case "DOUBLE PRECISION":
            return pl.Float64
        case "BOOLEAN":
            return pl.Boolean
        case "DATE":
            return pl.Date
        case _:
            return pl.String


def _texts(values: pl.Series) -> pl.Series:
    """Values of a key as texts: 5 and 5.00 are one key, as a column of whole numbers may have got decimals since."""
    kind = values.dtype
    if kind == pl.Binary:
        return values.bin.encode("hex")
    if isinstance(kind, pl.Datetime):
        return values.dt.epoch("us").cast(pl.String)
    if isinstance(kind, pl.Decimal):
        plain = [None if one is None else _plain(one) for one in values]
        return pl.Series(values.name, plain, dtype=pl.String)
    return values.cast(pl.String)


def _plain(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
