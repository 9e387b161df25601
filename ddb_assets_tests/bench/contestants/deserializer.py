"""A program written by hand with boto3: its TypeDeserializer item by item, flattened in Python, Parquet by pyarrow."""

import gzip
import json
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
from boto3.dynamodb.types import TypeDeserializer

ORDERS = pa.schema(
    [
        ("order_id", pa.string()),
        ("customer_id", pa.string()),
        ("created_at", pa.timestamp("us", "UTC")),
        ("status", pa.string()),
        ("total", pa.decimal128(18, 2)),
        ("points", pa.int64()),
        ("paid", pa.bool_()),
        ("note", pa.string()),
        ("coupon", pa.string()),
        ("tags", pa.string()),
        ("address__street", pa.string()),
        ("address__city", pa.string()),
        ("address__postcode", pa.string()),
        ("address__geo__lat", pa.decimal128(18, 6)),
        ("address__geo__lon", pa.decimal128(18, 6)),
    ]
)
LINES = pa.schema(
    [
        ("order_id", pa.string()),
        ("_ddb_index", pa.int64()),
        ("sku", pa.string()),
        ("name", pa.string()),
        ("quantity", pa.int64()),
        ("price", pa.decimal128(18, 2)),
    ]
)


def row(item: dict[str, Any]) -> dict[str, Any]:
    address = item["address"]
    return {
        "order_id": item["orderId"],
        "customer_id": item["customerId"],
        "created_at": datetime.fromisoformat(item["createdAt"]),
        "status": item["status"],
        "total": item["total"],
        "points": int(item["points"]),
        "paid": item["paid"],
        "note": item["note"],
        "coupon": item.get("coupon"),
        "tags": json.dumps(sorted(item["tags"]), separators=(",", ":"), ensure_ascii=False),
        "address__street": address["street"],
        "address__city": address["city"],
        "address__postcode": address["postcode"],
        "address__geo__lat": address["geo"]["lat"],
        "address__geo__lon": address["geo"]["lon"],
    }


def lines(item: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "order_id": item["orderId"],
            "_ddb_index": index,
            "sku": line["sku"],
            "name": line["name"],
            "quantity": int(line["quantity"]),
            "price": Decimal(line["price"]),
        }
        for index, line in enumerate(item["items"])
    ]


def main(source: str, out: str) -> None:
    deserialize = TypeDeserializer().deserialize
    for path in sorted((Path(source) / "data").iterdir()):
        found: dict[str, list[dict[str, Any]]] = {"orders": [], "orders__items": []}
        with gzip.open(path) as stream:
            for text in stream:
                item = deserialize({"M": json.loads(text)["Item"]})
                found["orders"].append(row(item))
                found["orders__items"] += lines(item)
        for (name, rows), schema in zip(found.items(), (ORDERS, LINES), strict=True):
            folder = Path(out) / name
            folder.mkdir(parents=True, exist_ok=True)
            table = pa.Table.from_pylist(rows, schema)
            pyarrow.parquet.write_table(table, folder / f"{path.stem}.parquet", compression="zstd")


if __name__ == "__main__":
    main(*sys.argv[1:])
