"""Where a table has been read to in a stream, and how that moves without records of the table."""

from functools import partial

from ddb_assets.logs import about
from ddb_assets.streams.position import Position
from ddb_assets.warehouse.clickhouse import ledger, streams
from ddb_assets.warehouse.clickhouse.lock import Lock
from ddb_assets.warehouse.clickhouse.publish import Plan, finish
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.streams import NONE, Streams
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.sql.load import tried
from ddb_assets.warehouse.sql.streams import is_done


def position(server: Server, root: str, stream: str) -> Position:
    """See `Warehouse.stream_position`. A load that is decided counts, whether it is finished or not."""
    pending = ledger.read(server, root).pending
    if pending and (planned := Plan.parse(pending.plan).streams):
        return Streams.parse(planned).position(stream)
    return (streams.read(server, root) or NONE).position(stream)


def move(server: Server, root: str, moved: Moved, *, patience: float) -> None:
    """See `Warehouse.move_stream`."""
    what = f"table {root}: position in {moved.stream}"
    tried(partial(_move, server, root, moved, patience), what, about(root))


def _move(server: Server, root: str, moved: Moved, patience: float) -> None:
    with Lock(server, root, patience=patience) as lock:
        said = provided(server, root)
        if not is_done(said.position(moved.stream), moved):
            streams.decide(server, lock, root, said.moved(moved))


def provided(server: Server, root: str) -> Streams:
    """Under the lock: what the table of positions says, which is created if it is missing. A decided load is finished first."""
    pending = ledger.read(server, root).pending
    # guard: ClickHouse: a decided load is finished before a position moves
    if pending:
        finish(server, pending)
    said = streams.read(server, root)
    if said is None:
        ledger.provide(server, root)
        streams.provide(server, root)
    return said or NONE
