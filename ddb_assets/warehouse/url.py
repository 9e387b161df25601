"""What a warehouse's URL says before it is opened.

Only this module, `connect.py` and the warehouses' own folders distinguish warehouses. Help texts need this module, so it
imports nothing heavy.
"""

import re
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

from ddb_assets.iceberg.url import ICEBERG, CatalogUrl

DUCKDB = "duckdb:///"
DUCKDB_FORM = f"{DUCKDB}FILE"
REDSHIFT = "redshift://"
REDSHIFT_FORM = f"{REDSHIFT}USER@HOST:5439/DATABASE?schema=NAME&iam_role=ARN"
FORMS = f"{DUCKDB_FORM}, {REDSHIFT_FORM} or {ICEBERG}…"
"""What the URL of a warehouse looks like."""


def local_file(url: str) -> Path | None:
    """The file on this machine that the warehouse of a URL is; None if it is a server, or tables in a lake."""
    return None if url.startswith((REDSHIFT, ICEBERG)) else Path(url.removeprefix(DUCKDB)).resolve()


def reads_s3(url: str) -> bool:
    """Whether a URL is that of a warehouse with files on S3, so that loading into it needs AWS."""
    return url.startswith(REDSHIFT) or (url.startswith(ICEBERG) and CatalogUrl.parse(url).needs_aws)


def warehouse_place(url: str, schema: str) -> str:
    """Which warehouse a URL names, without user and options: a file, or a server or catalog with database and schema."""
    if (file := local_file(url)) is not None:
        return f"{DUCKDB}{file}"
    parts = urlsplit(url)
    return f"{parts.scheme}://{_server(parts)}{parts.path}/{schema}"


def warehouse_kind(url: str) -> str:
    """`duckdb:///x` -> `duckdb`, the icon that a warehouse table has."""
    return url.partition(":")[0] or "table"


def warehouse_pool(address: str) -> str:
    """The pool of loads into the warehouse of this URL, across runs and code locations of one Dagster instance.

    `warehouse` for embedded ones, which let one load in at a time anyway, and for an address that is not a URL: definitions
    load with it, and each load reports it.
    """
    try:
        parts = urlsplit(address)
        server = _server(parts)
    except ValueError:
        return "warehouse"
    place = re.sub(r"\W+", "_", f"{server}{parts.path}", flags=re.ASCII).strip("_")
    return "warehouse" if parts.scheme == "duckdb" else f"warehouse_{place}"


def _server(parts: SplitResult) -> str:
    options = dict(parse_qsl(parts.query))
    return parts.hostname or options.get("cluster") or options.get("workgroup") or ""
