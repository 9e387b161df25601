"""External tables: Iceberg tables of the Glue Data Catalog, read as they are when a statement begins.

A statement that names such a table reads a temporary table with the rows of the newest snapshot. The temporary table is made
again whenever the catalog has another snapshot by then. External tables can only be read here; Redshift can also change
Iceberg tables.
Facts: Redshift Database Developer Guide, "Querying Iceberg tables", "Supported data types with Apache Iceberg tables": texts
are VARCHAR(16384), and longer ones are cut; bytes are VARBYTE(64000). That longer bytes are cut is assumed.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
from botocore.exceptions import ClientError
from sqlglot import exp

from ddb_assets.sandbox.redshift.backend import Backend, literal
from ddb_assets.sandbox.redshift.names import fold
from ddb_assets.sandbox.redshift.wire import ServerError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pyiceberg.types import IcebergType

TEXT_BYTES = 16_384
BINARY_BYTES = 64_000
External = tuple[str, str]
"""Schema and table, folded."""


@dataclass(frozen=True)
class DataCatalog:
    """The Glue Data Catalog, and what pyiceberg needs to read its tables' files (`s3.endpoint`, …)."""

    glue: Any
    files: "Mapping[str, str]"

    def newest(self, database: str, table: str) -> str:
        """Where the metadata of a table's newest snapshot lies. Raises ServerError if there is no such Iceberg table."""
        try:
            found = self.glue.get_table(DatabaseName=database, Name=table)["Table"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "EntityNotFoundException":
                raise ServerError(f'relation "{table}" does not exist', "42P01") from None
            raise ServerError(f"the Data Catalog refused: {error}", "XX000") from error
        parameters = found.get("Parameters", {})
        if parameters.get("table_type", "").upper() != "ICEBERG":
            raise ServerError(f"the emulator reads Iceberg tables only, and {database}.{table} is none", "0A000")
        return str(parameters["metadata_location"])


def named(tree: exp.Expr, catalogs: "Collection[str]") -> list[exp.Table]:
    """The external tables that a statement names. Raises ServerError for a statement that Redshift, or we, refuse for them."""
    found = [table for table in tree.find_all(exp.Table) if fold(table.db) in catalogs] if catalogs else []
    if found and isinstance(tree, exp.Create) and tree.kind == "VIEW":
        raise ServerError("External tables are not supported in views", "0A000")
    if found and isinstance(tree, exp.Insert | exp.Update | exp.Delete | exp.Merge):
        target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        if any(table is target for table in found):
            raise ServerError("the emulator only reads external tables", "0A000")
    return found


def replaced(tree: exp.Expr, catalogs: "Collection[str]") -> frozenset[External]:
    """Puts the temporary tables in the place of external ones, which it returns."""
    names = set()
    for table in named(tree, catalogs):
        external = (fold(table.db), fold(table.name))
        names.add(external)
        alias = exp.TableAlias(this=exp.to_identifier(table.alias_or_name, quoted=True))
        table.replace(exp.Table(this=exp.to_identifier(_temporary(external), quoted=True), alias=alias))
    return frozenset(names)


def _temporary(external: External) -> str:
    return "external_" + hashlib.sha256("\0".join(external).encode()).hexdigest()[:24]


class ExternalTables:
    """The temporary tables of one session. `catalogs` has the database of every external schema."""

    def __init__(self, backend: Backend, catalog: DataCatalog | None, catalogs: "Mapping[str, str]") -> None:
        self._backend, self._catalog, self._catalogs = backend, catalog, catalogs

    def refresh(self, tables: "Collection[External]") -> None:
        """Gives the temporary tables the rows of the newest snapshots. Raises ServerError for a table that is not there."""
        if self._backend.status == b"E":
            return
        for external in sorted(tables):
            if self._catalog is None:
                raise ServerError("the emulator was started without a Data Catalog", "0A000")
            newest = self._catalog.newest(self._catalogs[external[0]], external[1])
            name = f'pg_temp."{_temporary(external)}"'
            # the comment is rolled back with the table
            held = self._backend.query(f"SELECT obj_description(to_regclass({literal(name)}), 'pg_class')")[0][0]
            if held != newest:
                self._fill(name, newest)
                self._backend.query(f"COMMENT ON TABLE {name} IS {literal(newest)}")

    def _fill(self, name: str, metadata: str) -> None:
        from pyiceberg.table import StaticTable  # an extra, which only these tables need

        assert self._catalog is not None  # noqa: S101 -- see refresh
        table = StaticTable.from_metadata(metadata, dict(self._catalog.files))
        kinds = {field.name: _type(field.field_type, field.name) for field in table.schema().fields}
        columns = ", ".join(f'"{column}" {kind}' for column, kind in kinds.items())
        self._backend.query(f"DROP TABLE IF EXISTS {name}; CREATE TEMP TABLE {name.partition('.')[2]} ({columns})")
        if table.current_snapshot() is not None:
            self._backend.copy_in(
                f"COPY {name} FROM STDIN WITH (FORMAT csv)", _chunks(table.scan().to_arrow_batch_reader())
            )


def _type(kind: "IcebergType", column: str) -> str:
    """The type in PostgreSQL. Raises ServerError for a type that this reads not."""
    known = {
        "boolean": "boolean",
        "int": "integer",
        "long": "bigint",
        "float": "real",
        "double": "double precision",
        "date": "date",
        "timestamp": "timestamp",
        "timestamptz": "timestamptz",
        "string": f"rs_varchar({TEXT_BYTES})",
        "binary": f"varbyte({BINARY_BYTES})",
    }
    text = str(kind)
    if text.startswith("decimal"):
        return "numeric" + text.removeprefix("decimal")
    if text not in known:
        raise ServerError(f"the emulator does not read {text}, the type of the external column {column}", "0A000")
    return known[text]


def _chunks(batches: pa.RecordBatchReader) -> Iterator[bytes]:
    for batch in batches:
        frame = pl.from_arrow(batch)
        assert isinstance(frame, pl.DataFrame)  # noqa: S101 -- a record batch becomes one
        yield pl.DataFrame([_text(column) for column in frame.iter_columns()]).write_csv(include_header=False).encode()


def _text(values: pl.Series) -> pl.Series:
    """The values as texts for PostgreSQL's COPY, cut as Redshift cuts them."""
    if values.dtype == pl.Binary:
        cut = [None if one is None else "\\x" + one[:BINARY_BYTES].hex() for one in values.to_list()]
        return pl.Series(values.name, cut, pl.String)
    if values.dtype == pl.String and (values.str.len_bytes().max() or 0) > TEXT_BYTES:  # type: ignore[operator]
        cut = [one and one.encode()[:TEXT_BYTES].decode(errors="ignore") for one in values.to_list()]
        return pl.Series(values.name, cut, pl.String)
    if isinstance(values.dtype, pl.Datetime):
        zone = "+00" if values.dtype.time_zone else ""
        return values.dt.strftime(f"%Y-%m-%d %H:%M:%S%.6f{zone}")
    return values
