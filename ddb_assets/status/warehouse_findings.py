"""What the warehouse has lost of a table, or somebody has changed in it: loads, the ledger, tables, rows. Pure.

A restored warehouse and one that is behind look the same from within: both lack windows. So loads are looked for that the
ledger lacks although something else saw them: a receipt in the lake, or Dagster's event log.
"""

from collections.abc import Iterator
from datetime import datetime

from ddb_assets.contract.coverage import Coverage
from ddb_assets.contract.table import Table
from ddb_assets.status import remedies
from ddb_assets.status.codes import Finding
from ddb_assets.status.moments import said
from ddb_assets.status.pictures import DagsterSays, LakeSays, Pictures, WarehouseSays
from ddb_assets.warehouse.receipts import Receipt
from ddb_assets.warehouse.results import Recorded


def warehouse_findings(table: Table, seen: Pictures, warehouse: WarehouseSays) -> Iterator[Finding]:
    """What the warehouse has lost, and what was changed in it."""
    where = f"warehouse {warehouse.place}"
    if not warehouse.recorded.loads:
        yield from _without_ledger(table, seen, warehouse, where)
        return
    gone = [name for name, (_, now) in warehouse.recorded.differing.items() if now is None]
    todo, command = repair(table, warehouse.recorded)
    if gone:
        yield Finding(
            "table_dropped",
            f"{', '.join(gone)} was loaded and does not exist any more: it was dropped or renamed outside of loads. {todo}",
            where,
            command,
        )
    for name, (then, now) in warehouse.recorded.differing.items():
        if now is not None:
            what = "is empty" if not now else f"has {now:,}"
            yield Finding(
                "rows_changed",
                f"{name} had {then:,} rows after its newest load and {what}: it was truncated, changed or restored outside "
                f"of loads. {todo}",
                where,
                command,
            )
    yield from _restored(table, seen, warehouse, where)


def is_covered(recorded: Recorded, receipt: Receipt) -> bool:
    """Whether the ledger covers the time of a load that it does not have: then nothing of the load is missing."""
    coverage = recorded.coverage
    if coverage is None or receipt.until is None:
        return False
    if receipt.is_full or receipt.from_time is None:
        return receipt.until <= coverage.until
    return _spans(coverage, receipt.from_time, receipt.until)


def repair(table: Table, recorded: Recorded) -> tuple[str, str]:
    """What puts dropped or changed rows right, in words and as a command.

    Starting over replaces all rows, and deletes what is in no full export: versions of a history, and rows of deleted items.
    So a table that keeps these gets a new full load instead. There is no command where only a person can choose.
    """
    if not table.full_stages:
        return f"Start the table over {table.chain.restart}", ""
    over = remedies.recover(table, "--restart")
    kept = kept_beside(table)
    if not kept:
        return "Start the table over", over
    if recorded.differing.get(table.name, (0, 0))[1] is None:
        return f"Restore it from a backup, or start the table over, which deletes {kept}: {over}", ""
    return f"A new full load replaces the rows and leaves {kept} as they are", remedies.load_in_full(table)


def kept_beside(table: Table) -> str:
    """What a table has beside the items of its newest full export, which starting over deletes; empty for nothing."""
    kept = ["the versions of its history"] if table.history else []
    return " and ".join([*kept, *(["the rows of deleted items"] if table.soft_delete else [])])


