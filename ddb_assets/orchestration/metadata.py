"""What Dagster shows of a table: keys, groups, kinds, owners of assets, and the metadata of each materialization.

The only module that spells Dagster's metadata keys. Nothing is computed here that is not shown; the numbers come from the
stages. Facts: metadata keys with a meaning for the UI, Dagster API reference "Metadata".
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import dagster as dg

from ddb_assets.aws.storage import is_s3, join, split_s3
from ddb_assets.contract.report import Relation, Report
from ddb_assets.contract.table import KeySchema, Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.manifest import Export
from ddb_assets.flatten.advice import advice
from ddb_assets.flatten.flatten import Flattened
from ddb_assets.flatten.profile import path_rows
from ddb_assets.flatten.schema import DELETED
from ddb_assets.markdown import code, prose
from ddb_assets.markdown import table as table_of
from ddb_assets.orchestration.automation import LOAD_TAG
from ddb_assets.orchestration.reported import newest
from ddb_assets.warehouse.sql.ledger import LoadResult
from ddb_assets.warehouse.sql.statements import DELETED_AT

Stage = Literal["dynamodb", "snapshots", "baseline", "warehouse_baseline", "exports", "parquet", "warehouse"]
Metadata = dict[str, dg.MetadataValue]

KINDS: Mapping[Stage, frozenset[str]] = {
    "dynamodb": frozenset({"dynamodb"}),
    "snapshots": frozenset({"dynamodb", "s3"}),
    "baseline": frozenset({"s3", "parquet", "polars"}),
    "warehouse_baseline": frozenset(),
    "exports": frozenset({"dynamodb", "s3"}),
    "parquet": frozenset({"s3", "parquet", "polars"}),
    "warehouse": frozenset(),
}
MAX_ROWS = 200
"""Rows of a Markdown table: definitions and events must stay small."""
URI, KEY, FOLDER = "dagster/uri", "key_schema", "export_folder"
COLUMNS, ROWS, TABLE_NAME = "dagster/column_schema", "dagster/row_count", "dagster/table_name"
EXPORT_ID, TABLE_ARN, TABLE_ID = "export_id", "table_arn", "table_id"
BASELINE_TIME, COVERED, WINDOW = "baseline_time", "covered", "window"


class UpstreamError(DdbAssetsError):
    """An asset needs what another one has not made yet."""


def warehouse_kind(url: str) -> str:
    """`duckdb:///x` -> `duckdb`, the icon that a warehouse table has."""
    return url.partition(":")[0] or "table"


def asset_key(stage: Stage, name: str) -> dg.AssetKey:
    """`orders` in stage `warehouse` -> `warehouse/orders`."""
    return dg.AssetKey([stage, name])


def asset_spec(
    stage: Stage,
    table: Table,
    relation: str,
    *,
    description: str,
    upstream: dg.AssetKey | None,
    kinds: Sequence[str] = (),
) -> dg.AssetSpec:
    """The spec of one relation of a table in one stage; all of a table's assets are one group."""
    return dg.AssetSpec(
        asset_key(stage, relation),
        deps=[upstream] if upstream else [],
        description=description,
        group_name=table.name,
        kinds={*KINDS[stage], *kinds},
        owners=table.owners,
        tags={LOAD_TAG: table.load},
        metadata={"table": table.table},
    )


def snapshot(export: Export, key: KeySchema) -> Metadata:
    """Of a full export; `upstream_export` reads it back."""
    return _export(export) | {KEY: dg.MetadataValue.json(key.model_dump())}


def window_export(export: Export, now: datetime) -> Metadata:
    """Of the export of a window; `lag` is how many seconds its end was ago when it was there."""
    facts = _export(export)
    for name, time in (("from_time", export.from_time), ("to_time", export.to_time)):
        if time:
            facts[name] = dg.MetadataValue.timestamp(time)
    if export.to_time:
        facts |= lag(export.to_time, now)
    return facts


def lag(end: datetime, now: datetime) -> Metadata:
    """How old the newest change of a window was when the materialization was made, in seconds."""
    return {"lag": dg.MetadataValue.float(round((now - end).total_seconds(), 1))}


def covered(baseline_id: str, baseline_time: datetime, by: str = "baseline") -> Metadata:
    """The facts of a window that needs nothing done: the baseline, or what `by` names, already has its changes."""
    return {
        COVERED: dg.MetadataValue.bool(True),
        "covered_by": dg.MetadataValue.text(baseline_id),
        BASELINE_TIME: dg.MetadataValue.timestamp(baseline_time),
        "dagster/partition_row_count": dg.MetadataValue.int(0),
        "summary": dg.MetadataValue.md(
            f"Covered by the {by} {code(baseline_id)} of {baseline_time.isoformat(timespec='seconds')}: there is nothing "
            "to export or to load."
        ),
    }


