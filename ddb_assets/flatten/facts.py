"""The metadata of flattened relations: what Dagster shows, and what the next stage reads back."""

from typing import TYPE_CHECKING

import dagster as dg

from ddb_assets.aws.storage import join
from ddb_assets.contract.report import Relation
from ddb_assets.contract.table import Table
from ddb_assets.flatten.advice import advice
from ddb_assets.flatten.profile import path_rows
from ddb_assets.flatten.vanished import vanished
from ddb_assets.markdown import code, prose
from ddb_assets.orchestration import metadata

if TYPE_CHECKING:
    from ddb_assets.flatten.flatten import Flattened


def flattened_facts(flattened: "Flattened", relation: Relation, folder: str) -> metadata.Metadata:
    """The metadata of one relation of an export that was flattened into `folder`; `upstream_folder` reads it back."""
    report = flattened.report
    facts: metadata.Metadata = {
        metadata.COLUMNS: dg.MetadataValue.table_schema(dg.TableSchema(columns=metadata.columns(relation))),
        metadata.ROWS: dg.MetadataValue.int(relation.rows),
        metadata.URI: dg.MetadataValue.text(join(folder, relation.name)),
        metadata.FOLDER: dg.MetadataValue.text(folder),
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
            "summary": metadata.markdown(
                ("Relation", "Rows", "Columns", "Parts", "Bytes"),
                [
                    (code(r.name), f"{r.rows:,}", len(r.columns), len(r.parts), f"{sum(p.bytes for p in r.parts):,}")
                    for r in report.relations
                ],
                f"{report.items_in_manifest:,} items in the manifest = {report.root.rows:,} rows + "
                f"{report.quarantined:,} quarantined; "
                f"{report.extra_values:,} values fit no column and are kept in `_ddb_extra`.",
            ),
            "profile": _profile(flattened),
        }
        if lines := advice(flattened):
            facts["to_mend"] = dg.MetadataValue.json(lines)
        if gone := vanished(flattened):
            facts["vanished_attributes"] = dg.MetadataValue.json(gone[: metadata.MAX_ROWS])
        if report.unknown_members:
            members = [(code(name), f"{count:,}") for name, count in report.unknown_members.items()]
            facts["unknown_members"] = metadata.markdown(("Member", "Lines"), members)
        if report.misfits:
            rows = [(what, code(path), f"{n:,}") for what, paths in report.misfits.items() for path, n in paths.items()]
            facts["misfits"] = metadata.markdown(("What happened", "Path", "Values"), rows[: metadata.MAX_ROWS])
        if changes := flattened.changes:
            facts["schema_changes"] = metadata.markdown(
                ("Path", "Change", "Seen in item"),
                [(code(c.path), prose(c.what), code(c.example or "")) for c in changes[: metadata.MAX_ROWS]],
                f"Schema version {report.schema_version}.",
            )
    return facts


def _profile(flattened: "Flattened") -> dg.MetadataValue:
    """What was seen at each path, as a Markdown table of the first paths; profile.json has all of them."""
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
    more = f"{len(rows) - metadata.MAX_ROWS} more paths are in profile.json." if len(rows) > metadata.MAX_ROWS else ""
    return metadata.markdown(
        ("Path", "Types", "Absent", "NULL", "Bytes", "Digits", "Seen in item"), rows[: metadata.MAX_ROWS], more
    )


def upstream_folder(context: dg.AssetExecutionContext, table: Table) -> str:
    """The folder of the newest flattened full export. Raises UpstreamError when there is none."""
    return str(
        metadata.upstream(context, metadata.key_of(table, "full_parquet"), metadata.FOLDER)[metadata.FOLDER].value
    )
