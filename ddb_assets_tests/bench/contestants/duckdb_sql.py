"""A program written by hand for a known table: DuckDB, two threads, the schema given, nothing checked.

An attribute that the schema does not name is dropped silently, and NULL becomes an absent value.
"""

import sys
from pathlib import Path

import duckdb

COLUMNS = """{Item: 'STRUCT(
    orderId STRUCT(S VARCHAR), customerId STRUCT(S VARCHAR), createdAt STRUCT(S VARCHAR), status STRUCT(S VARCHAR),
    total STRUCT(N VARCHAR), points STRUCT(N VARCHAR), paid STRUCT(BOOL BOOLEAN), note STRUCT(S VARCHAR),
    coupon STRUCT(S VARCHAR), tags STRUCT(SS VARCHAR[]),
    address STRUCT(M STRUCT(street STRUCT(S VARCHAR), city STRUCT(S VARCHAR), postcode STRUCT(S VARCHAR),
        geo STRUCT(M STRUCT(lat STRUCT(N VARCHAR), lon STRUCT(N VARCHAR))))),
    items STRUCT(L STRUCT(M STRUCT(sku STRUCT(S VARCHAR), name STRUCT(S VARCHAR), quantity STRUCT(N VARCHAR),
        price STRUCT(N VARCHAR)))[]))'}"""

ORDERS = """
    SELECT Item.orderId.S AS order_id, Item.customerId.S AS customer_id, Item.createdAt.S::TIMESTAMP AS created_at,
        Item.status.S AS status, Item.total.N::DECIMAL(18, 2) AS total, Item.points.N::BIGINT AS points,
        Item.paid.BOOL AS paid, Item.note.S AS note, Item.coupon.S AS coupon,
        to_json(list_sort(Item.tags.SS))::VARCHAR AS tags, Item.address.M.street.S AS address__street,
        Item.address.M.city.S AS address__city, Item.address.M.postcode.S AS address__postcode,
        Item.address.M.geo.M.lat.N::DECIMAL(18, 6) AS address__geo__lat,
        Item.address.M.geo.M.lon.N::DECIMAL(18, 6) AS address__geo__lon
    FROM lines"""

LINES = """
    SELECT order_id, place - 1 AS _ddb_index, line.M.sku.S AS sku, line.M.name.S AS name,
        line.M.quantity.N::BIGINT AS quantity, line.M.price.N::DECIMAL(18, 2) AS price
    FROM (SELECT Item.orderId.S AS order_id, unnest(Item.items.L) AS line,
        generate_subscripts(Item.items.L, 1) AS place FROM lines)"""


def main(source: str, out: str) -> None:
    con = duckdb.connect(config={"threads": 2, "preserve_insertion_order": False})
    con.execute(f"""
        CREATE TEMP TABLE lines AS FROM read_json('{source}/data/*.json.gz', format = 'newline_delimited',
            columns = {COLUMNS})""")
    for name, query in (("orders", ORDERS), ("orders__items", LINES)):
        folder = Path(out) / name
        folder.mkdir(parents=True)
        con.execute(f"COPY ({query}) TO '{folder}/part.parquet' (FORMAT parquet, COMPRESSION zstd)")


if __name__ == "__main__":
    main(*sys.argv[1:])
