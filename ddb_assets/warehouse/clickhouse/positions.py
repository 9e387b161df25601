"""Where a table has been read to in a stream, and how that moves without records of the table."""

from functools import partial

from ddb_assets.logs import about
from ddb_assets.streams.position import BEGINNING_OF_STREAM, Position
from ddb_assets.warehouse.clickhouse import catalog, ledger, streams, tidying
from ddb_assets.warehouse.clickhouse.ledger import Ledger
from ddb_assets.warehouse.clickhouse.load import drop_leftovers
from ddb_assets.warehouse.clickhouse.lock import Lock
from ddb_assets.warehouse.clickhouse.publish import Plan, finish
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import TAIL
from ddb_assets.warehouse.clickhouse.streams import NONE, Streams
from ddb_assets.warehouse.clickhouse.tail_tables import is_lost
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.sql.load import tried
from ddb_assets.warehouse.sql.streams import is_done


def position(server: Server, root: str, stream: str) -> Position:
    """See `Warehouse.stream_position`. A load that is decided counts, whether it is finished or not."""
    pending = ledger.read(server, root).pending
    if pending and (planned := Plan.parse(pending.plan).streams):
        return Streams.parse(planned).position(stream)
    said = streams.read(server, root) or NONE
    lost = said.relations and is_lost(said, catalog.tables(server, said.relations, TAIL))
    return BEGINNING_OF_STREAM if lost else said.position(stream)


def move(server: Server, root: str, moved: Moved, *, patience: float) -> None:
    """See `Warehouse.move_stream`."""
    what = f"table {root}: position in {moved.stream}"
    tried(partial(_move, server, root, moved, patience), what, about(root))


def _move(server: Server, root: str, moved: Moved, patience: float) -> None:
    with Lock(server, root, patience=patience) as lock:
        _, said = provided(server, lock, root)
        if said.relations and is_lost(said, catalog.tables(server, said.relations, TAIL)):
            said = said.started_over()
            streams.decide(server, lock, root, said)
        if is_done(said.position(moved.stream), moved):
            return
        after = said.moved(moved)
        streams.decide(server, lock, root, after)
        if tidying.is_due(after):
            tidying.tidy(server, root, after)


def provided(server: Server, lock: Lock, root: str) -> tuple[Ledger, Streams]:
    """Under the lock: what the ledger and the table of positions say, which are created if they are missing.

    A load that was decided is finished first. What others have staged is dropped, as each load does that takes the lock.
    """
    loads = ledger.read(server, root)
    # guard: ClickHouse: a decided load is finished before a position moves
    if loads.pending:
        finish(server, loads.pending)
        loads = ledger.read(server, root)
    drop_leftovers(server, lock, root)
    said = streams.read(server, root)
    if said is None:
        ledger.provide(server, root)
        streams.provide(server, root)
    return loads, said or NONE
