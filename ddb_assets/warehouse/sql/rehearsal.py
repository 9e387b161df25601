"""What a load would do to tables, views and rows that are there, before rows of its export come: by the load's own code.

The steps of the load run on an engine that only notes statements (`noting.py`). So what it refuses is refused with the same
words, and there is no second place that knows how tables change. Nothing is changed.
"""

from collections.abc import Mapping

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Report
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.guards import check_quarantine
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.protocol import PLAIN, LoadOptions
from ddb_assets.warehouse.results import Rehearsal
from ddb_assets.warehouse.sql import statements
from ddb_assets.warehouse.sql.engine import SqlEngine
from ddb_assets.warehouse.sql.hiding import hide
from ddb_assets.warehouse.sql.ledger import LEDGER, TYPES, ledger
from ddb_assets.warehouse.sql.load import start_over
from ddb_assets.warehouse.sql.load_stream import prepare_stream, start_over_stream
from ddb_assets.warehouse.sql.noting import NotingEngine
from ddb_assets.warehouse.sql.preparing import prepare
from ddb_assets.warehouse.sql.read_history import read_history
from ddb_assets.warehouse.sql.settling import begin
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets.warehouse.sql.tables import Tables


def rehearse(
    engine: SqlEngine,
    report: Report,
    options: LoadOptions = PLAIN,
    *,
    streamed: bool = False,
    schema: str | None = None,
) -> Rehearsal:
    """See `Warehouse.rehearse`. The tables are in `schema`, by default the engine's own."""
    schema = schema or engine.default_schema
    noting = NotingEngine(engine)
    _check_ledger(engine, schema)
    of = _of_stream if streamed else _of_export
    tables, beside = of(noting, report, schema, options)
    there = noting.layouts(schema, [statements.hidden_paths(tables.root.table).name])
    remarks = hide(noting, tables, beside, report, there)
    names = [target.table for target in tables.relations] + [table for table, _ in tables.undeclared]
    return Rehearsal(
        statements=tuple(map(_text, noting.noted)),
        before=_columns(engine, schema, names),
        after=_columns(noting, schema, names),
        remarks=remarks,
        identity=read_history(noting, schema, report).identity if _has_ledger(engine, schema, report) else None,
    )


def _of_export(engine: SqlEngine, report: Report, schema: str, options: LoadOptions) -> tuple[Tables, Tables | None]:
    check_quarantine(report, options.max_quarantined)
    ready = prepare(engine, report, schema, options)
    if isinstance(ready, History):
        raise LoadError(f"export {report.export_id} is loaded already: a load of it would change nothing")
    if ready.streamed:
        begin(engine, ready.tables, ready.tail, report, restart=options.restart)
    if options.restart:
        start_over(engine, schema, report, ready.tables)
    return ready.tables, ready.tail


def _of_stream(engine: SqlEngine, report: Report, schema: str, options: LoadOptions) -> tuple[Tables, None]:
    check_quarantine(report, options.max_quarantined, few=True)
    ready = prepare_stream(engine, report, schema, options)
    if ready is None:
        raise LoadError(f"the records {report.export_id} are loaded already: a load of them would change nothing")
    tables, _ = ready
    if options.restart:
        start_over_stream(engine, schema, report, tables)
    return tables, None


def _has_ledger(engine: SqlEngine, schema: str, report: Report) -> bool:
    have = engine.catalog(ledger(schema, report.root.name))
    return have.keys() >= TYPES.keys()


def _check_ledger(engine: SqlEngine, schema: str) -> None:
    """Raises LoadError for the ledger of earlier versions, whose rows the next load moves before it looks at them."""
    shared = TableName(schema, LEDGER)
    found = engine.standing(shared)
    if found and found.kind == "table":
        raise LoadError(
            f"{shared} is the ledger of an earlier version, which the next load of any table moves: load one, then look again"
        )


def _columns(engine: SqlEngine, schema: str, tables: list[TableName]) -> dict[str, Mapping[str, SqlType]]:
    return {name: found.types for name, found in engine.layouts(schema, [table.name for table in tables]).items()}


def _text(statement: Statement) -> str:
    """The statement for people; its values follow it."""
    if not statement.values:
        return statement.text
    return f"{statement.text} -- {', '.join(map(repr, statement.values))}"
