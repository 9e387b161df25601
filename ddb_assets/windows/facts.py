"""What Dagster shows of a window, and what stays on a table's page after a window that changed nothing."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import dagster as dg

from ddb_assets.markdown import code
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.reported import newest_of
from ddb_assets.warehouse.bookkeeping import DELETED_AT, STALE_SINCE
from ddb_assets.windows.chain import InitialLoad


def covered(initial_load: InitialLoad, until: datetime | None) -> metadata.Metadata:
    """The facts of a window that needs nothing done, because the initial load has its changes.

    With `until` loaded windows have them: since the initial load no change is missing until then.
    """
    name = f"initial load {code(initial_load.export_id)} of {initial_load.time.isoformat(timespec='seconds')}"
    by = (
        f"windows loaded since the {name}, which leave no gap until {until.isoformat(timespec='seconds')}"
        if until
        else name
    )
    facts: metadata.Metadata = {
        metadata.COVERED: dg.MetadataValue.bool(True),
        "covered_by": dg.MetadataValue.text(initial_load.export_id),
        metadata.INITIAL_LOAD_TIME: dg.MetadataValue.timestamp(initial_load.time),
        metadata.SUMMARY: dg.MetadataValue.md(f"Covered by the {by}: there is nothing to export or to load."),
    }
    return facts | ({"shows_until": dg.MetadataValue.timestamp(until)} if until else {})


def of_window(facts: metadata.Metadata, rows: int) -> metadata.Metadata:
    """A relation's facts as those of one window of it, which had this many rows."""
    return facts | {"dagster/partition_row_count": dg.MetadataValue.int(rows)}


Made = Mapping[dg.AssetKey, metadata.Metadata]
"""The facts of the last window that a run made something for, which Dagster does not have until all are made."""


def standing(
    instance: dg.DagsterInstance,
    before: Mapping[dg.AssetKey, dg.AssetKey],
    made: Made,
    shown: Collection[str],
    asset: dg.AssetKey,
) -> metadata.Metadata:
    """What of `shown` an asset's page keeps when nothing was done for a window.

    `before` names, for each asset, the asset of the full export: the newer of the two has the facts, unless this run does.
    """
    facts = made.get(asset) or newest_of(instance, (before[asset], asset), metadata.COLUMNS)
    return {name: facts[name] for name in shown if name in facts}


def standing_table(
    instance: dg.DagsterInstance,
    before: Mapping[dg.AssetKey, dg.AssetKey],
    made: Made,
    sources: Mapping[dg.AssetKey, Sequence[dg.AssetKey]],
    asset: dg.AssetKey,
) -> metadata.Metadata:
    """What the page of a warehouse table keeps; its columns come from `sources`, even if `before` has the facts."""
    kept = standing(instance, before, made, (metadata.COLUMNS, metadata.ROWS, metadata.TABLE_NAME), asset)
    columns = kept.get(metadata.COLUMNS)
    if not isinstance(columns, dg.TableSchemaMetadataValue):
        return kept
    names = [column.name for column in columns.schema.columns if column.name not in (DELETED_AT, STALE_SINCE)]
    return kept | {metadata.LINEAGE: metadata.column_lineage(names, sources[asset])}
