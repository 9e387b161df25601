"""The kinds of warehouses, by the scheme of their URLs. A new adapter is added here (`docs/dev/warehouse.md`)."""

from collections.abc import Mapping

from ddb_assets.warehouse.adapter import Adapter
from ddb_assets.warehouse.clickhouse.adapter import ClickHouse
from ddb_assets.warehouse.duckdb.adapter import DuckDB
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.iceberg.adapter import Iceberg
from ddb_assets.warehouse.postgres.adapter import Postgres
from ddb_assets.warehouse.redshift.adapter import Redshift

_ALL: tuple[Adapter, ...] = (DuckDB(), Redshift(), Iceberg(), ClickHouse(), Postgres())
ADAPTERS: Mapping[str, Adapter] = {adapter.scheme: adapter for adapter in _ALL}
FORMS = f"{', '.join(adapter.form for adapter in _ALL[:-1])} or {_ALL[-1].form}"
"""What the URL of a warehouse looks like."""


def adapter_or_none(url: str) -> Adapter | None:
    """The kind of warehouse that a URL names; None for anything else."""
    scheme, is_url, _ = url.partition("://")
    return ADAPTERS.get(scheme) if is_url else None


def adapter_of(url: str) -> Adapter:
    """The kind of warehouse that a URL names. Raises WarehouseError for anything else, without what may be a password."""
    if found := adapter_or_none(url):
        return found
    raise WarehouseError(f"{url.split('@')[-1]!r} is not the URL of a warehouse: write {FORMS}")
