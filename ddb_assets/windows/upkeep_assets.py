"""`iceberg/<table>_upkeep`: the Iceberg tables of one table are kept small in files and snapshots (`iceberg/upkeep.py`).

These are its tables of changes, and the tables of the warehouse if that is in Iceberg. Its numbers are plotted by Dagster. What
is deleted is only said, until the run's configuration asks for it.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from ddb_assets.aws.storage import Storage
from ddb_assets.changes.chosen import keeps_changes
from ddb_assets.changes.names import DAY, changes_name
from ddb_assets.contract.stages import Stage
from ddb_assets.contract.table import Table
from ddb_assets.flatten.names import relations
from ddb_assets.iceberg.catalog import open_catalog, translated
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.markdown import code
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.retries import RETRIES, explained_failure
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.iceberg import IcebergTarget
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.url import in_iceberg

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


def upkeep_asset(table: Table) -> dg.AssetsDefinition:
    """The asset of a table's Iceberg tables."""
    stage: Stage = "changes" if keeps_changes(table) else "warehouse"
    spec = metadata.asset_spec(
        "upkeep",
        table,
        table.name,
        description="Few large files, few snapshots and no orphan files in the Iceberg tables.",
        upstream=metadata.key_of(table, stage),
    )

    @dg.multi_asset(name=metadata.op_name("upkeep", table), specs=[spec], retry_policy=RETRIES)
    def upkeep(
        context: dg.AssetExecutionContext,
        config: UpkeepConfig,
        ddb_aws: AWSResource,
        ddb_iceberg: IcebergTarget,
        ddb_lake: Lake,
        ddb_warehouse: WarehouseTarget,
    ) -> dg.MaterializeResult[None]:
        with explained_failure():
            done: list[Kept] = []
            if keeps_changes(table):
                names = [changes_name(name) for name in relations(table).values()]
                done += _upkeep(ddb_aws, ddb_iceberg.address(ddb_lake), names, config, days=True)
            if in_iceberg(ddb_warehouse.address):
                with open_warehouse(ddb_warehouse.address, aws=ddb_aws.clients) as warehouse:
                    names = list(warehouse.holdings(table.name).tables)  # and finishes a load that was broken off
                done += _upkeep(ddb_aws, ddb_warehouse.address, names, config, days=False)
        for one in done:
            context.log.info(
                f"{one.name}: {one.written_again} files {'would be' if config.dry_run else 'were'} written again, "
                f"{one.expired} snapshots expired, {one.orphans} orphan files deleted"
            )
        return dg.MaterializeResult(asset_key=spec.key, metadata=_facts(done, config))

    return upkeep


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
        again, _ = upkeep.compact(table, DAY, now.date())
    old = upkeep.expirable(table, now - timedelta(days=config.snapshot_days), snapshots)
    if not config.dry_run:
        upkeep.expire(table, old)
    lost = upkeep.orphans(table, storage, now - timedelta(days=config.orphan_days))
    if not config.dry_run:
        storage.delete(entry.uri for entry in lost)
    name = ".".join(table.name())
    return Kept(name, upkeep.size(table), again, len(old), len(lost), sum(entry.size for entry in lost))


def _facts(done: list[Kept], config: UpkeepConfig) -> metadata.Metadata:
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
