"""`iceberg/<table>_upkeep`: the Iceberg tables of one table are kept small in files and snapshots (`iceberg/upkeep.py`).

These are its tables of changes, those of its cold rows, and the tables of the warehouse if that is in Iceberg. Its numbers are
plotted by Dagster. What is deleted is only said, until the run's configuration asks for it.
"""

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from ddb_assets.aws.storage import Storage
from ddb_assets.changes.chosen import keeps_changes
from ddb_assets.changes.names import changes_name
from ddb_assets.contract.stages import Stage
from ddb_assets.contract.table import Table
from ddb_assets.flatten.names import relations
from ddb_assets.iceberg.catalog import open_catalog, translated
from ddb_assets.iceberg.properties import check_version
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.markdown import code
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.retries import explained_failure
from ddb_assets.orchestration.step import step
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.iceberg import IcebergTarget
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.shared import WAREHOUSE
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.protocol import CompactOptions
from ddb_assets.warehouse.results import ColdCompaction
from ddb_assets.warehouse.url import in_iceberg
from ddb_assets.windows.table_assets import has_cold_tables

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable

    from ddb_assets.iceberg.upkeep import Size


class UpkeepConfig(dg.Config):
    """The Launchpad's options."""

    dry_run: bool = Field(
        default=True, description="only say what would be written again and deleted; false: do it, for good"
    )
    snapshot_days: int = Field(default=7, ge=1, description="snapshots that are older expire, except current ones")
    orphan_days: int = Field(default=3, ge=1, description="files that nothing names are deleted if they are older")


@dataclass(frozen=True)
class Kept:
    """What was done, or would be, to one Iceberg table, and its size afterwards."""

    name: str
    size: "Size"
    written_again: int
    expired: int
    orphans: int
    orphan_bytes: int
    taken_away: int = 0


def upkeep_asset(table: Table) -> dg.AssetsDefinition:
    """The asset of a table's Iceberg tables."""
    stage: Stage = (
        "changes" if keeps_changes(table) else "cold" if has_cold_tables(table, WAREHOUSE.address) else "warehouse"
    )
    spec = metadata.asset_spec(
        "upkeep",
        table,
        table.name,
        description="Few large files, few snapshots and no orphan files in the Iceberg tables.",
        upstream=[metadata.key_of(table, stage)],
    )

    @step(name=metadata.op_name("upkeep", table), specs=[spec])
    def upkeep(
        context: dg.AssetExecutionContext,
        config: UpkeepConfig,
        ddb_aws: AWSResource,
        ddb_iceberg: IcebergTarget,
        ddb_lake: Lake,
        ddb_warehouse: WarehouseTarget,
    ) -> Iterator[dg.MaterializeResult[None]]:
        with explained_failure():
            done: list[Kept] = []
            superseded = None
            if keeps_changes(table):
                names = [changes_name(name) for name in relations(table).values()]
                done += _upkeep(ddb_aws, ddb_iceberg.address(ddb_lake), names, config, days=True)
            if in_iceberg(ddb_warehouse.address):
                with open_warehouse(ddb_warehouse.address, aws=ddb_aws.clients) as warehouse:
                    names = list(warehouse.holdings(table.name).tables)  # and finishes a load that was broken off
                done += _upkeep(ddb_aws, ddb_warehouse.address, names, config, days=False)
            if has_cold_tables(table, ddb_warehouse.address):
                compacted = _compacted(table, ddb_aws, ddb_warehouse.address, ddb_iceberg.address(ddb_lake), config)
                superseded = compacted.superseded
                done += _cold(ddb_aws, ddb_iceberg.address(ddb_lake), compacted, config)
        for one in done:
            context.log.info(
                f"{one.name}: {one.written_again} files {'would be' if config.dry_run else 'were'} written again, "
                f"{one.expired} snapshots expired, {one.orphans} orphan files deleted"
            )
        yield dg.MaterializeResult(asset_key=spec.key, metadata=_facts(done, config, superseded))

    return upkeep


def _compacted(table: Table, aws: AWSResource, address: str, catalog: str, config: UpkeepConfig) -> ColdCompaction:
    """Takes superseded rows out of the Iceberg tables of cold rows, which needs the warehouse: it knows which ones are."""
    clients, label = aws.clients, f"ddb_assets {table.name} upkeep"
    with open_warehouse(address, storage=clients.storage(), aws=clients, label=label) as warehouse:
        return warehouse.compact_cold(table.name, CompactOptions(catalog=catalog, dry_run=config.dry_run))


