"""What the lake has lost of a table that the ledger has loaded: everything, its Parquet, or its schema documents. Pure."""

from collections.abc import Iterator

from ddb_assets.contract.table import Table
from ddb_assets.status import remedies
from ddb_assets.status.codes import Finding
from ddb_assets.status.pictures import LakeSays, Silent, WarehouseSays
from ddb_assets.status.warehouse_findings import kept_beside


def lake_findings(table: Table, warehouse: WarehouseSays, lake: LakeSays) -> Iterator[Finding]:
    """What the lake lacks of the loads in the ledger."""
    where = f"lake {lake.root}"
    if isinstance(lake.schema, Silent):
        yield Finding("schemas_unreadable", lake.schema.reason, where)
    if not warehouse.loads:
        return
    anything = lake.receipts or lake.schema or any(one.parquet or one.export for one in lake.kept) or lake.flattened
    if not anything:
        yield Finding(
            "lake_lost",
            f"it has no export, Parquet, schema document or receipt of {table.name}, which was loaded "
            f"{len(warehouse.loads)} times: it was emptied, or is another one. The next window would begin other schema "
            "documents and be refused: bring the files back from a backup, or start the table over"
            f"{_deletes(table)}",
            where,
            remedies.load_in_full(table, restart=True) if table.full_stages else "",
        )
        return
    yield from _parquet(table, lake, where)
    yield from _schemas(table, warehouse, lake, where)


def _deletes(table: Table) -> str:
    """What starting over deletes that no full export brings back, as the end of a sentence."""
    kept = kept_beside(table)
    return f", which deletes {kept}" if kept else ""


def _parquet(table: Table, lake: LakeSays, where: str) -> Iterator[Finding]:
    gone = [one for one in lake.kept if not one.parquet]
    if gone:
        mends = table.source == "exports" and all(one.export for one in gone)
        if mends:
            exports = "their exports are there, and recover flattens them again"
        elif table.source == "exports":
            exports = "their exports are gone too: if the warehouse were lost, a new initial load would be needed"
        else:
            exports = "and the next scan brings it again"
        yield Finding(
            "parquet_lost",
            f"the Parquet of {' and '.join(one.load.export_id for one in gone)} is gone, which the warehouse would be rebuilt "
            f"from; {exports}",
            where,
            remedies.recover(table) if mends else remedies.load_in_full(table),
        )
    elif lake.without_parquet:
        yield Finding(
            "parquet_incomplete",
            f"{len(lake.without_parquet)} of the newest {lake.windows} windows that are loaded have no Parquet any more, the "
            f"first is {lake.without_parquet[0]}",
            where,
        )


def _schemas(table: Table, warehouse: WarehouseSays, lake: LakeSays, where: str) -> Iterator[Finding]:
    needed = max(load.schema_version for load in warehouse.loads)
    if isinstance(lake.schema, Silent):
        return
    found = lake.schema.version if lake.schema else 0
    ids = {one.schema_id for one in lake.kept if one.schema_id}
    if found < needed:
        has = f"version {found}" if found else "none"
        yield Finding(
            "schemas_lost",
            f"the warehouse was loaded with version {needed} of the schema documents, and there is {has}: without them columns "
            "would change their names, so loads would be refused",
            f"{where}/schemas/{table.name}",
            remedies.recover(table),
        )
    elif lake.schema and lake.schema.id and ids and lake.schema.id not in ids:
        yield Finding(
            "schemas_replaced",
            f"the schema documents are of the history {lake.schema.id}, the loaded rows of {', '.join(sorted(ids))}: they were "
            "lost and begun again, so loads are refused. Bring the former documents back from a backup, or start the table "
            f"over{_deletes(table)}",
            f"{where}/schemas/{table.name}",
            remedies.load_in_full(table, restart=True) if table.full_stages else "",
        )
