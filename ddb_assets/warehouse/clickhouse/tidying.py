"""Deletes rows of a tail that no view shows any more, and rows of positions that nobody needs. What is shown stays the same."""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from ddb_assets.warehouse.clickhouse.catalog import of_root
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import LOAD, STREAM, TAIL, names, quoted, table
from ddb_assets.warehouse.clickhouse.streams import NEVER, Streams, first_load
from ddb_assets.warehouse.clickhouse.tail_rows import TailRows

EVERY = 200
"""So many moves of positions are between two looks for such rows. The load of an export looks, too."""


def tidy(server: Server, root: str, said: Streams) -> None:
    """Deletes them; `said` is the newest row of positions. A load that is not decided yet loses nothing."""
    own, load = table(TAIL, root), quoted(LOAD)
    # guard: ClickHouse: rows of a later load
    older = f"{load} < {first_load(said.number + 1)}"
    names_, keys = of_root(server, TAIL, root), said.keys
    if f"{TAIL}{root}" in names_ and keys:
        item = names((*keys, LOAD))
        _delete(server, own, f"{older} AND ({item}) NOT IN (SELECT {item} FROM ({TailRows(root, keys).newest}))")
        for name in names_:
            if name != f"{TAIL}{root}":
                of_list = table(TAIL, name.removeprefix(TAIL))
                _delete(server, of_list, f"{older} AND ({item}) NOT IN (SELECT {item} FROM {own})")
        needed = f"(SELECT {load} FROM {own})"
    else:
        needed = f"(SELECT toUInt64({NEVER}))"
    _delete(server, table(STREAM, root), f"number < {said.number} AND (load = {NEVER} OR load NOT IN {needed})")


def is_due(said: Streams) -> bool:
    """Whether it is time to look."""
    return said.number % EVERY == 0


def _delete(server: Server, place: str, where: str) -> None:
    if server.value(f"SELECT count() FROM {place} WHERE {where}"):
        server.execute(f"DELETE FROM {place} WHERE {where}")