def _cold(aws: AWSResource, url: str, compacted: ColdCompaction, config: UpkeepConfig) -> list[Kept]:
    """The rest of the upkeep of the tables of cold rows."""
    relations = {name: relation for relation, name in compacted.tables.items()}
    kept = _upkeep(aws, url, [name.rpartition(".")[2] for name in relations], config, days=False)
    return [
        replace(
            one,
            written_again=compacted.files_before.get(relations[one.name], 0),
            taken_away=compacted.rows.get(relations[one.name], 0),
        )
        for one in kept
    ]


def _upkeep(aws: AWSResource, url: str, names: list[str], config: UpkeepConfig, *, days: bool) -> list[Kept]:
    from pyiceberg.exceptions import NoSuchTableError

    from ddb_assets.iceberg import upkeep

    parsed = CatalogUrl.parse(url)
    storage = aws.clients.storage() if parsed.needs_aws else Storage()
    done, tables = [], []
    with open_catalog(parsed, aws.clients) as catalog:
        for name in names:
            with translated(f"{parsed.namespace}.{name} cannot be read"), suppress(NoSuchTableError):
                tables.append(catalog.load_table((parsed.namespace, name)))
        kept = upkeep.listed(tables)
        for found in tables:
            name = ".".join(found.name())
            if parsed.kind == "s3tables":  # the service itself does all of it
                done.append(Kept(name, upkeep.size(found), 0, 0, 0, 0))
            elif upkeep.ours(found):
                check_version(found.properties, name)
                with translated(name):
                    found.refresh()
                    done.append(_kept(found, kept, storage, config, days=days))
    return done


def _kept(
    table: "IcebergTable", snapshots: Collection[int], storage: Storage, config: UpkeepConfig, *, days: bool
) -> Kept:
    """Upkeep of one table, in the order in which each makes work for the next.

    `snapshots` do not expire. `days`: the table is partitioned by day.
    """
    from ddb_assets.iceberg import upkeep

    now = datetime.now(UTC)
    again = sum(map(len, upkeep.scattered(table, now.date()).values())) if days else 0
    if again and not config.dry_run:
        again, _ = upkeep.compact(table, now.date())
    old = upkeep.expirable(table, now - timedelta(days=config.snapshot_days), snapshots)
    if not config.dry_run:
        upkeep.expire(table, old)
    lost = upkeep.orphans(table, storage, now - timedelta(days=config.orphan_days))
    if not config.dry_run:
        storage.delete(entry.uri for entry in lost)
    name = ".".join(table.name())
    return Kept(name, upkeep.size(table), again, len(old), len(lost), sum(entry.size for entry in lost))


def _facts(done: list[Kept], config: UpkeepConfig, superseded: int | None) -> metadata.Metadata:
    numbers = {
        "rows": sum(one.size.rows for one in done),
        "files": sum(one.size.files for one in done),
        "small_files": sum(one.size.small for one in done),
        "bytes": sum(one.size.bytes for one in done),
        "snapshots": sum(one.size.snapshots for one in done),
        "files_written_again": sum(one.written_again for one in done),
        "snapshots_expired": sum(one.expired for one in done),
        "orphan_files": sum(one.orphans for one in done),
        "orphan_bytes": sum(one.orphan_bytes for one in done),
    }
    if superseded is not None:
        numbers |= {"cold_rows_taken_away": sum(one.taken_away for one in done), "cold_items_superseded": superseded}
    facts: metadata.Metadata = {name: dg.MetadataValue.int(number) for name, number in numbers.items()}
    facts["dry_run"] = dg.MetadataValue.bool(config.dry_run)
    facts[metadata.SUMMARY] = metadata.markdown(
        ("Table", "Rows", "Files", "Small files", "Bytes", "Snapshots", "Written again", "Expired", "Orphans"),
        [
            (
                code(one.name),
                *(
                    f"{n:,}"
                    for n in (one.size.rows, one.size.files, one.size.small, one.size.bytes, one.size.snapshots)
                ),
                *(f"{n:,}" for n in (one.written_again, one.expired, one.orphans)),
            )
            for one in done
        ],
        "Nothing was changed: `dry_run` is on." if config.dry_run else "",
    )
    return facts
