"""Compares what a rehearsal says with what the load then does: the statements, the columns, and the words of a refusal."""

from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import pytest

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Report
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import LoadResult, Rehearsal
from ddb_assets.warehouse.sql import load as sql
from ddb_assets.warehouse.sql.engine import SqlEngine
from ddb_assets.warehouse.sql.rehearsal import rehearse
from ddb_assets.warehouse.sql.statements import Statement

OTHERS = ("SELECT", "WITH", "BEGIN", "LOCK", "COMMIT", "SET")
"""Statements that change nothing by themselves."""
CLAIM = "SET sequence = 0 WHERE relation IS NULL"


@dataclass(frozen=True)
class Compared:
    """A load that did what its rehearsal had said; `result` is None if both were refused, for the same `reason`."""

    said: Rehearsal | None
    result: LoadResult | None
    reason: str = ""


def compare(engine: SqlEngine, report: Report, **options: Any) -> Compared:
    """Rehearses the load of a report without its rows, then loads it."""
    how = LoadOptions(**options)
    tables = [relation.name for relation in report.relations]
    before = content(engine, tables)
    said, reason = None, ""
    try:
        said = rehearse(engine, without_rows(report), how)
    except LoadError as error:
        reason = str(error)
    assert content(engine, tables) == before
    done: list[Statement] = []
    execute = engine.execute
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "execute", lambda statement: (done.append(statement), execute(statement))[1])
        try:
            result = sql.load(engine, report, how)
        except LoadError as error:
            assert str(error) == reason
            return Compared(None, None, reason)
    assert said is not None, reason
    texts = [one.text for one in done if not one.text.startswith(OTHERS) and not one.text.endswith(CLAIM)]
    noted = [text.partition(" -- ")[0] for text in said.statements]
    assert texts[: len(noted)] == noted, [pair for pair in zip_longest(texts, noted) if pair[0] != pair[1]][:3]
    later = texts[len(noted) :]
    assert not [text for text in later if text.startswith(("ALTER", "CREATE TABLE", "CREATE SCHEMA", "COMMENT"))]
    assert not [text for text in later if text.startswith("CREATE OR REPLACE VIEW")]
    assert said.remarks == result.remarks
    now = engine.layouts(engine.default_schema, said.after)
    assert {name: dict(found.types) for name, found in now.items()} == {n: dict(t) for n, t in said.after.items()}
    assert all(list(now[name].types) == list(said.after[name]) for name in now)
    return Compared(said, result)


def content(engine: SqlEngine, relations: list[str]) -> tuple[list[str], dict[str, dict[str, SqlType]]]:
    """The names of all tables, and the columns of these."""
    schema = engine.default_schema
    return engine.tables(schema, ""), {name: dict(one.types) for name, one in engine.layouts(schema, relations).items()}


def without_rows(report: Report) -> Report:
    """The report as it would be of an export of the same columns without items."""
    relations = [relation.with_parts([]) for relation in report.relations]
    counts = {"items_in_manifest": 0, "lines_read": 0, "rows": {one.name: 0 for one in relations}, "deletes": 0}
    return report.model_copy(update={**counts, "relations": tuple(relations), "quarantined": 0})
