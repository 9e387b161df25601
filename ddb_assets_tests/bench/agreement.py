"""The content of a contestant's Parquet, as figures that are equal only if the content is. So nobody wins by writing less.

`python -m … OUT [--sums]` prints them as one JSON line: the sums, and those with hashes unless only sums are wanted. It is
a process of its own, so that the measuring process stays small.
"""

import sys
from pathlib import Path
from typing import Any

import duckdb
import orjson

SUMS = {
    "orders": "count(*), count(note), count(coupon), sum(total)::DECIMAL(38, 2), sum(points)::BIGINT",
    "orders__items": "count(*), sum(quantity)::BIGINT, sum(price)::DECIMAL(38, 2)",
}
HASHES = {
    "orders": """bit_xor(hash((order_id, customer_id, epoch_us(created_at), status, total::DECIMAL(18, 2), points, paid,
        note, coupon, tags, address__street, address__city, address__postcode, address__geo__lat::DECIMAL(18, 6),
        address__geo__lon::DECIMAL(18, 6))))""",
    "orders__items": "bit_xor(hash((order_id, _ddb_index, sku, name, quantity, price::DECIMAL(18, 2))))",
}


def content(out: Path, *, sums_only: bool) -> dict[str, list[str]]:
    """Counts, sums and (unless left out) a hash over all values, per relation. The order of rows does not matter."""
    con = duckdb.connect(config={"threads": 2})
    figures: dict[str, list[str]] = {}
    for relation, sums in SUMS.items():
        wanted = sums if sums_only else f"{sums}, {HASHES[relation]}"
        files = [str(path) for path in out.glob(f"**/{relation}/**/*.parquet")]
        row: tuple[Any, ...] | None = con.execute(
            f"SELECT {wanted} FROM read_parquet($files)", {"files": files}
        ).fetchone()
        figures[relation] = [str(value) for value in row or ()]
    return figures


if __name__ == "__main__":
    wanted = (True,) if "--sums" in sys.argv else (True, False)
    found = [content(Path(sys.argv[1]), sums_only=sums_only) for sums_only in wanted]
    print(orjson.dumps(found).decode())  # noqa: T201 - its result
