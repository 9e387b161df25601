"""The views that show table and tail as one: `<relation>_live`. A view is created again only if it must show something else.

A view shows the rows of the table's own view, without the items of which the tail says something newer, and those rows of the
tail. Rows of lists go with their item.
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

import hashlib
from collections.abc import Mapping
from functools import partial

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Report
from ddb_assets.warehouse.bookkeeping import live_name
from ddb_assets.warehouse.clickhouse import streams, tail_tables, tidying
from ddb_assets.warehouse.clickhouse.catalog import LIVE, standings
from ddb_assets.warehouse.clickhouse.fence import Fence
from ddb_assets.warehouse.clickhouse.lock import Lock
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import GONE, LOAD, TAIL, literal, names, quoted, table
from ddb_assets.warehouse.clickhouse.tail_rows import TailRows
from ddb_assets.warehouse.errors import LoadError


def show(
    server: Server,
    fence: Fence,
    root: str,
    keys: tuple[str, ...],
    types: Mapping[str, Mapping[str, SqlType]],
    about: str,
) -> None:
    """Creates the views of these relations; `types` has their columns. Raises LoadError for a name that is somebody else's.

    Table and tail are compared by the keys of items. As long as there was no item, these are not known, and there are no views.
    """
    if not keys:
        return
    views = {live_name(name): (_text(TailRows(root, keys), name, own), own) for name, own in types.items()}
    there = standings(server, views)
    for view, (text, own) in views.items():
        typed = [(column, str(kind)) for column, kind in own.items()]
        comment = f"{LIVE}{about}#{hashlib.sha256(f'{text}{typed}'.encode()).hexdigest()[:16]} {root}"
        found = there.get(view)
        # guard: ClickHouse: a live view's name of somebody else
        if found and not found.comment.startswith(LIVE):
            raise LoadError(
                f"{view} must show a table together with what its stream says, but there is something of that name that no "
                f"load has created ({found.engine}): rename it"
            )
        if not found or found.comment != comment:
            fence.put(quoted(view), partial(_creation, text, comment), there=found is not None)


def _creation(text: str, comment: str, place: str) -> list[str]:
    return [f"CREATE VIEW {place} AS {text} COMMENT {literal(comment)}"]


def follow(
    server: Server,
    fence: Fence,
    lock: Lock,
    report: Report,
    types: Mapping[str, Mapping[str, SqlType]],
    keys: tuple[str, ...],
    *,
    restart: bool,
) -> None:
    """Gives the tail the columns that the tables of an export have by now, and its views; nothing without a tail.

    With a restart, values that do not fit the columns go: the tail starts over right away, and not only with the load.
    """
    root = report.root.name
    said = streams.read(server, root)
    there = said and tail_tables.existing(server, said, types)
    if not (said and there):
        return
    if restart and tail_tables.losing(server, types, there):
        over = said.started_over()
        streams.decide(server, lock, root, over)
        tidying.tidy(server, root, over)
    tail_tables.mirror(server, fence, root, types, there)
    show(server, fence, root, keys, types, report.table_arn)


def _text(tail: TailRows, name: str, types: Mapping[str, SqlType]) -> str:
    columns, item = names(types), names((*tail.keys, LOAD))
    present = f" AND {quoted(GONE)} = 0" if name == tail.root else ""
    return (
        f"SELECT {columns} FROM {quoted(name)} WHERE ({tail.key}) NOT IN (SELECT {tail.key} FROM ({tail.newer})) "
        f"UNION ALL SELECT {columns} FROM {table(TAIL, name)} WHERE ({item}) IN ({tail.newer}){present}"
    )
