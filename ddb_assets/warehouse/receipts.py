"""Receipts of loads: one small file in the lake for each load that a warehouse has committed.

The ledger of a warehouse that was restored from a backup agrees with its tables, so nothing in the warehouse says that it is
older than it was. The receipts do: they name loads that the ledger does not have. Each is written after its load, once, and is
never changed. The name of its folder has the number and the id of the load, so finding those that are missing from a ledger
takes one listing of the newest names and reads no file.

    <receipts>/<table>/<ledger id>/<number>-<load id>/receipt.json
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from ddb_assets.aws.owned_folder import refuse_others
from ddb_assets.aws.storage import join
from ddb_assets.contract.durable import DurableFormat
from ddb_assets.contract.model import first_problem
from ddb_assets.contract.report import Report
from ddb_assets.errors import DdbAssetsError
from ddb_assets.warehouse.results import LoadResult

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

RECEIPT = "receipt.json"
FORMAT = DurableFormat("the receipt of a load")
LOOK_BACK = 200
"""How many loads before the ledger's newest one are compared with the receipts."""
_NAME = re.compile(r"(?P<sequence>[0-9]{10})-(?P<load>[0-9a-f]{16})")
_LEDGER = re.compile(r"[0-9a-f]{16}")


class ReceiptError(DdbAssetsError):
    """A receipt cannot be read."""


@dataclass(frozen=True)
class Named:
    """A receipt as the name of its folder has it: the load's number in its ledger, and its id."""

    ledger_id: str
    sequence: int
    load_id: str

    @property
    def name(self) -> str:
        return f"{self.sequence:010d}-{self.load_id}"


class Receipt(BaseModel):
    """A load that was committed. `warehouse` is the place of the warehouse, `folder` that of the flattened export."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    table: str
    table_id: str
    ledger_id: str
    load_id: str
    sequence: int
    export_id: str
    export_type: str
    export_time: AwareDatetime | None = None
    from_time: AwareDatetime | None = None
    to_time: AwareDatetime | None = None
    loaded_at: AwareDatetime
    warehouse: str
    folder: str

    @classmethod
    def of(cls, report: Report, result: LoadResult, warehouse: str, folder: str) -> "Receipt | None":
        """That of a load; None for one by an earlier version, which has no id."""
        if result.load_id is None or result.ledger_id is None:
            return None
        return cls(
            table=report.root.name,
            table_id=report.table_id,
            ledger_id=result.ledger_id,
            load_id=result.load_id,
            sequence=result.sequence,
            export_id=report.export_id,
            export_type=report.export_type,
            export_time=report.export_time,
            from_time=report.from_time,
            to_time=report.to_time,
            loaded_at=result.loaded_at,
            warehouse=warehouse,
            folder=folder,
        )

    @property
    def is_full(self) -> bool:
        """Whether it is of a full export; else it is of a window."""
        return self.export_type == "FULL_EXPORT"

    @property
    def until(self) -> datetime | None:
        """The time until which the load brought changes."""
        return self.to_time or self.export_time


def leave(storage: "Storage", receipts: str, receipt: Receipt) -> None:
    """Writes the receipt, unless it is there. Raises StorageError."""
    named = Named(receipt.ledger_id, receipt.sequence, receipt.load_id)
    storage.create(_uri(receipts, receipt.table, named), receipt.model_dump_json(indent=1).encode())


def with_receipt(
    storage: "Storage", receipts: Callable[[], str], report: Report, result: LoadResult, warehouse: str, folder: str
) -> LoadResult:
    """Leaves the receipt of a load below the folder `receipts`.

    If that fails, the load is done all the same, and a remark says so.
    """
    try:
        if receipt := Receipt.of(report, result, warehouse, folder):
            leave(storage, receipts(), receipt)
    # guard: a load stays done without its receipt
    except DdbAssetsError as error:
        remark = (
            f"the load is done, but its receipt could not be written, so `ddb-assets status` may not notice if a backup "
            f"from before it is restored; load it again to write the receipt: {error}"
        )
        return replace(result, remarks=(*result.remarks, remark))
    return result


def ledgers(storage: "Storage", receipts: str, table: str) -> list[str]:
    """The ids of the ledgers that have receipts of this table: usually one."""
    return [name for name in storage.folders(join(receipts, table)) if _LEDGER.fullmatch(name)]


def named(storage: "Storage", receipts: str, table: str, ledger_id: str, after: int = 0) -> Iterator[Named]:
    """The receipts of a ledger whose numbers are greater than `after`, by number. Reads names only."""
    for name in storage.folders(join(receipts, table, ledger_id), f"{max(after, 0):010d}"):
        if found := _NAME.fullmatch(name):
            yield Named(ledger_id, int(found["sequence"]), found["load"])


def there(storage: "Storage", receipts: str, table: str, which: Named) -> bool:
    """Whether there is this receipt. Raises StorageError."""
    return storage.exists(_uri(receipts, table, which))


def read(storage: "Storage", receipts: str, table: str, which: Named) -> Receipt:
    """Raises StorageError when it cannot be reached, ReceiptError when it is none, FormatVersionError for a newer one."""
    uri = _uri(receipts, table, which)
    try:
        return FORMAT.read(Receipt, storage.read(uri), uri)
    except ValidationError as error:
        raise ReceiptError(f"{uri} is not a receipt of a load: {first_problem(error)}") from None


def receipt_files(storage: "Storage", receipts: str, table: str) -> list[str]:
    """All receipts of a table. Raises FolderError for other files among them."""
    folder = join(receipts, table)
    present = [entry.uri for entry in storage.list(folder)]
    ours = re.compile(rf"{_LEDGER.pattern}/{_NAME.pattern}/{re.escape(RECEIPT)}")
    refuse_others(folder, present, lambda uri: ours.fullmatch(uri.removeprefix(f"{folder}/")))
    return present


def _uri(receipts: str, table: str, which: Named) -> str:
    return join(receipts, table, which.ledger_id, which.name, RECEIPT)
