"""What a warehouse's URL says before it is opened.

Here, in `connect.py` and in the warehouses' own rooms it matters which warehouse it is; nowhere else.
"""

from pathlib import Path

from ddb_assets.warehouse.redshift.settings import FORM, SCHEME

DUCKDB = "duckdb:///"
FORMS = f"{DUCKDB}FILE or {FORM}"
"""What the URL of a warehouse looks like."""


def local_file(url: str) -> Path | None:
    """The file on this machine that the warehouse of a URL is; None if it is a server."""
    return None if url.startswith(SCHEME) else Path(url.removeprefix(DUCKDB)).resolve()


def reads_s3(url: str) -> bool:
    """Whether a URL is that of a warehouse that reads its files from S3, so that loading into it needs AWS."""
    return url.startswith(SCHEME)
