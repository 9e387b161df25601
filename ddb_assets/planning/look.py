"""Asks the places of a table what there is, and rehearses its next load. Nothing is written anywhere. No dagster."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ddb_assets.aws.table import TableDescription, describe_table
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.costs.month import Known, all_items
from ddb_assets.costs.prices import Prices
from ddb_assets.errors import DdbAssetsError
from ddb_assets.flatten.profile import Seen, seen_of
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.planning.attempts import Kept, attempts, next_window
from ddb_assets.planning.differences import cadence_change
from ddb_assets.planning.plan import Plan
from ddb_assets.planning.upcoming import Origin
from ddb_assets.status.gather import PATIENCE, asked
from ddb_assets.status.pictures import Silent
from ddb_assets.warehouse.bookkeeping import live_name
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.protocol import Rehearses
from ddb_assets.warehouse.results import Recorded
from ddb_assets.warehouse.url import local_file, warehouse_kind

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS
    from ddb_assets.aws.storage import Storage
    from ddb_assets.warehouse.protocol import Warehouse

SHARED = "_ddb_loads"
"""The view of all ledgers."""
NOT_REHEARSED = "loads into this warehouse cannot be rehearsed: its columns, and what it refuses, are not in the plan"


class PlanError(DdbAssetsError):
    """There is not enough to plan with."""


def look(aws: "AWS", address: str, schemas: str, table: Table, prices: Prices) -> Plan:
    """The plan of one table. `schemas` is the folder of schema documents. What a place does not say is in the plan."""
    storage = aws.storage()
    described = asked(lambda: describe_table(aws.dynamodb(table.table), table.table))
    stored = asked(lambda: SchemaStore(storage, schemas).latest(table.name))
    profile = asked(lambda: _profile(storage, schemas, table))
    silent = {
        place: said.reason
        for place, said in (("dynamodb", described), ("lake", stored), ("profile", profile))
        if isinstance(said, Silent)
    }
    if isinstance(stored, Silent):
        return Plan(table, silent=silent)
    try:
        with _opened(aws, address, storage, table) as warehouse:
            recorded = warehouse.recorded(table.name)
            rehearsing = warehouse if isinstance(warehouse, Rehearses) else None
            if rehearsing is None:
                silent["rehearsal"] = NOT_REHEARSED
            kept = Kept(stored, None if isinstance(profile, Silent) else profile, recorded)
            origin = _origin(table, None if isinstance(described, Silent) else described, kept)
            names = other_names(warehouse, table, origin, recorded)
            return Plan(
                table,
                attempts(table, origin, kept, rehearsing),
                stored,
                cadence_change(table, recorded.coverage, next_window(table, recorded)),
                None if isinstance(described, Silent) else all_items(table, _known(described), prices),
                names,
                silent,
                loaded=bool(recorded.loads),
                new_live_view=_new_live_view(warehouse, table),
            )
    except PlanError as error:
        return Plan(table, stored=stored, silent={**silent, "plan": str(error)})
    except DdbAssetsError as error:
        return Plan(table, stored=stored, silent={**silent, "warehouse": str(error)})


def other_names(warehouse: "Warehouse", table: Table, origin: Origin, recorded: Recorded) -> list[str]:
    """The names under which the same DynamoDB table is loaded, if it has no loads under its own."""
    if recorded.loads:
        return []
    arn = origin.arn.replace("'", "''")
    query = (
        f'SELECT DISTINCT relation FROM "{warehouse.schema}"."{SHARED}" WHERE table_arn = \'{arn}\' ORDER BY relation'  # noqa: S608
    )
    try:
        return [str(name) for (name,) in warehouse.query(query) if name != table.name]
    except WarehouseError:
        return []  # nothing was ever loaded here


def _new_live_view(warehouse: "Warehouse", table: Table) -> str:
    if not table.stream or table.source == "stream":
        return ""
    name = live_name(table.name)
    return "" if name in warehouse.holdings(table.name).views else name


@contextmanager
def _opened(aws: "AWS", address: str, storage: "Storage", table: Table) -> "Iterator[Warehouse]":
    """The warehouse. A file that does not exist is an empty warehouse, and is not made."""
    file = local_file(address)
    with tempfile.TemporaryDirectory(prefix="ddb_assets-plan-") as folder:
        if file is not None and not file.is_file():
            address = f"{warehouse_kind(address)}:///{Path(folder, file.name)}"
        label = f"ddb_assets plan {table.name}"
        with open_warehouse(address, storage=storage, aws=aws, label=label, patience=PATIENCE) as warehouse:
            yield warehouse


def _origin(table: Table, described: TableDescription | None, kept: Kept) -> Origin:
    """Which table the next export is of. What DynamoDB does not say is as in what is loaded. Raises PlanError."""
    newest = max(kept.recorded.loads, key=lambda load: load.sequence, default=None)
    arn = described.arn if described else newest.table_arn if newest else kept.stored.table_arn if kept.stored else ""
    id_ = (described.id if described else None) or (newest.table_id if newest else "")
    key = table.key or (described and KeySchema.of(described.key_names))
    key = key or (KeySchema.of(kept.stored.key) if kept.stored else None)
    if not arn or key is None:
        raise PlanError(
            f"the ARN and the key of {table.table} are not known: DynamoDB did not answer, and nothing of the table "
            "is loaded yet"
        )
    return Origin(arn, id_, key)


def _profile(storage: "Storage", schemas: str, table: Table) -> Seen | None:
    store = SchemaStore(storage, schemas)
    found, where = store.profile(table.name), store.profile_uri(table.name)
    try:
        return None if found is None else seen_of(found, where)
    except ValueError as error:
        raise PlanError(f"{where}: {error}") from error


def _known(described: TableDescription) -> Known:
    return Known(size_bytes=described.size_bytes, on_demand=described.on_demand, has_pitr=True)
