"""Queries of a tail's rows: which count, and which of them are newer than what the table knows."""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from dataclasses import dataclass

from ddb_assets.warehouse.clickhouse.sql import GONE, LOAD, ROWS, STREAM, TAIL, names, quoted, table
from ddb_assets.warehouse.sql.forgetting import VERSION


@dataclass(frozen=True)
class TailRows:
    """The tail of a root relation whose items have these key columns."""

    root: str
    keys: tuple[str, ...]

    @property
    def table(self) -> str:
        """The table of the root's rows."""
        return table(TAIL, self.root)

    @property
    def key(self) -> str:
        """The key columns."""
        return names(self.keys)

    @property
    def counts(self) -> str:
        """The condition that a row of the root counts: its load was decided, and no export has settled it."""
        said = table(STREAM, self.root)
        # guard: ClickHouse: the tail shows only what was decided
        decided = f"{quoted(LOAD)} IN (SELECT load FROM {said})"
        # guard: ClickHouse: the tail forgets
        settled = f"{quoted(VERSION)} >= (SELECT argMax(settled, number) FROM {said})"
        # guard: ClickHouse: a tail starts over with its table
        begun = f"{quoted(LOAD)} >= (SELECT argMax(since, number) FROM {said})"
        return f"{decided} AND {settled} AND {begun}"

    @property
    def newest(self) -> str:
        """The row of each item that was written last, by the stream's times; of two, the one that was read later."""
        return (
            f"SELECT {self.key}, {quoted(VERSION)}, {quoted(LOAD)}, {quoted(GONE)} FROM {self.table} WHERE {self.counts} "
            f"ORDER BY {quoted(VERSION)} DESC, {quoted(LOAD)} DESC LIMIT 1 BY {self.key}"
        )

    @property
    def newer(self) -> str:
        """Key and load of the rows of which the table knows no newer write. An equal one is the tail's (`sql/views.py`)."""
        version, load = quoted(VERSION), quoted(LOAD)
        known = (
            f"SELECT {self.key}, {version}, toUInt64(0) AS {load}, 0 AS `_ddb_said` FROM {table(ROWS, self.root)} "
            f"WHERE ({self.key}) IN (SELECT {self.key} FROM {self.table} WHERE {self.counts})"
        )
        said = f"SELECT {self.key}, {version}, {load}, 1 AS `_ddb_said` FROM {self.table} WHERE {self.counts}"
        return (
            f"SELECT {self.key}, {load} FROM (SELECT * FROM ({said} UNION ALL {known}) "
            f"ORDER BY {version} DESC, `_ddb_said` DESC, {load} DESC LIMIT 1 BY {self.key}) WHERE `_ddb_said` = 1"
        )
