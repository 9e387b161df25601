"""What a warehouse's URL says before it is opened, whatever its kind (`adapters.py`).

Help texts and definitions need this module, so it imports nothing heavy.
"""

import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from ddb_assets.warehouse.adapters import adapter_of, adapter_or_none


def local_file(url: str) -> Path | None:
    """The file on this machine that the warehouse of a URL is; None if it is a server, or tables in a lake."""
    return adapter_of(url).local_file(url)


def reads_s3(uri: str) -> bool:
    """Whether this is the URL of a warehouse with files on S3, so that loading into it needs AWS."""
    found = adapter_or_none(uri)
    return found is not None and found.needs_aws(uri)


def in_iceberg(url: str) -> bool:
    """Whether the tables of the warehouse of this URL are Iceberg tables."""
    found = adapter_or_none(url)
    return found is not None and found.iceberg_tables


def has_cold_tier(url: str) -> bool:
    """Whether old rows can move from the warehouse of this URL to Iceberg tables."""
    found = adapter_or_none(url)
    return found is not None and found.cold_tier


def warehouse_place(url: str, schema: str) -> str:
    """Which warehouse a URL names, without user and options: a file, or a server or catalog with database and schema."""
    adapter = adapter_of(url)
    place = f"{adapter.scheme}://{adapter.place(url)}"
    return place if adapter.local_file(url) or adapter.schema_is_database else f"{place}/{schema}"


def warehouse_name(url: str) -> str:
    """What the metrics of a warehouse are under: its server or catalog, with the database and the schema that the URL has.

    It is known before the warehouse is opened. Files have no name of their own, because a path is of one machine only.
    """
    adapter = adapter_of(url)
    place = adapter.place(url)
    if place.startswith("/"):
        return adapter.scheme
    schema = dict(parse_qsl(urlsplit(url).query)).get("schema", "")
    return "/".join(filter(None, (f"{adapter.scheme}://{place}", schema)))


def warehouse_kind(url: str) -> str:
    """`duckdb:///x` -> `duckdb`, the icon that a warehouse table has."""
    return url.partition(":")[0] or "table"


def warehouse_pool(address: str) -> str:
    """The pool of loads into the warehouse of this URL, across runs and code locations of one Dagster instance.

    `warehouse` for embedded ones, which let one load in at a time anyway, and for an address that is not a URL: definitions
    load with it, and each load reports it.
    """
    adapter = adapter_or_none(address)
    if adapter is None or adapter.local_file(address):
        return "warehouse"
    try:
        place = adapter.place(address)
    except ValueError:
        return "warehouse"
    name = re.sub(r"\W+", "_", place, flags=re.ASCII).strip("_")
    return f"warehouse_{name}"