def baseline(report: Report, time: datetime, table_id: str) -> Metadata:
    """What the windows of a table start from, once it is loaded."""
    return {
        BASELINE_TIME: dg.MetadataValue.timestamp(time),
        TABLE_ARN: dg.MetadataValue.text(report.table_arn),
        TABLE_ID: dg.MetadataValue.text(table_id),
    }


def of_window(facts: Metadata, rows: int) -> Metadata:
    """A relation's facts as those of one window of it, which had so many rows."""
    return facts | {"dagster/partition_row_count": dg.MetadataValue.int(rows)}


def _export(export: Export) -> Metadata:
    facts: Metadata = {
        URI: dg.MetadataValue.text(export.uri),
        EXPORT_ID: dg.MetadataValue.text(export.id),
        "export_arn": dg.MetadataValue.text(export.arn),
        TABLE_ID: dg.MetadataValue.text(export.table_id),
        "items": dg.MetadataValue.int(export.item_count),
        "files": dg.MetadataValue.int(len(export.files)),
        "billed_bytes": dg.MetadataValue.int(export.billed_bytes),
    }
    if export.export_time:
        facts["export_time"] = dg.MetadataValue.timestamp(export.export_time)
    if is_s3(export.uri):
        bucket, path = split_s3(export.uri)
        folder = path.rpartition("/")[0]
        facts["s3"] = dg.MetadataValue.url(f"https://console.aws.amazon.com/s3/buckets/{bucket}?prefix={folder}/")
    times = [
        time.isoformat(timespec="seconds") for time in (export.export_time, export.from_time, export.to_time) if time
    ]
    facts["summary"] = _markdown(
        ("", ""),
        [
            ("Export", code(export.id)),
            ("Table", code(export.table_arn)),
            ("As of" if export.kind == "full" else "Window", " to ".join(times)),
            ("Items", f"{export.item_count:,}"),
            ("Data files", f"{len(export.files):,}"),
            ("Billed bytes", f"{export.billed_bytes:,}"),
        ],
    )
    return facts


def parquet(flattened: Flattened, relation: Relation, folder: str) -> Metadata:
    """Of one relation of an export flattened into `folder`; `upstream_folder` reads that back."""
    report = flattened.report
    facts: Metadata = {
        COLUMNS: dg.MetadataValue.table_schema(dg.TableSchema(columns=_columns(relation))),
        ROWS: dg.MetadataValue.int(relation.rows),
        URI: dg.MetadataValue.text(join(folder, relation.name)),
        FOLDER: dg.MetadataValue.text(folder),
        "export_id": dg.MetadataValue.text(report.export_id),
        "schema_version": dg.MetadataValue.int(report.schema_version),
        "parts": dg.MetadataValue.int(len(relation.parts)),
        "bytes": dg.MetadataValue.int(sum(part.bytes for part in relation.parts)),
    }
    if relation == report.root:
        facts |= {
            "items": dg.MetadataValue.int(report.items_in_manifest),
            "quarantined": dg.MetadataValue.int(report.quarantined),
            "extra_values": dg.MetadataValue.int(report.extra_values),
            "seconds": dg.MetadataValue.float(report.seconds),
            "summary": _markdown(
                ("Relation", "Rows", "Columns", "Parts", "Bytes"),
                [
                    (code(r.name), f"{r.rows:,}", len(r.columns), len(r.parts), f"{sum(p.bytes for p in r.parts):,}")
                    for r in report.relations
                ],
                f"{report.items_in_manifest:,} items in the manifest = {report.root.rows:,} rows + "
                f"{report.quarantined:,} quarantined + {report.filtered:,} filtered; "
                f"{report.extra_values:,} values fitted no column and stand in `_ddb_extra`.",
            ),
            "profile": _profile(flattened),
        }
        if lines := advice(flattened):
            facts["to_mend"] = dg.MetadataValue.json(lines)
        if report.unknown_members:
            members = [(code(name), f"{count:,}") for name, count in report.unknown_members.items()]
            facts["unknown_members"] = _markdown(("Member", "Lines"), members)
        if report.misfits:
            rows = [(what, code(path), f"{n:,}") for what, paths in report.misfits.items() for path, n in paths.items()]
            facts["misfits"] = _markdown(("What happened", "Path", "Values"), rows[:MAX_ROWS])
        if changes := flattened.changes:
            facts["schema_changes"] = _markdown(
                ("Path", "Change", "Seen in item"),
                [(code(c.path), prose(c.what), code(c.example or "")) for c in changes[:MAX_ROWS]],
                f"Schema version {report.schema_version}.",
            )
    return facts


