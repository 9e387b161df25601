"""By which calls an import writes, what that is estimated to cost, and why: the plan that is shown before it begins.

Pure. ImportTable makes new tables only. It costs less than writes, and AWS says nothing about its time, which is minutes at
least. Writes begin at once, at what a new on-demand table takes. A bulk put fills a table that exists. Its price is not known
to us, so it is never chosen, only asked for.
Facts: Amazon DynamoDB pricing (an import from S3 is billed by the GB of uncompressed data, a write request unit is 1 KB);
Developer Guide, "On-demand capacity mode" (a new table takes 4,000 writes a second).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ddb_assets.costs.prices import GB, prices

Method = Literal["import-table", "bulk-put", "batch-write", "put-item"]
"""`put-item` writes one item with each request: a condition needs that. `bulk-put` is StartBulkPutItems."""

NEW_TABLE_WCU = 4000
SMALL_BYTES, LARGE_BYTES = 256 << 20, 10 << 30
UNPACKED = 4
"""How many bytes of items a byte of a compressed file is taken for."""
_PACKED = (".gz", ".zst", ".parquet")


@dataclass(frozen=True)
class ImportPlan:
    """The method and the reason. The bytes are those of the files, and of their items if they were uncompressed, estimated.

    `costs` has the estimated US dollars of each method that is possible, and `seconds` the least time of writes.
    """

    method: Method
    reason: str
    files: int
    file_bytes: int
    item_bytes: int
    costs: dict[Method, float]
    seconds: float


def plan_import(
    sizes: Sequence[tuple[str, int]],
    *,
    indexes: int,
    new: bool,
    obstacles: Sequence[str],
    conditional: bool,
    puts: bool = False,
    asked: Method | None = None,
    price: float | None = None,
) -> ImportPlan:
    """`sizes` are the names and bytes of the files, `indexes` the global indexes, which are written too.

    `new`: the table does not exist. `obstacles` say why ImportTable, or the bulk put that is asked for, cannot be used.
    `conditional` writes are sent one by one. `puts`: nothing but puts is asked for, so a bulk put can be named. Raises
    ValueError, with the obstacle, if a method is asked for and cannot be used. A million WCUs costs `price` US dollars, by
    default as listed.
    """
    at = prices().dynamodb
    item_bytes = sum(size * (UNPACKED if name.lower().endswith(_PACKED) else 1) for name, size in sizes)
    writes = item_bytes / 1024 * (1 + indexes)
    written: Method = "put-item" if conditional else "batch-write"
    costs: dict[Method, float] = {written: writes * (at.million_writes if price is None else price) / 1e6}
    if new and not obstacles:
        costs["import-table"] = item_bytes / GB * at.import_gb
    method, reason = _chosen(item_bytes, written, new=new, obstacles=obstacles, asked=asked)
    if asked is None and not new and puts and item_bytes >= LARGE_BYTES:
        reason += (
            ". For so many bytes AWS also has bulk puts: ask for one with --method bulk-put and --staging s3://…; what it "
            "costs is on AWS's price list"
        )
    file_bytes = sum(size for _, size in sizes)
    return ImportPlan(method, reason, len(sizes), file_bytes, item_bytes, costs, writes / NEW_TABLE_WCU)


def _chosen(
    item_bytes: int, written: Method, *, new: bool, obstacles: Sequence[str], asked: Method | None
) -> tuple[Method, str]:
    if asked == "import-table":
        if obstacles or not new:
            raise ValueError(obstacles[0] if new else "the table exists, and ImportTable only makes new ones")
        return asked, "it was asked for"
    if asked == "bulk-put":
        if obstacles or new:
            raise ValueError(
                "the table does not exist, and a bulk put only fills one that does" if new else obstacles[0]
            )
        return asked, "it was asked for; what it costs is on AWS's price list"
    if not new:
        return written, "the table exists, and ImportTable only makes new ones"
    if asked is not None:
        return written, "it was asked for"
    if obstacles:
        return written, obstacles[0]
    if item_bytes < SMALL_BYTES:
        return written, "it is quicker for so few bytes: ImportTable takes minutes whatever their number"
    return "import-table", "it costs less, and has no limit of rate"
