"""What Dagster shows of a table of changes after a landing."""

from collections.abc import Mapping, Sequence

import dagster as dg

from ddb_assets.changes.append import Appended
from ddb_assets.changes.names import ADDED
from ddb_assets.contract.report import Relation, Report
from ddb_assets.markdown import code, prose
from ddb_assets.orchestration import metadata


def changes_facts(
    report: Report, relation: Relation, done: Mapping[str, Appended], namespace: str, sources: Sequence[dg.AssetKey]
) -> metadata.Metadata:
    """The facts of one relation's table; `sources` are the assets that have its rows as Parquet."""
    own = done.get(relation.name)
    if own is None:  # the contract declares a list that no item has had yet
        return {metadata.EXPORT_ID: dg.MetadataValue.text(report.export_id), metadata.ROWS: dg.MetadataValue.int(0)}
    known = {column.name: column for column in metadata.columns(relation)}
    columns = [
        dg.TableColumn(name, str(kind), known[name].description if name in known else "bookkeeping")
        for name, kind in own.columns.items()
    ]
    facts: metadata.Metadata = {
        metadata.COLUMNS: dg.MetadataValue.table_schema(dg.TableSchema(columns)),
        metadata.ROWS: dg.MetadataValue.int(own.total_rows),
        metadata.TABLE_NAME: dg.MetadataValue.text(f"{namespace}.{own.name}"),
        metadata.LINEAGE: metadata.column_lineage([name for name in known if name not in ADDED], sources),
        metadata.EXPORT_ID: dg.MetadataValue.text(report.export_id),
        "applied": dg.MetadataValue.bool(own.applied),
        "rows_appended": dg.MetadataValue.int(own.rows),
        "files_written": dg.MetadataValue.int(own.files),
        "bytes_written": dg.MetadataValue.int(own.bytes),
        "files": dg.MetadataValue.int(own.total_files),
        "bytes": dg.MetadataValue.int(own.total_bytes),
        "replaced": dg.MetadataValue.bool(own.replaced),
    }
    if own.location:
        facts[metadata.URI] = dg.MetadataValue.text(own.location)
    if own.snapshot_id is not None:
        facts["snapshot_id"] = dg.MetadataValue.text(str(own.snapshot_id))
    if relation == report.root:
        remarks = " ".join(remark for one in done.values() for remark in one.remarks)
        facts[metadata.SUMMARY] = metadata.markdown(
            ("Table", "Rows now", "Appended", "Files now", "Bytes now"),
            [
                (code(one.name), f"{one.total_rows:,}", f"{one.rows:,}", f"{one.total_files:,}", f"{one.total_bytes:,}")
                for one in done.values()
            ],
            f"Export {code(report.export_id)} {_outcome(own)}. {prose(remarks)}".rstrip(),
        )
    return facts


def _outcome(own: Appended) -> str:
    if not own.applied:
        return "was already there"
    return "has replaced its former rows, which were flattened otherwise" if own.replaced else "is appended"
