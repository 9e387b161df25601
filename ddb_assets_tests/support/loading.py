"""Loads with an engine, with the options as keywords."""

from typing import Any

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import LoadResult
from ddb_assets.warehouse.sql import load as sql
from ddb_assets.warehouse.sql.engine import SqlEngine


def load(engine: SqlEngine, report: Report, *, schema: str | None = None, **options: Any) -> LoadResult:
    """Loads an export into the tables of `schema`; `options` are those of LoadOptions."""
    return sql.load(engine, report, LoadOptions(**options), schema=schema)
