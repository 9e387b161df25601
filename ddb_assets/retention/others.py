"""Who else may need what a table has in the lake: another warehouse, or a contract that this project does not have.

The receipts of loads in the lake say it. Every warehouse and every project that loads from a lake leaves them.
"""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ddb_assets.aws.storage import join
from ddb_assets.contract.table import Table
from ddb_assets.status.pictures import WarehouseSays
from ddb_assets.warehouse import receipts
from ddb_assets.warehouse.receipts import Receipt

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

ACTIVE = timedelta(days=35)
"""Whoever has loaded nothing for so long counts as abandoned: no window can reach back further."""


def other_warehouse(storage: "Storage", place: str, table: Table, warehouse: WarehouseSays, now: datetime) -> str:
    """Why nothing goes of a table that another warehouse loads from the lake, too; empty if none does.

    `place` is the folder of receipts.
    """
    for newest in _newest(storage, place, table.name, now):
        if newest.ledger_id != warehouse.recorded.ledger_id and newest.warehouse != warehouse.place:
            return (
                f"the lake has receipts of loads into another warehouse, {newest.warehouse}, the newest of "
                f"{newest.loaded_at.isoformat(timespec='minutes')}, and nobody knows what that still needs: wait "
                f"until it has loaded nothing for {ACTIVE.days} days, or if it is gone, delete its receipts in "
                f"{join(place, table.name, newest.ledger_id)}"
            )
    return ""


def undeclared(
    storage: "Storage", place: str, declared: Collection[Table], warehouse: WarehouseSays, now: datetime
) -> list[str]:
    """The names of tables that are not declared here, and that are loaded from the same DynamoDB table as this warehouse's."""
    known, ids = {table.name for table in declared}, {load.table_id for load in warehouse.loads}
    names = [name for name in storage.folders(place) if name not in known]
    return [name for name in names if any(one.table_id in ids for one in _newest(storage, place, name, now))]


def may_be_same(one: str, other: str) -> bool:
    """Whether two names or ARNs may be of one DynamoDB table. A name is of whatever account and Region the process is in."""
    both_arns = one.startswith("arn:") and other.startswith("arn:")
    return one == other if both_arns else one.rpartition("/")[2] == other.rpartition("/")[2]


def _newest(storage: "Storage", place: str, name: str, now: datetime) -> Iterator[Receipt]:
    """The newest receipt of each ledger of a table, of those that have loaded lately."""
    for ledger_id in receipts.ledgers(storage, place, name):
        for which in list(receipts.named(storage, place, name, ledger_id))[-1:]:
            found = receipts.read(storage, place, name, which)
            if found.loaded_at > now - ACTIVE:
                yield found
