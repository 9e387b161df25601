"""`ddb-assets follow` for a process of its own. What it needs is imported here, once for all processes."""

import io
import os
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path

from ddb_assets.cli.follow import run
from ddb_assets.flatten import flatten as flatten
from ddb_assets.warehouse.duckdb import connection as connection


def follow(environment: Mapping[str, str], stream: str, config: Path, warehouse: str, lake: str, once: bool) -> None:
    """Follows the stream without a pause: to its end, or until the process is killed."""
    os.environ.update(environment)
    with redirect_stdout(io.StringIO()):
        run(stream, [config], warehouse, lake, once=once, every=0.0, restart=(), as_json=False)
