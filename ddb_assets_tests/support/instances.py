"""Instances of Dagster in memory that answer faster: one connection a thread, not a new one for every event."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import sqlalchemy
from sqlalchemy.pool import SingletonThreadPool


@contextmanager
def in_memory() -> Iterator[dg.DagsterInstance]:
    """An instance that ends with the block. Dagster's own opens a database connection for each of its queries."""
    with dg.DagsterInstance.ephemeral() as instance:
        storages: tuple[Any, ...] = (instance.event_log_storage, instance.run_storage)
        engines = []
        for storage in storages:
            engines.append(sqlalchemy.create_engine(storage._engine.url, poolclass=SingletonThreadPool))
            storage._engine = engines[-1]
        yield instance
        for engine in engines:
            engine.dispose()
