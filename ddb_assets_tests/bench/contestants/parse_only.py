"""The lower bound: gunzip and JSON parsing of the same bytes to columns of DynamoDB's types, and nothing more.

`python -m … EXPORT polars|pyarrow`. It reads files one after another, so only its CPU time counts.
"""

import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.json
from isal import igzip

BLOCK_BYTES = 8 << 20  # the size that `flatten` uses; larger blocks cost more, because their memory is new each time
TEXT, NUMBER = pa.struct([("S", pa.string())]), pa.struct([("N", pa.string())])


def _map(**fields: pa.DataType) -> pa.DataType:
    return pa.struct([("M", pa.struct(list(fields.items())))])


ITEM = pa.struct(
    {
        "orderId": TEXT,
        "customerId": TEXT,
        "createdAt": TEXT,
        "status": TEXT,
        "total": NUMBER,
        "points": NUMBER,
        "paid": pa.struct([("BOOL", pa.bool_())]),
        "note": pa.struct([("S", pa.string()), ("NULL", pa.bool_())]),
        "coupon": TEXT,
        "tags": pa.struct([("SS", pa.list_(pa.string()))]),
        "address": _map(street=TEXT, city=TEXT, postcode=TEXT, geo=_map(lat=NUMBER, lon=NUMBER)),
        "items": pa.struct([("L", pa.list_(_map(sku=TEXT, name=TEXT, quantity=NUMBER, price=NUMBER)))]),
    }.items()
)
SCHEMA = pa.schema([("Item", ITEM)])


def with_polars(data: bytes) -> int:
    dtype = pl.Struct(pl.DataFrame(pl.from_arrow(SCHEMA.empty_table())).schema)
    return len(pl.read_lines(data).to_series().str.json_decode(dtype))


def with_pyarrow(data: bytes) -> int:
    options = pyarrow.json.ParseOptions(explicit_schema=SCHEMA, unexpected_field_behavior="ignore")
    read = pyarrow.json.ReadOptions(use_threads=False, block_size=len(data) + 1)
    rows: int = pyarrow.json.read_json(pa.BufferReader(data), read_options=read, parse_options=options).num_rows
    return rows


def main(source: str, parser: str) -> None:
    parse = {"polars": with_polars, "pyarrow": with_pyarrow}[parser]
    for path in sorted((Path(source) / "data").iterdir()):
        data = igzip.decompress(path.read_bytes())  # type: ignore[no-untyped-call]
        start = 0
        while start < len(data):
            end = data.rfind(b"\n", start, start + BLOCK_BYTES) + 1
            parse(data[start:end])
            start = end


if __name__ == "__main__":
    main(*sys.argv[1:])
