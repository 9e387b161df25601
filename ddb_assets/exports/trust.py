"""Checks that DynamoDB made an export: anyone who may write to the bucket can also write a manifest.

The manifest must agree with the answer of DescribeExport. With `trust: lake` in the contract DynamoDB is not asked; then
anyone who may write below the exports' prefix can change the table in the warehouse.
"""

import logging
from typing import TYPE_CHECKING

from ddb_assets.aws.errors import AwsError, meaning
from ddb_assets.contract.table import Table
from ddb_assets.exports.follow import ExportRef, describe, same_time, status
from ddb_assets.exports.manifest import Export, ManifestError
from ddb_assets.logs import about

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import ExportDescriptionTypeDef

logger = logging.getLogger(__name__)

OPTION = "`trust: lake` in the table's contract"


class UntrustedExportError(ManifestError):
    """DynamoDB does not know the export, or describes it differently from its manifest."""


def confirm(client: "DynamoDBClient", table: Table, export: Export) -> None:
    """Raises UntrustedExportError unless DynamoDB confirms the manifest, and AwsError when DynamoDB cannot be asked."""
    if export.scan:
        raise UntrustedExportError(
            f"{export.uri} was written by a scan, and {table.table} is loaded from exports: say `source: scan` in its "
            "contract, or materialize its full export again"
        )
    of = about(table.name, export.id)
    if table.trust == "lake":
        logger.info("export %s is not checked with DynamoDB: its contract says `trust: lake`", export.arn, extra=of)
        return
    try:
        described = describe(client, export.arn)
    except AwsError as error:
        if meaning(error.code) == "denied":
            raise AwsError(
                f"{error}. Allow it; without this permission the export is loaded only with {OPTION}", error.code
            ) from error
        if error.code in {"ExportNotFoundException", "ValidationException"}:
            raise UntrustedExportError(
                f"{export.uri} says that it is export {export.arn}, which DynamoDB does not know: DynamoDB did not make it, "
                f"or no longer lists it (lists go back 90 days). If you know where it comes from, use {OPTION}"
            ) from error
        raise
    if wrong := differences(export, described):
        raise UntrustedExportError(
            f"{export.uri} does not agree with DynamoDB about export {export.arn}: {'; '.join(wrong)}. Do not load it: "
            "fetch its manifest again or export again"
        )
    logger.info("export %s: DynamoDB confirms its manifest", export.arn, extra=of)


def differences(export: Export, described: "ExportDescriptionTypeDef") -> list[str]:
    """How the manifest differs from the answer of DescribeExport, and whether the export has a filter."""
    window = described.get("IncrementalExportSpecification", {})
    full = export.kind == "full"
    pairs: list[tuple[str, object, object]] = [
        ("status", "COMPLETED", status(described)),
        ("table", export.table_arn, described.get("TableArn")),
        ("table id", export.table_id, described.get("TableId")),
        ("place", export.uri, ExportRef.of(described).summary_uri),
        ("format", "DYNAMODB_JSON", described.get("ExportFormat", "DYNAMODB_JSON")),
        ("type", "FULL_EXPORT" if full else "INCREMENTAL_EXPORT", described.get("ExportType", "FULL_EXPORT")),
        ("items", export.item_count, described.get("ItemCount", export.item_count)),
        ("billed bytes", export.billed_bytes, described.get("BilledSizeBytes", export.billed_bytes)),
    ]
    if not full:
        pairs.append(("view", export.view, window.get("ExportViewType", "NEW_AND_OLD_IMAGES")))
    wrong = [f"{what} is {said}, DynamoDB says {known}" for what, said, known in pairs if said != known]
    times = (
        [("time", export.export_time, described.get("ExportTime"))]
        if full
        else [
            ("begin", export.from_time, window.get("ExportFromTime")),
            ("end", export.to_time, window.get("ExportToTime")),
        ]
    )
    for what, said_time, known_time in times:
        if not same_time(said_time, known_time):
            wrong.append(f"{what} is {said_time}, DynamoDB says {known_time}")
    if described.get("FilterSpecification"):
        wrong.append("it was made with a filter, so it lacks items")
    return wrong
