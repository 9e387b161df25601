"""The metadata of export assets: what Dagster shows, and what the next stage reads back."""

from datetime import datetime

import dagster as dg

from ddb_assets.aws.storage import is_s3, split_s3
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.costs.prices import GB, prices
from ddb_assets.exports.manifest import Export
from ddb_assets.markdown import code
from ddb_assets.orchestration import metadata


def full_export_facts(export: Export, key: KeySchema) -> metadata.Metadata:
    """The metadata of a full export; `upstream_export` reads it back."""
    return _export(export) | {metadata.KEY: dg.MetadataValue.json(key.model_dump())}


def window_export_facts(export: Export, now: datetime) -> metadata.Metadata:
    """The metadata of a window's export. `now` is when the export was complete."""
    facts = _export(export)
    for name, time in (("from_time", export.from_time), ("to_time", export.to_time)):
        if time:
            facts[name] = dg.MetadataValue.timestamp(time)
    if export.to_time:
        facts |= lag(export.to_time, now)
    return facts


def lag(end: datetime, now: datetime) -> metadata.Metadata:
    """`lag`: the seconds from the end of a window to `now`, the time of its materialization."""
    return {"lag": dg.MetadataValue.float(round((now - end).total_seconds(), 1))}


def upstream_export(context: dg.AssetExecutionContext, table: Table) -> tuple[str, KeySchema]:
    """The manifest URI and the key schema of the newest full export. Raises UpstreamError when there is none."""
    facts = metadata.upstream(context, metadata.key_of(table, "full_export"), metadata.URI, metadata.KEY)
    return str(facts[metadata.URI].value), KeySchema.model_validate(facts[metadata.KEY].value)


def _export(export: Export) -> metadata.Metadata:
    at = prices()
    usd = export.billed_bytes / GB * at.dynamodb.export_gb
    facts: metadata.Metadata = {
        metadata.URI: dg.MetadataValue.text(export.uri),
        metadata.EXPORT_ID: dg.MetadataValue.text(export.id),
        "export_arn": dg.MetadataValue.text(export.arn),
        metadata.TABLE_ID: dg.MetadataValue.text(export.table_id),
        "items": dg.MetadataValue.int(export.item_count),
        "files": dg.MetadataValue.int(len(export.files)),
        "billed_bytes": dg.MetadataValue.int(export.billed_bytes),
        "usd": dg.MetadataValue.float(round(usd, 6)),
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
    facts["summary"] = metadata.markdown(
        ("", ""),
        [
            ("Export", code(export.id)),
            ("Table", code(export.table_arn)),
            ("As of" if export.kind == "full" else "Window", " to ".join(times)),
            ("Items", f"{export.item_count:,}"),
            ("Data files", f"{len(export.files):,}"),
            ("Billed bytes", f"{export.billed_bytes:,}, about ${usd:,.4f} ({at.said})"),
        ],
    )
    return facts
