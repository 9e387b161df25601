"""Makes what a load has staged valid, in steps that a reader does not see.

The load has been decided by then: the ledger has its `begun` row with this plan. If its process dies, the next load finds
the plan and does all steps again (`finish`). Each can be done again: rows that are there twice are one row to FINAL.

    rows of lists, versions ─► the root's rows: from here on all is seen ─► outdated rows go ─► positions ─► ledger row `done`

Rows of lists are not seen before their items are. The root's rows arrive in one commit, as one handing over of parts: added to
those that are there after a window, in place of them after a full export, which has every row.
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Self

from ddb_assets.flatten.schema import VERSION
from ddb_assets.warehouse.clickhouse import history_publish, ledger
from ddb_assets.warehouse.clickhouse.catalog import named
from ddb_assets.warehouse.clickhouse.inspection import seen
from ddb_assets.warehouse.clickhouse.ledger import Entry
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.settling import Unsettled, settle
from ddb_assets.warehouse.clickhouse.sql import GONE, LOAD, ROWS, STAGE, UNREAD, among, names, quoted, table
from ddb_assets.warehouse.clickhouse.version_staging import Kept
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.sql.settling import Settled


@dataclass(frozen=True)
class Plan:
    """What is left to do: `stages` has the staging table of each relation, the root first, maybe also of lists from before.

    `replaces`: the staged rows take the place of all rows. `seen` are the rows that people see and that have the number of the
    load. `lists` are the tables of every list that the table has ever had. `keys` are the item's key columns. `streams` is the
    row that the table of positions gets with a load of a stream's records, and `scan_ended` is when the export's scan ended
    (`settling.py`). `kept` is what is left to do for the history, if the load changes any. `unread` is the staging table of the
    items that could not be read, if the load changes what is known of them.
    """

    load: int
    replaces: bool
    keys: tuple[str, ...]
    stages: dict[str, str]
    lists: tuple[str, ...]
    seen: int
    streams: str = ""
    kept: Kept | None = None
    scan_ended: int | None = None
    unread: str = ""

    def text(self) -> str:
        """As the ledger keeps it."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """From what the ledger keeps."""
        found = json.loads(text)
        kept = Kept(**found["kept"]) if found.get("kept") else None
        return cls(**found | {"keys": tuple(found["keys"]), "lists": tuple(found["lists"]), "kept": kept})


def finish(server: Server, pending: Entry) -> tuple[Entry, Settled]:
    """Does the steps of a decided load; returns its entry with the rows that the tables have now, and what became of the tail.

    Raises WarehouseError when a step cannot be done; it is done with the next load then. If the lock is lost meanwhile, another
    load finishes this one: each step here needs a staging table, which is dropped when the load is done.
    """
    plan, relation = Plan.parse(pending.plan), pending.row.relation
    (root, staged), *children = plan.stages.items()
    every = [*plan.stages.values(), *([plan.unread] if plan.unread else [])]
    missing = {STAGE + name for name in every} - set(named(server, STAGE))
    if missing:
        raise WarehouseError(
            f"load {pending.row.sequence} of {relation} ({pending.row.export_id}) was decided and not finished, and its staged "
            f"rows are gone ({', '.join(sorted(missing))}): start the table over"
        )
    if plan.unread:
        _replace(server, table(UNREAD, root), plan.unread)
    for name, stage in children:
        _attach(server, name, stage)
    if plan.kept:
        history_publish.hand_over(server, root, plan.kept, plan.load)
    if plan.replaces:
        _replace(server, table(ROWS, root), staged)
        for name, stage in children:
            _replace(server, table(ROWS, name), stage)
    else:
        _attach(server, root, staged)
    if plan.keys:
        _clean(server, plan, root, {name for name, _ in children} if plan.replaces else set())
    there = _rows_of(server, root, plan)
    if there != plan.seen:
        raise WarehouseError(
            f"{plan.seen} rows of load {pending.row.sequence} went to {relation}, {there} are there: its tables were "
            "changed by something that is no load; start the table over"
        )
    if plan.kept:
        history_publish.clean(server, root, plan.kept, plan.load, plan.keys, VERSION, staged)
    settled = settle(server, pending, Unsettled(plan.streams, plan.scan_ended), plan.stages)
    # guard: ClickHouse: a load is finished without its view
    counted = {name: rows for name in pending.row.relation_rows if (rows := seen(server, name)) is not None}
    entry = ledger.done(pending, counted, datetime.now(UTC))
    ledger.end(server, entry)
    for stage in every:
        server.execute(f"DROP TABLE IF EXISTS {table(STAGE, stage)}")
    return entry, settled


def _attach(server: Server, name: str, stage: str) -> None:
    server.execute(f"ALTER TABLE {table(ROWS, name)} ATTACH PARTITION tuple() FROM {table(STAGE, stage)}")


def _replace(server: Server, place: str, stage: str) -> None:
    if server.value(f"SELECT count() FROM {table(STAGE, stage)}"):
        server.execute(f"ALTER TABLE {place} REPLACE PARTITION tuple() FROM {table(STAGE, stage)}")
    else:  # newer servers replace nothing by an empty table; attaching it fails if another load has finished this one
        # guard: ClickHouse: nothing is dropped too late
        server.execute(
            f"ALTER TABLE {place} ATTACH PARTITION tuple() FROM {table(STAGE, stage)}, DROP PARTITION tuple()"
        )


def _rows_of(server: Server, root: str, plan: Plan) -> int:
    own = f"{quoted(LOAD)} = {plan.load} AND {quoted(GONE)} = 0"
    return int(server.value(f"SELECT count() FROM {table(ROWS, root)} FINAL WHERE {own}"))


def _clean(server: Server, plan: Plan, root: str, replaced: set[str]) -> None:
    """Deletes the rows of lists that no view shows any more, as their item has been written again."""
    written, item = table(STAGE, plan.stages[root]), (*plan.keys, LOAD)
    for name in plan.lists:
        if name in replaced:
            continue
        outdated = f"NOT ({among(item, f'SELECT {names(item)} FROM {written}')})"
        if not plan.replaces:
            outdated += f" AND {among(plan.keys, f'SELECT {names(plan.keys)} FROM {written}')}"
        place = table(ROWS, name)
        if server.value(f"SELECT count() FROM {place} WHERE {outdated}"):
            server.execute(f"DELETE FROM {place} WHERE {outdated}")
