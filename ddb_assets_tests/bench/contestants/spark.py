"""PySpark on two threads, with the schema given and nothing checked, as on a cluster but without the cluster's overhead."""

import sys

import pyspark.sql.functions as F  # type: ignore[import-not-found,unused-ignore]  # noqa: N812 - as everyone calls it
from pyspark.sql import SparkSession

ITEM = """Item STRUCT<
    orderId: STRUCT<S: STRING>, customerId: STRUCT<S: STRING>, createdAt: STRUCT<S: STRING>, status: STRUCT<S: STRING>,
    total: STRUCT<N: STRING>, points: STRUCT<N: STRING>, paid: STRUCT<BOOL: BOOLEAN>, note: STRUCT<S: STRING>,
    coupon: STRUCT<S: STRING>, tags: STRUCT<SS: ARRAY<STRING>>,
    address: STRUCT<M: STRUCT<street: STRUCT<S: STRING>, city: STRUCT<S: STRING>, postcode: STRUCT<S: STRING>,
        geo: STRUCT<M: STRUCT<lat: STRUCT<N: STRING>, lon: STRUCT<N: STRING>>>>>,
    items: STRUCT<L: ARRAY<STRUCT<M: STRUCT<sku: STRUCT<S: STRING>, name: STRUCT<S: STRING>,
        quantity: STRUCT<N: STRING>, price: STRUCT<N: STRING>>>>>>"""
ORDERS = (
    "Item.orderId.S AS order_id",
    "Item.customerId.S AS customer_id",
    "CAST(Item.createdAt.S AS TIMESTAMP) AS created_at",
    "Item.status.S AS status",
    "CAST(Item.total.N AS DECIMAL(18, 2)) AS total",
    "CAST(Item.points.N AS BIGINT) AS points",
    "Item.paid.BOOL AS paid",
    "Item.note.S AS note",
    "Item.coupon.S AS coupon",
    "to_json(array_sort(Item.tags.SS)) AS tags",
    "Item.address.M.street.S AS address__street",
    "Item.address.M.city.S AS address__city",
    "Item.address.M.postcode.S AS address__postcode",
    "CAST(Item.address.M.geo.M.lat.N AS DECIMAL(18, 6)) AS address__geo__lat",
    "CAST(Item.address.M.geo.M.lon.N AS DECIMAL(18, 6)) AS address__geo__lon",
)
LINES = (
    "order_id",
    "CAST(place AS BIGINT) AS _ddb_index",
    "line.M.sku.S AS sku",
    "line.M.name.S AS name",
    "CAST(line.M.quantity.N AS BIGINT) AS quantity",
    "CAST(line.M.price.N AS DECIMAL(18, 2)) AS price",
)


def main(source: str, out: str) -> None:
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "4g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.parquet.compression.codec", "zstd")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    items = spark.read.schema(ITEM).json(f"{source}/data").cache()
    items.selectExpr(*ORDERS).write.parquet(f"{out}/orders")
    lines = items.select(F.col("Item.orderId.S").alias("order_id"), F.posexplode("Item.items.L").alias("place", "line"))
    lines.selectExpr(*LINES).write.parquet(f"{out}/orders__items")
    gateway = spark.sparkContext._gateway
    assert gateway
    spark.stop()
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()  # the CPU time of a child counts only if this process waits for it


if __name__ == "__main__":
    main(*sys.argv[1:])
