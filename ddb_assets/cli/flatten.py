"""`ddb-assets flatten`: an export as flat, typed Parquet, without Dagster."""

from pathlib import Path

from ddb_assets.cli.output import item_progress, print_grid, print_json, say
from ddb_assets.cli.source import Source, open_source
from ddb_assets.contract.report import Report
from ddb_assets.flatten.advice import advice
from ddb_assets.flatten.flatten import Flattened, flatten
from ddb_assets.flatten.schema_store import SchemaStore


def run(source: str, out: str, config: Path | None, key: str | None, *, as_json: bool) -> None:
    """Flattens the export and prints its report."""
    flattened = flatten_source(open_source(source, config, key, target=out), out, silent=as_json)
    if as_json:
        print_json(flattened.report.model_dump(mode="json"))
    else:
        print_report(flattened.report)
        print_advice(flattened)
        say(f"Parquet and report.json are in {out}")


def flatten_source(
    source: Source, out: str, *, silent: bool, schemas: SchemaStore | None = None, restart: bool = False
) -> Flattened:
    """`flatten` with a progress bar."""
    with item_progress(f"flatten {source.table.name}", source.export.item_count, silent=silent) as progress:
        return flatten(
            source.storage,
            source.export,
            table=source.table,
            key=source.known_key,
            out=out,
            schemas=schemas,
            restart=restart,
            on_progress=lambda lines: progress.advance(progress.tasks[0].id, lines),
        )


def print_advice(flattened: Flattened) -> None:
    """Prints what to write into the contract so that values get into their columns."""
    for line in advice(flattened):
        say(line, err=True)


def print_report(report: Report) -> None:
    """Prints the relations, and how many items became rows or went to quarantine."""
    print_grid(
        f"{report.table}: export {report.export_id}",
        ("relation", "rows", "columns", "parts", "bytes"),
        [(r.name, r.rows, len(r.columns), len(r.parts), sum(p.bytes for p in r.parts)) for r in report.relations],
    )
    say(
        f"{report.items_in_manifest:,} items = {report.root.rows:,} rows + {report.quarantined:,} quarantined; "
        f"{report.extra_values:,} extra values; {report.seconds:.2f} s"
    )
    for reason in report.reasons:
        say(f"quarantined: {reason}", err=True)
    if report.unknown_members:
        members = ", ".join(f"{name!r} ({count:,} lines)" for name, count in report.unknown_members.items())
        say(f"unknown members of lines, which were left out: {members}", err=True)