def _without_ledger(table: Table, seen: Pictures, warehouse: WarehouseSays, where: str) -> Iterator[Finding]:
    """The ledger has no load: it was lost, or there never was one."""
    evidence = _evidence(seen)
    if table.name in warehouse.there:
        if warehouse.ours:
            then = "recover" if table.full_stages else f"start the table over {table.chain.restart}"
            yield Finding(
                "ledger_lost",
                f"the table {table.name} is there, and its ledger _ddb_loads__{table.name} has no load: the ledger was "
                f"dropped, or the table was restored without it. A load does not touch such a table. Put it aside (ALTER "
                f"TABLE {table.name} RENAME TO {table.name}_put_aside, and so each of its lists), then {then}",
                where,
                remedies.recover(table) if table.full_stages else "",
            )
        else:
            yield Finding(
                "name_taken",
                f"a table {table.name} is there that no load has made: rename it, or give the contract another `name`",
                where,
            )
    elif evidence:
        yield Finding(
            "warehouse_lost", f"it has nothing of {table.name}, but {evidence}", where, remedies.recover(table)
        )
    else:
        if table.full_stages:
            what, first = (
                f"{table.name} was never loaded: materialize {table.chain} first",
                remedies.load_in_full(table),
            )
        else:  # loads of a stream leave no receipts
            what, first = (
                f"it has nothing of {table.name}, which only a stream fills: materialize {table.chain} first",
                "",
            )
        yield Finding("never_loaded", what, where, first)
        if isinstance(seen.lake, LakeSays) and seen.lake.elsewhere:
            other = seen.lake.elsewhere[0]
            yield Finding(
                "loaded_elsewhere",
                f"the lake has receipts of loads of {table.name} into another warehouse, {other.warehouse}, the newest at "
                f"{said(other.loaded_at)}: look at the warehouse's URL",
                f"lake {seen.lake.root}",
            )


def _evidence(seen: Pictures) -> str:
    """Who says that the table was loaded, in words; empty if nobody does."""
    if isinstance(seen.lake, LakeSays) and seen.lake.lost:
        newest = seen.lake.lost[0]
        return (
            f"the lake has the receipt of load {newest.sequence} into it, at {said(newest.loaded_at)}: the warehouse was "
            "lost, or is a new one"
        )
    if isinstance(seen.dagster, DagsterSays) and seen.dagster.knows:
        since = seen.dagster.initial_load
        load = f"the initial load {since[1]} of {said(since[0])}" if since else "windows of it"
        return f"Dagster has loaded {load}: the warehouse was lost, or is another one"
    return ""


def _restored(table: Table, seen: Pictures, warehouse: WarehouseSays, where: str) -> Iterator[Finding]:
    """Loads that were committed and are not in the ledger, though later loads do not make up for them."""
    lost: dict[str, str] = {}
    if isinstance(seen.lake, LakeSays):
        for receipt in seen.lake.lost:
            if not is_covered(warehouse.recorded, receipt):
                lost[receipt.export_id] = (
                    f"load {receipt.sequence} of export {receipt.export_id}, committed at {said(receipt.loaded_at)}"
                )
    receipts = bool(lost)
    if isinstance(seen.dagster, DagsterSays):
        called = {export: f"export {export} of window {key}" for key, export in seen.dagster.called.items()}
        first = seen.dagster.initial_load
        if first and warehouse.coverage and first[0] > warehouse.coverage.until:
            called[first[1]] = f"the initial load {first[1]} of {said(first[0])}"
        lost = {**called, **lost}
    if not lost:
        return
    more = seen.lake.more_lost if isinstance(seen.lake, LakeSays) else 0
    newest = max((load.loaded_at for load in warehouse.loads if load.loaded_at), default=None)
    witness = "receipts in the lake" if receipts else "Dagster's event log"
    yield Finding(
        "warehouse_restored",
        f"{len(lost)}{f' and {more} more' if more else ''} loads were committed, as {witness} say, and the ledger does not "
        f"have them: {next(iter(lost.values()))}. The ledger ends with load "
        f"{warehouse.newest.sequence if warehouse.newest else 0}{f' of {said(newest)}' if newest else ''}, so an earlier "
        "state of the warehouse was restored",
        where,
        remedies.recover(table),
    )


def notes(warehouse: WarehouseSays) -> Iterator[Finding]:
    """What is worth knowing of its loads."""
    begun = warehouse.initial_load
    since = [load for load in warehouse.loads if begun is None or load.sequence >= begun[1].sequence]
    if unread := sum(load.quarantined for load in since):
        yield Finding(
            "quarantined",
            f"{unread:,} items since the newest initial load could not be read; the reports of their exports list them",
            f"warehouse {warehouse.place}",
        )


def _spans(coverage: Coverage, start: datetime, end: datetime) -> bool:
    """Whether no gap of the coverage is in this time."""
    return not any(begin < end and (close is None or close > start) for begin, close in coverage.gaps())
