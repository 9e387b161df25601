"""`ddb-assets status`: where each table stands, and what needs a person."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from ddb_assets.aws.clients import AWS
from ddb_assets.cli.declared import ask_dagster, instance, lake_at, tables
from ddb_assets.cli.output import print_grid, print_json, say
from ddb_assets.settings import warehouse_address
from ddb_assets.status.look import Status, look
from ddb_assets.status.pictures import Silent

HEADER = ("table", "initial load", "shows until", "behind", "windows behind", "rows", "quarantined", "extra", "stream")


def run(
    names: tuple[str, ...],
    configs: tuple[Path, ...],
    project: Path,
    warehouse: str | None,
    lake: str | None,
    *,
    as_json: bool,
) -> None:
    """Looks at every table and prints what was seen. Exits with 1 if something needs a person."""
    declared = tables(names, configs, project)
    aws, place, address = AWS(), lake_at(lake), warehouse or warehouse_address()
    with instance() as found:
        ask = ask_dagster(found)
        seen = [look(aws, address, place, table, ask) for table in declared]
    needs = any(status.needs_a_person for status in seen)
    if as_json:
        print_json({"needs_a_person": needs, "tables": [status.document() for status in seen]})
    else:
        _print(seen)
    if needs:
        sys.exit(1)


def _print(seen: list[Status]) -> None:
    acting = sum(status.needs_a_person for status in seen)
    title = f"{acting} of {len(seen)} tables need a person" if acting else f"{len(seen)} tables, nothing to mend"
    print_grid(title, (*HEADER, "exports cost"), [_row(status) for status in seen])
    for status in seen:
        for finding in status.findings:
            say(f"\n{status.table.name}: {finding.code} ({finding.where})\n  {finding.what}")
            if finding.command:
                say(f"  {finding.command}")
    for name in ("lake", "dagster"):
        said = getattr(seen[0].seen, name) if seen else None
        if isinstance(said, Silent) and not said.failed:
            say(f"{name} was not asked: {said.reason}", err=True)


def _row(status: Status) -> tuple[object, ...]:
    found = status.numbers
    return (
        status.table.name,
        _moment(found.baseline),
        _moment(found.shows_until),
        _length(found.behind),
        found.windows_behind,
        found.rows.get(status.table.name),
        found.quarantined,
        found.extra_values,
        _length(found.stream_lag),
        "" if found.usd is None else f"${found.usd:,.2f}",
    )


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _length(seconds: float | None) -> str:
    """A time in the unit that says it best."""
    if seconds is None:
        return ""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
