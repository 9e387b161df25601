"""How the files of a source are read, and which of their records are rows of a table: as the settings of an import.

The files of a full load have the columns of one table. The files of changes have the kind of the change, the table and its
schema before them. Pure. Facts: DMS User Guide, "Using CDC with Amazon S3 as a source".
"""

from collections.abc import Container, Mapping
from typing import Any

from pydantic import ValidationError

from ddb_assets.imports.dms.document import DmsError
from ddb_assets.imports.dms.endpoint import Endpoint
from ddb_assets.imports.dms.source_tables import SourceTable, TableDefinition
from ddb_assets.imports.formats.csv_format import CsvFormat

Settings = dict[str, Any]


def full_load(source: Endpoint, table: SourceTable, definition: TableDefinition) -> tuple[str, Settings]:
    """The folder with the files, below the bucket or its folder, and `format` and `csv`.

    Raises DmsError when there are other files below it too.
    """
    others = {other.folder: other.name for other in definition.tables if other is not table}
    if source.changes:
        others[source.changes] = "changes (CdcPath)"
    _check_alone(table.folder, f"files of {table.name}", others, definition)
    if source.format != "csv":
        return table.folder, {"format": source.format}
    return table.folder, {"format": "csv", "csv": _csv(source, list(table.columns))}


def changes(source: Endpoint, table: SourceTable, definition: TableDefinition) -> tuple[str, Settings]:
    """The folder with the files, and `format`, `csv`, `changes` and the beginning of `where`.

    Raises DmsError for files of changes that cannot be read.
    """
    if source.changes is None:
        raise DmsError(f"{source.said}: there is no CdcPath, which says where the files of changes are: give it")
    if source.format != "csv":
        raise DmsError(f"{source.said}: files of changes are read if they are csv, and others are not")
    if len(definition.tables) > 1:
        raise DmsError(
            f"{definition.file}: files of changes have the records of all {len(definition.tables)} tables, which have "
            "different columns: define one table, and give files with its records alone"
        )
    _check_alone(source.changes, "files of changes", {table.folder: table.name}, definition)
    kind, name, schema = (_free(f"_{word}", table.columns) for word in ("change", "table", "schema"))
    return source.changes, {
        "format": "csv",
        "csv": _csv(source, [kind, name, schema, *table.columns]),
        "where": [
            {"column": name, "any": [{"eq": table.table_name}]},
            {"column": schema, "any": [{"eq": table.table_owner}]},
        ],
        "changes": {"column": kind},
    }


def _check_alone(folder: str, what: str, others: Mapping[str, str], definition: TableDefinition) -> None:
    """Files below a folder are read at any depth."""
    for other, name in others.items():
        if f"{other}/".startswith(f"{folder}/"):
            raise DmsError(
                f"{definition.file}: the {what} are below {folder}/, and those of {name} too, in {other}/: move one of "
                "them, or import their files by name"
            )


def _csv(source: Endpoint, columns: list[str]) -> Settings:
    csv: Settings = {"delimiter": source.delimiter}
    if not source.has_quotes:
        csv["quote"] = None
    if source.has_header:  # its names do not matter
        csv["header"] = True
    csv["columns"] = columns
    if source.no_value:
        csv["no_value"] = [source.no_value]
    try:
        CsvFormat.model_validate(csv)
    except ValidationError as error:
        said = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise DmsError(f"{source.said}: such CSV files cannot be read: {said}") from error
    return csv


def _free(name: str, taken: Container[str]) -> str:
    while name in taken:
        name = f"_{name}"
    return name
