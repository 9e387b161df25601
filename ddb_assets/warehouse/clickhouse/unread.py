"""Items that an export has but that could not be read: which, when, and by which export it is known. `sql/unread.py` says why.

They are in a table beside the root's, `_ddb_unread__<root>`, which only loads read: what people see of it is the time in
`_ddb_stale_since` of a row, and `beside.py` stages the rows in which it changes. So the table need not change together with
them. A load stages all that the table has from then on, and hands it over as a whole (`publish.py`).
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Relation, Report
from ddb_assets.warehouse.bookkeeping import EXPORT_ID
from ddb_assets.warehouse.clickhouse import staging
from ddb_assets.warehouse.clickhouse.catalog import standing
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import STAGE, UNREAD, literal, names, once, quoted, table
from ddb_assets.warehouse.clickhouse.staging import Staged
from ddb_assets.warehouse.clickhouse.tables import Target
from ddb_assets.warehouse.clickhouse.types import clickhouse_type
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.times import start


def takes_part(server: Server, report: Report, known: History, *, restart: bool) -> bool:
    """Whether a load changes what is known of unread items, or the marks of rows."""
    if not report.root.keys:
        return False
    old = restart and standing(server, UNREAD + report.root.name)
    return bool(report.missed or known.is_unsettled(start(report)) or old)


def stage(server: Server, storage: Storage, report: Report, root: Target, load_id: str, how: LoadOptions) -> str:
    """Stages what the table has after the load; returns the name of the staging table.

    What an earlier load of the same export has said does not count any more, nor what is older than a full export that
    could read every item; but a table that keeps the rows of deleted items always asks what every full export could read.
    """
    place, version, export = table(UNREAD, report.root.name), quoted(root.version), quoted(EXPORT_ID)
    keys = names(root.keys)
    columns = [f"{quoted(key)} {clickhouse_type(root.types[key], nullable=False)}" for key in root.keys]
    server.execute(
        f"CREATE TABLE IF NOT EXISTS {place} ({', '.join(columns)}, {version} Int64, {export} String) ENGINE = MergeTree "
        f"ORDER BY ({keys}, {version}, {export}) COMMENT {literal(report.table_arn)}"
    )
    name = f"{load_id}_unread"
    staging.create(server, name, UNREAD, report.root.name, report.root.name)
    if report.unread and report.unread.rows:
        own = Staged(_target(report.unread, root), name)
        into = [column.name for column in report.unread.columns]
        select = [staging.value(column, own.target) for column in report.unread.columns]
        select.append(literal(report.export_id))
        staging.insert_values(server, storage, own, own.table, [*into, EXPORT_ID], select)
        staging.check_rows(server, own)
    if not how.restart:
        # guard: ClickHouse: unread is what an export says now
        kept = f"{export} != {literal(report.export_id)}"
        if report.is_full and not report.missed and not how.soft_delete:
            kept += f" AND {version} > {start(report)}"
        server.execute(f"INSERT INTO {table(STAGE, name)} {once(f'{name} kept')} SELECT * FROM {place} WHERE {kept}")
    return name


def _target(relation: Relation, root: Target) -> Target:
    types = {key: root.types[key] for key in root.keys} | {root.version: SqlType("BIGINT")}
    return Target(relation, types, root.keys)
