"""The report of a flattened export: its counts must agree before there is one."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ddb_assets.contract.report import Relation, Report
from ddb_assets.flatten.declared import with_declared
from ddb_assets.flatten.hidden import hidden_columns
from ddb_assets.flatten.inputs import Inputs
from ddb_assets.flatten.output import FlattenError
from ddb_assets.flatten.rules import Misfits
from ddb_assets.flatten.schema import Schema
from ddb_assets.flatten.tally import Tally
from ddb_assets.flatten.unread import has_no_row, write_unread

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage


def empty_relations(schema: Schema, inputs: Inputs) -> tuple[Relation, ...]:
    """The relations of the report, root first, still without parts."""
    return with_declared(schema, inputs.table, incremental=inputs.incremental)


def conclude(
    storage: "Storage",
    inputs: Inputs,
    schema: Schema,
    tally: Tally,
    relations: Sequence[Relation],
    *,
    unread_uri: str,
    started: float,
) -> Report:
    """The report of all files, with their relations and parts. The keys of quarantined items are written to `unread_uri`.

    `started` is by the monotonic clock. Raises FlattenError when the numbers of items, lines, rows and quarantined lines do
    not agree.
    """
    export, rules, root = inputs.export, inputs.rules, relations[0]
    if not export.item_count == tally.lines == root.rows + tally.quarantined:
        raise FlattenError(
            f"export {export.id}: {export.item_count} items in the manifest, {tally.lines} lines read, "
            f"{root.rows} rows and {tally.quarantined} quarantined: these must agree, so nothing was replaced; "
            "export again, and report it if it happens again"
        )
    unread = [key for key in tally.unread if not has_no_row(key, rules)]
    return Report(
        table=inputs.table.table,
        name=inputs.table.name,
        table_arn=export.table_arn,
        table_id=export.table_id,
        export_id=export.id,
        export_arn=export.arn,
        export_type="INCREMENTAL_EXPORT" if inputs.incremental else "FULL_EXPORT",
        export_time=export.export_time,
        from_time=export.from_time,
        to_time=export.to_time,
        digest=inputs.identity.digest(export.digest),
        identity=inputs.identity,
        schema_version=schema.version,
        items_in_manifest=export.item_count,
        lines_read=tally.lines,
        rows={relation.name: relation.rows for relation in relations},
        deletes=tally.deletes,
        quarantined=tally.quarantined,
        extra_values=sum(times for (what, _), times in tally.misfits.items() if what in {"extra", "frozen"}),
        misfits=_by_kind(tally.misfits),
        hidden=hidden_columns(schema, inputs.table),
        bytes_raw=tally.bytes_raw,
        bytes_parquet=sum(part.bytes for relation in relations for part in relation.parts),
        seconds=round(time.monotonic() - started, 3),
        relations=tuple(relations),
        quarantine=tuple(sorted(file.uri for file in tally.quarantine)),
        reasons=tuple(text for _, _, text in tally.reasons),
        unread=write_unread(storage, unread_uri, root, schema.root, rules, unread),
        without_row=len(tally.unread) - len(unread),
        unknown_members=dict(sorted(tally.unknown.items())),
        billed_bytes=export.billed_bytes,
        scan=export.scan,
        old_images=bool(inputs.table.history) and export.view == "NEW_AND_OLD_IMAGES",
    )


def _by_kind(misfits: Misfits) -> dict[str, dict[str, int]]:
    by_kind: dict[str, dict[str, int]] = {}
    for (what, path), count in sorted(misfits.items()):
        by_kind.setdefault(what, {})[path] = count
    return by_kind
