"""What the load of an export does to the tail and to the positions of streams, as one of its last steps (`publish.py`)."""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from collections.abc import Mapping

from ddb_assets.warehouse.clickhouse import streams
from ddb_assets.warehouse.clickhouse.ledger import Entry
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import STAGE, table
from ddb_assets.warehouse.clickhouse.streams import Streams
from ddb_assets.warehouse.sql.settling import Settled


def settle(server: Server, pending: Entry, planned: str, stages: Mapping[str, str]) -> Settled:
    """Moves what is `planned` for the table of positions; `stages` has the load's staging table of each relation.

    It can be done again. Each change needs a staging table, as every step of a decided load does.
    """
    root = pending.row.relation
    alive = f"(SELECT count() FROM {table(STAGE, stages[root])}) >= 0"
    if planned:
        streams.add(server, root, Streams.parse(planned), alive)
        return Settled()
    said = streams.read(server, root)
    if said and pending.restarts:
        streams.add(server, root, said.started_over(), alive)
    return Settled()
