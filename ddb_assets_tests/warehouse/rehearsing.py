"""Compares what a rehearsal says with what the load then does: the statements, the columns, and the words of a refusal."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

import pytest

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Report
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import Rehearsal
from ddb_assets.warehouse.sql import load as sql
from ddb_assets.warehouse.sql.engine import SqlEngine
from ddb_assets.warehouse.sql.load_stream import load_stream
from ddb_assets.warehouse.sql.rehearsal import rehearse
from ddb_assets.warehouse.sql.statements import Statement

CLAIM = "SET sequence = 0 WHERE relation IS NULL"
OTHERS = ("SELECT", "WITH", "BEGIN", "LOCK", "COMMIT", "SET")
"""Statements that change nothing by themselves."""
OF_TABLES = ("ALTER", "CREATE TABLE", "CREATE SCHEMA", "CREATE OR REPLACE VIEW", "COMMENT")


def compare(engine: SqlEngine, report: Report, *, moved: Moved | None = None, **options: Any) -> Rehearsal:
    """Rehearses the load of a report without its rows, then loads it; returns what was said, which is what was done.

    With `moved` it is of records of the stream that fills the table.
    """
    how = LoadOptions(**options)
    before = content(engine, report)
    said = rehearse(engine, without_rows(report), how, streamed=moved is not None)
    assert content(engine, report) == before
    with noted(engine) as done:
        result = load_stream(engine, report, moved, how) if moved else sql.load(engine, report, how)
    check_statements(said, done)
    assert said.remarks == result.remarks
    now = engine.layouts(engine.default_schema, said.after)
    assert {name: list(one.types.items()) for name, one in now.items()} == {
        name: list(types.items()) for name, types in said.after.items()
    }
    return said


def refused(engine: SqlEngine, report: Report, **options: Any) -> str:
    """Why a rehearsal and a load of a report are refused, with the same words."""
    how = LoadOptions(**options)
    before = content(engine, report)
    with pytest.raises(LoadError) as said:
        rehearse(engine, without_rows(report), how)
    assert content(engine, report) == before
    with pytest.raises(LoadError) as done:
        sql.load(engine, report, how)
    assert str(said.value) == str(done.value)
    return str(said.value)


def check_statements(said: Rehearsal, done: list[str]) -> None:
    """The load begins with just the statements that were said, and runs no others on tables and views."""
    first = [text.partition(" -- ")[0] for text in said.statements]
    assert done[: len(first)] == first, [pair for pair in zip_longest(done, first) if pair[0] != pair[1]][:3]
    assert not [text for text in done[len(first) :] if text.startswith(OF_TABLES)]


@contextmanager
def noted(engine: SqlEngine) -> Iterator[list[str]]:
    """The statements that the engine runs in the block, without those that change nothing."""
    done: list[str] = []
    execute = engine.execute

    def noting(statement: Statement) -> None:
        if not statement.text.startswith(OTHERS) and not statement.text.endswith(CLAIM):
            done.append(statement.text)
        execute(statement)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "execute", noting)
        yield done


def content(engine: SqlEngine, report: Report) -> tuple[list[str], dict[str, dict[str, SqlType]]]:
    """The names of all tables, and the columns of those of the report's relations."""
    schema, names = engine.default_schema, [relation.name for relation in report.relations]
    return engine.tables(schema, ""), {name: dict(one.types) for name, one in engine.layouts(schema, names).items()}


def without_rows(report: Report) -> Report:
    """The report as it would be of an export of the same columns without items."""
    relations = [relation.with_parts([]) for relation in report.relations]
    counts = {
        "items_in_manifest": 0,
        "lines_read": 0,
        "rows": {one.name: 0 for one in relations},
        "deletes": 0,
        "quarantined": 0,
    }
    return report.model_copy(update={**counts, "relations": tuple(relations)})
