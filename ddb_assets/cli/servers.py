"""The warehouses that can run beside the sandbox."""

from collections.abc import Mapping
from typing import Literal

Server = Literal["redshift", "clickhouse", "postgres"]
NAMES: Mapping[Server, str] = {
    "redshift": "a Redshift emulator",
    "clickhouse": "ClickHouse's own engine",
    "postgres": "a PostgreSQL",
}
"""What each of them is."""