def _profile(flattened: Flattened) -> dg.MetadataValue:
    """What stood at every path, as a Markdown table; the whole of it is in profile.json."""
    rows = [
        (
            code(str(row["path"])),
            ", ".join(f"{name} {count:,}" for name, count in row["types"].items()),
            "" if row["absent"] is None else f"{row['absent']:.1%}",
            "" if row["null"] is None else f"{row['null']:.1%}",
            row["max_bytes"] or "",
            f"{row['integer_digits']}.{row['scale']}" if row["integer_digits"] else "",
            code(str(row["example"] or "")),
        )
        for row in path_rows(flattened.profile)
    ]
    more = f"{len(rows) - MAX_ROWS} more paths are in profile.json." if len(rows) > MAX_ROWS else ""
    return _markdown(("Path", "Types", "Absent", "NULL", "Bytes", "Digits", "Seen in item"), rows[:MAX_ROWS], more)


def loaded(result: LoadResult, relation: Relation, table_name: str, *, soft_delete: bool) -> Metadata:
    """Of one warehouse table after a load, or after one that found the export already applied."""
    in_table = result.table_rows.get(relation.name, 0)
    columns = [column for column in _columns(relation) if column.name != DELETED]
    if soft_delete and not relation.path:
        columns.append(
            dg.TableColumn(DELETED_AT, "TIMESTAMP", "bookkeeping: when the item was deleted, NULL if it is there")
        )
    facts: Metadata = {
        COLUMNS: dg.MetadataValue.table_schema(dg.TableSchema(columns=columns)),
        ROWS: dg.MetadataValue.int(in_table),
        TABLE_NAME: dg.MetadataValue.text(table_name),
        "export_id": dg.MetadataValue.text(result.export_id),
        "applied": dg.MetadataValue.bool(result.applied),
        "rows_loaded": dg.MetadataValue.int(result.rows.get(relation.name, 0)),
    }
    if result.applied:
        facts["copy_bytes"] = dg.MetadataValue.int(sum(part.bytes for part in relation.parts))
    if relation.name in result.queries:
        facts["copy_query_id"] = dg.MetadataValue.int(result.queries[relation.name])
    if not relation.path:
        counts = {
            "items": result.items,
            "rows_in": result.rows_in,
            "upserted": result.upserted,
            "deleted": result.deleted,
            "stale": result.stale,
            "quarantined": result.quarantined,
            "filtered": result.filtered,
            "extra_values": result.extra_values,
            "kept_stale": result.kept_stale,
        }
        facts |= {name: dg.MetadataValue.int(count) for name, count in counts.items()}
        facts["seconds"] = dg.MetadataValue.float(result.seconds)
        facts["summary"] = _markdown(
            ("Table", "Rows now", "Loaded from this export"),
            [(code(name), f"{rows:,}", f"{result.rows.get(name, 0):,}") for name, rows in result.table_rows.items()],
            f"Export {code(result.export_id)} {'applied' if result.applied else 'was already applied'} "
            f"(load {result.sequence}, {result.loaded_at.isoformat(timespec='seconds')}). {prose(' '.join(result.remarks))}",
        )
    return facts


def _columns(relation: Relation) -> list[dg.TableColumn]:
    return [
        dg.TableColumn(
            column.name, column.type, description=code(".".join(column.path)) or f"bookkeeping: {column.role}"
        )
        for column in relation.columns
    ]


def _markdown(header: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> dg.MetadataValue:
    return dg.MetadataValue.md(table_of(header, rows, note))


def upstream_export(context: dg.AssetExecutionContext, table: Table) -> tuple[str, KeySchema]:
    """The newest snapshot's manifest URI and key schema. Raises UpstreamError when there is no snapshot."""
    facts = _newest(context, asset_key("snapshots", table.name), URI, KEY)
    return str(facts[URI].value), KeySchema.model_validate(facts[KEY].value)


def upstream_folder(context: dg.AssetExecutionContext, table: Table) -> str:
    """The folder of the newest baseline. Raises UpstreamError when there is none."""
    return str(_newest(context, asset_key("baseline", table.name), FOLDER)[FOLDER].value)


def _newest(context: dg.AssetExecutionContext, key: dg.AssetKey, *needed: str) -> Mapping[str, dg.MetadataValue]:
    if facts := newest(context.instance, key, *needed):
        return facts
    raise UpstreamError(
        f"{key.to_user_string()} has never been materialized: materialize it first, or the whole group (a "
        "materialization that was only reported by hand holds nothing)"
    )
