"""What Dagster knows about a table's chain of windows: the initial load it starts from, and what was exported since.

Nothing is changed here. `contract/windows.py` has the arithmetic of windows, `exports/request.py` the requests to AWS.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from ddb_assets.contract.stages import Stage
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import Gap, Window, exported_as
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.request import TableExports
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.reported import newest
from ddb_assets.windows.coverage import MICROSECOND

UNFINISHED = [s for s in dg.DagsterRunStatus if s.name not in {"SUCCESS", "FAILURE", "CANCELED"}]


class ChainBrokenError(DdbAssetsError):
    """Changes can no longer be exported, or belong to another table: only a new initial load helps."""


class NoInitialLoadError(DdbAssetsError):
    """There is nothing yet that a window's changes could be applied to."""


@dataclass(frozen=True)
class InitialLoad:
    """The loaded full export: the time of its data, and the table that it is from."""

    time: datetime
    export_id: str
    table_arn: str
    table_id: str


def find_initial_load(instance: dg.DagsterInstance, table: Table) -> InitialLoad | None:
    """The table's loaded initial load, or newest full load where it has no windows, if there is one."""
    facts = newest(
        instance,
        metadata.key_of(table, "initial_load" if table.load == "upsert" else "warehouse"),
        metadata.INITIAL_LOAD_TIME,
        metadata.EXPORT_ID,
        metadata.TABLE_ARN,
        metadata.TABLE_ID,
    )
    if facts is None:
        return None
    return InitialLoad(
        time=_moment(facts[metadata.INITIAL_LOAD_TIME]),
        # the newest initial load is another export than the one just loaded, if that one is older and came late
        export_id=str(facts.get(metadata.INITIAL_LOAD_EXPORT_ID, facts[metadata.EXPORT_ID]).value),
        table_arn=str(facts[metadata.TABLE_ARN].value),
        table_id=str(facts[metadata.TABLE_ID].value),
    )


def known_initial_load(instance: dg.DagsterInstance, table: Table) -> InitialLoad:
    """The table's loaded initial load. Raises NoInitialLoadError, which says what to materialize."""
    if found := find_initial_load(instance, table):
        return found
    raise NoInitialLoadError(no_initial_load(table))


def no_initial_load(table: Table) -> str:
    """What to do when there is no initial load."""
    return (
        f"{table.name} has no initial load yet: materialize {table.full_chain}, then its windows (an initial load "
        "that was only reported by hand holds nothing)"
    )


def materialized(instance: dg.DagsterInstance, stage: Stage, table: Table) -> set[str]:
    """The partition keys that are materialized in this stage."""
    return instance.get_materialized_partitions(metadata.key_of(table, stage))


def window_facts(
    instance: dg.DagsterInstance, stage: Stage, table: Table, key: str
) -> Mapping[str, dg.MetadataValue] | None:
    """The metadata of the newest materialization of a window, if there is one."""
    where = {"window_export": (metadata.URI,), "window_parquet": (metadata.FOLDER,)}.get(stage, ())
    asset = metadata.key_of(table, stage)
    return newest(instance, asset, metadata.EXPORT_ID, *where, partition=key, instead=metadata.COVERED)


def same_window(facts: Mapping[str, dg.MetadataValue], start: datetime | None, end: datetime | None) -> bool:
    """Whether these facts are of an export of exactly this window; a partition has several once `cadence` has changed."""
    times = [facts[name].value for name in ("from_time", "to_time") if name in facts]
    return times == [time.timestamp() for time in (start, end) if time]


def called_loaded(instance: dg.DagsterInstance, table: Table, key: str, in_ledger: Set[str]) -> str:
    """The id of the export that Dagster calls loaded for a window and that the ledger does not have; empty for none."""
    facts = window_facts(instance, "warehouse", table, key)
    export_id = str(facts[metadata.EXPORT_ID].value) if facts and metadata.EXPORT_ID in facts else ""
    return "" if export_id in in_ledger else export_id


def needed_facts(
    context: dg.AssetExecutionContext, stage: Stage, table: Table, key: str
) -> Mapping[str, dg.MetadataValue]:
    """The metadata of a window that the next stage needs. Raises UpstreamError if there is none."""
    if found := window_facts(context.instance, stage, table, key):
        return found
    raise metadata.UpstreamError(
        f"{table.asset_name(stage)} has nothing for the window {key} yet, or only a report made by hand: materialize "
        "that partition first"
    )


def check_same_table(exports: TableExports, table: Table, initial_load: InitialLoad) -> None:
    """Raises ChainBrokenError when the table is not the one that the initial load was exported from."""
    if exports.table_id != initial_load.table_id:
        raise ChainBrokenError(
            f"table {table.table} was dropped and created again: its id is {exports.table_id}, that of the initial load "
            f"{initial_load.table_id}; materialize {table.full_chain} again, the windows continue from there"
        )


def check_obtainable(window: Window, earliest_restorable: datetime) -> None:
    """Raises ChainBrokenError when the window can no longer be exported."""
    if window.start < earliest_restorable:
        raise ChainBrokenError(str(Gap(window, earliest_restorable)))


def newest_is_exported(table: Table, initial_load: InitialLoad, done: set[str], now: datetime) -> bool:
    """Whether the newest window that has ended is exported, or the initial load leaves nothing of it to export.

    Older windows are not looked at: after `cadence` was shortened, most of them never have an export of their own.
    """
    newest = table.windows.window_at(table.windows.window_at(now).start - MICROSECOND)
    return table.windows.key(newest) in done or exported_as(table.windows, newest, initial_load.time) is None


def _moment(value: dg.MetadataValue) -> datetime:
    seconds = value.value
    if not isinstance(seconds, int | float):
        raise ChainBrokenError(
            f"the initial load's time is {seconds!r}, which is not a time: load the initial load again"
        )
    return datetime.fromtimestamp(seconds, UTC)
