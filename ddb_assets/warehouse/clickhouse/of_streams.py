"""How the load of a stream's records into the table itself differs from that of an export (`load.py`).

The position says whether the records are applied, and moves with the row of the ledger that decides. Of two writes with the
same time, the one that was read later wins. The ledger shows one load for all that the stream brought.
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from dataclasses import replace

from ddb_assets.contract.report import Report
from ddb_assets.contract.stages import Chain
from ddb_assets.warehouse.clickhouse import streams
from ddb_assets.warehouse.clickhouse.ledger import Entry, Ledger
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import LEDGER, literal, table
from ddb_assets.warehouse.clickhouse.streams import NONE, Streams
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.guards import refuse_stream
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import LoadResult
from ddb_assets.warehouse.sql.ledger import STREAM, LedgerRow, row_of
from ddb_assets.warehouse.sql.streams import is_done

KEPT_ROWS = 50
"""So many loads of a stream may be in the ledger before all but the newest are deleted."""


def asked(server: Server, report: Report, known: History, how: LoadOptions, moved: Moved) -> Streams | None:
    """The positions before the records are applied; None if they are applied already.

    Raises StreamMovedError if the records do not follow the position, and LoadError if they do not fit the table.
    """
    found = streams.read(server, report.root.name)
    if found is None:
        streams.provide(server, report.root.name)
    said = found or NONE
    if how.restart:
        said = said.started_over()
    refuse_stream(report, known, how.chain_of(report.name), tailed=bool(said.relations))
    # a start over is from the beginning, wherever the position is
    return None if is_done(said.position(moved.stream), moved) else said


def newest(said: Ledger, report: Report, chain: Chain) -> LedgerRow:
    """The newest load of a stream. Raises LoadError if the ledger has none."""
    rows = [entry.row for entry in said.done if entry.row.export_type == STREAM]
    if not rows:
        raise LoadError(
            f"the position in the stream says that {report.export_id} is in {report.root.name} already, but the ledger has no "
            f"load of a stream, so its rows have been deleted: start the table over {chain.restart}"
        )
    return rows[-1]


def row(report: Report, result: LoadResult, known: History) -> LedgerRow:
    """The row of the ledger, with the columns that earlier loads have filled."""
    own = row_of(report, result, None)
    of_load = own.relation_columns or {}
    names = known.columns.keys() | of_load.keys()
    columns = {name: sorted({*of_load.get(name, ()), *known.columns.get(name, ())}) for name in sorted(names)}
    return replace(own, export_type=STREAM, relation_columns=columns)


def forget_older(server: Server, said: Ledger, newest: Entry) -> None:
    """Deletes the rows of older loads of the stream, once there are many. `said` is the ledger before the newest load."""
    if sum(entry.row.export_type == STREAM for entry in said.every) < KEPT_ROWS:
        return
    server.execute(
        f"DELETE FROM {table(LEDGER, newest.row.relation)} WHERE export_type = {literal(STREAM)} AND NOT restarts "
        f"AND sequence < {newest.row.sequence}"
    )
