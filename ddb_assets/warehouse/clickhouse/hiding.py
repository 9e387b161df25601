"""Paths that a contract hides. A load that hides one more takes its old values away, as `sql/hiding.py` does.

ClickHouse would change rows in place only one table after the other. So the load stages all rows that stay, with NULL where
they have old values, and hands them over together with those of the export.
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from collections.abc import Mapping
from dataclasses import dataclass, field

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Hidden, Report
from ddb_assets.warehouse.bookkeeping import DELETED_AT
from ddb_assets.warehouse.clickhouse.catalog import RowsTable
from ddb_assets.warehouse.clickhouse.ledger import Ledger
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import ROWS, quoted, table
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql.hiding import remark
from ddb_assets.warehouse.sql.tail import MARKS

_KEPT = f"SELECT count() FROM {{}} FINAL WHERE {quoted(DELETED_AT)} IS NOT NULL"


@dataclass(frozen=True)
class Hiding:
    """The paths that the contract hides, and how; and those of them that rows may still show."""

    paths: dict[str, str]
    new: tuple[Hidden, ...] = field(default=())

    @property
    def columns(self) -> dict[str, frozenset[str]]:
        """The columns, by relation, that may have old values."""
        names = {name for hidden in self.new for name in hidden.columns}
        return {name: frozenset(c for h in self.new for c in h.columns.get(name, ())) for name in names}

    @property
    def remarks(self) -> tuple[str, ...]:
        """A remark for each path that is hidden from now on."""
        return tuple(map(remark, self.new))


def hiding(server: Server, report: Report, said: Ledger, *, restart: bool) -> Hiding:
    """What the load must hide. Raises LoadError for an export that shows what the rows must not."""
    wanted = {hidden.path: hidden.how for hidden in report.hidden}
    before = {} if restart or not said.done else dict(said.done[-1].hidden)
    # guard: ClickHouse: hidden stays hidden
    if shown := sorted(before.keys() - wanted.keys()):
        raise LoadError(
            f"{', '.join(shown)} must not be seen in {report.root.name}, and the contract by which export {report.export_id} "
            "was flattened shows it: flatten it again; or, if it may be seen from now on, start the table over"
        )
    new = tuple(hidden for hidden in report.hidden if before.get(hidden.path) != hidden.how)
    # guard: ClickHouse: old values are hidden
    if new and said.done and not restart and _has_rows(server, report.root.name):
        return Hiding(wanted, new)
    return Hiding(wanted)


def check_shown(server: Server, report: Report, hides: Hiding, rows: Mapping[str, RowsTable]) -> None:
    """Raises LoadError for records of a stream beside rows that must not be seen, which only the load of an export changes."""
    root = report.root.name
    if hides.new:
        raise LoadError(
            f"{hides.new[0].path} is hidden now ({hides.new[0].how}), and rows of {root} have its old values, which the load "
            "of an export hides: load one first, flattened by this contract"
        )
    if root in rows and DELETED_AT in rows[root].types and server.value(_KEPT.format(table(ROWS, root))):
        raise LoadError(
            f"{root} keeps rows of deleted items (`soft_delete`), and the view of its tail would show them: load an export "
            "without `soft_delete` first, which takes them away"
        )


def without_marks(types: Mapping[str, SqlType]) -> dict[str, SqlType]:
    """The columns that a tail and its view have, too."""
    return {name: kind for name, kind in types.items() if name not in MARKS}


def hidden_columns(report: Report, relation: str) -> frozenset[str]:
    """The columns of a relation that may hold values which the contract hides."""
    return frozenset(name for found in report.hidden for name in found.columns.get(relation, ()))


def _has_rows(server: Server, root: str) -> bool:
    return bool(server.fetch(f"SELECT 1 FROM {table(ROWS, root)} FINAL LIMIT 1"))
