"""Instances of Dagster in memory that answer faster: one connection a thread, not a new one for every event."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest
import sqlalchemy
from dagster._core.storage import event_log, runs
from sqlalchemy.pool import SingletonThreadPool


@contextmanager
def in_memory() -> Iterator[dg.DagsterInstance]:
    """An instance that ends with the block. Dagster's own opens a database connection for each of its queries."""
    with pytest.MonkeyPatch.context() as patch:
        without_migrations(patch)
        made = dg.DagsterInstance.ephemeral()
    with made as instance:
        storages: tuple[Any, ...] = (instance.event_log_storage, instance.run_storage)
        engines = []
        for storage in storages:
            engines.append(sqlalchemy.create_engine(storage._engine.url, poolclass=SingletonThreadPool))
            storage._engine = engines[-1]
        yield instance
        for engine in engines:
            engine.dispose()


def without_migrations(patch: pytest.MonkeyPatch) -> None:
    """Instances in memory do not read all of Dagster's migrations to note the newest one, which nobody asks for."""
    for module in (event_log.in_memory, runs.in_memory):
        patch.setattr(module, "stamp_alembic_rev", lambda *_: None)
