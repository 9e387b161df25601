"""`ddb-assets retention`: deletes what is older than `keep` says, after it has said what it would delete."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ddb_assets.aws.clients import AWS
from ddb_assets.cli.declared import lake_at, tables
from ddb_assets.cli.output import print_grid, print_json, say
from ddb_assets.contract.keep import KINDS, deletes, keep_of
from ddb_assets.errors import DdbAssetsError
from ddb_assets.retention.retention import Outcome, Retention
from ddb_assets.settings import KEEP, LAKE, SettingError, iceberg_address, warehouse_address
from ddb_assets.status.pictures import Silent


def run(
    names: tuple[str, ...],
    configs: tuple[Path, ...],
    project: Path,
    warehouse: str | None,
    lake: str | None,
    iceberg: str | None,
    *,
    apply: bool,
    as_json: bool,
) -> None:
    """Looks at every table, and deletes with `apply`. Exits with 1 if a table is refused or cannot be looked at."""
    tables(names, configs, project)  # refuses unknown names
    declared = tables((), configs, project)
    place = lake_at(lake)
    if isinstance(place, Silent):
        raise SettingError(f"{place.reason}: name the lake by --lake or {LAKE}")
    catalog = iceberg or iceberg_address(place.root)
    every = Retention(AWS(), warehouse or warehouse_address(), place, declared, catalog, datetime.now(UTC))
    done: list[Outcome] = []
    errors: dict[str, str] = {}
    for table in declared:
        if table.name in names or (not names and deletes(keep_of(table))):
            try:
                done.append(every.run(table, apply=apply))
            except DdbAssetsError as error:
                errors[table.name] = str(error)
    if as_json:
        failed: list[dict[str, Any]] = [{"name": name, "error": error} for name, error in errors.items()]
        print_json({"applied": apply, "tables": [*(one.document() for one in done), *failed]})
    else:
        _print(done, errors, apply=apply)
    if errors or any(one.refused for one in done):
        sys.exit(1)


def _print(done: list[Outcome], errors: dict[str, str], *, apply: bool) -> None:
    rows = [
        (one.table.name, kind, gone.files, gone.bytes, kept.files, kept.bytes)
        for one in done
        for kind in KINDS
        if (gone := one.deleted(kind)).files + (kept := one.kept(kind)).files
    ]
    if rows:
        header = ("table", "kind", "files deleted" if apply else "files to delete", "bytes", "files kept", "bytes kept")
        print_grid("deleted" if apply else "would be deleted", header, rows)
    for one in done:
        if one.refused:
            say(f"{one.table.name}: {one.refused}", err=True)
        for remark in one.remarks:
            say(f"{one.table.name}: {remark}", err=True)
        if one.unfinished:
            what = "were deleted" if apply else "would be deleted"
            say(f"{one.table.name}: {one.unfinished} files {what} that an earlier run has left when it ended early")
    for name, error in errors.items():
        say(f"{name}: {error}", err=True)
    if not done and not errors:
        say(f"no table has `keep`, and {KEEP} is not set: nothing is ever deleted")
    elif not apply:
        say("nothing was changed: --apply deletes what is listed")
