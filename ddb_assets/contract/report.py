"""The report of a flattened export: its relations, their Parquet parts, and the counts that prove that nothing is
missing.

`report.json` is written after every part, so a folder with a report is complete. The warehouse stage reads only the
report and the files that it lists; it never lists folders. `flatten/flatten.py` makes the rows, `flatten/infer.py` the
columns.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import reduce
from operator import add
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ddb_assets.contract.durable import DurableFormat
from ddb_assets.contract.identity import Identity
from ddb_assets.contract.scan import Scanned
from ddb_assets.contract.windows import KEY_FORMAT
from ddb_assets.logs import about

Role = Literal["key", "index", "value", "version", "deleted", "extra", "hash", "old_hash"]
"""What a column is for.

key: the item's partition or sort key, also in child relations; index: a child row's position in its list, from 0;
value: an attribute; version: `_ddb_version`; deleted: `_ddb_deleted`, only in the root relation of an incremental
export; extra: `_ddb_extra`; hash and old_hash: hashes of the item after its last write and before the window, only in
the root relation of a table with `history`.
"""
FORMAT = DurableFormat("the report of a flattened export")
_ONLY_STAGED = frozenset({"deleted", "hash", "old_hash"})


MODULUS = 1 << 64
"""The sums of measures are taken modulo this number."""


class _ReportModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_ReportModel):
    """One column of a relation, in Parquet and in the warehouse.

    `path` is the attribute's path within the item or list element of the relation; it is `()` for a bookkeeping column
    and for the element itself. `type` is a Redshift type: BIGINT, DECIMAL(p,s), DOUBLE PRECISION, VARCHAR(n),
    VARBYTE(n), BOOLEAN, SUPER, TIMESTAMP, TIMESTAMPTZ or DATE. SUPER is JSON text in Parquet. `empty`: only NULL was
    ever seen, so the type is provisional, and any other type holds all values. `declared`: the contract declares the
    type.
    """

    name: str
    path: tuple[str, ...]
    type: str
    role: Role = "value"
    empty: bool = False
    declared: bool = False

    @property
    def is_stored(self) -> bool:
        """Whether the table of its relation has the column; the others only tell a load what to do with the row."""
        return self.role not in _ONLY_STAGED


class Measure(_ReportModel):
    """Statistics of a column's values: how many are not NULL, the least, the greatest, and their sum modulo 2^64.

    Each value counts as a whole number: a BIGINT as it is, a time as microseconds since 1970, a date as days since
    1970, a DECIMAL without its point, a text or VARBYTE as its length in bytes, TRUE as 1. DOUBLE PRECISION has a least
    and a greatest value as floats; it has no sum, because a sum of floats depends on the order.
    """

    values: int
    least: int | float | None = None
    most: int | float | None = None
    sum: int = 0

    def __add__(self, other: "Measure") -> "Measure":
        """The measure of both sets of values together."""
        return Measure(
            values=self.values + other.values,
            least=min((n for n in (self.least, other.least) if n is not None), default=None),
            most=max((n for n in (self.most, other.most) if n is not None), default=None),
            sum=(self.sum + other.sum) % MODULUS,
        )


class Part(_ReportModel):
    """One Parquet file of a relation; `bytes` is its size, `md5` the base64 MD5 of its content.

    `measures` is by column name, until the relation adds them up (`with_parts`). `long` occurs only in reports of
    earlier versions: the text columns with a value of more than 65,535 bytes. Neither field is written.
    """

    uri: str
    rows: Annotated[int, Field(ge=0)]
    bytes: Annotated[int, Field(ge=0)]
    md5: str
    long: Annotated[tuple[str, ...], Field(exclude=True)] = ()
    measures: Annotated[dict[str, Measure], Field(exclude=True)] = {}


class Relation(_ReportModel):
    """A future table of the warehouse: the root relation (`path == ()`) or the child relation of a list.

    Every part has the `columns` in this order. Key columns identify a root row; key and index columns identify a child
    row. `measures` is by column name, for all parts together; it is empty without parts and in reports of earlier
    versions.
    """

    name: str
    path: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: int = 0
    parts: tuple[Part, ...] = ()
    measures: dict[str, Measure] = {}

    def with_parts(self, parts: Sequence[Part], measures: Mapping[str, Measure] | None = None) -> "Relation":
        """The relation with these parts and the sums of their rows and measures; `measures` if they are summed already."""
        names = [column.name for column in self.columns] if parts else []
        return self.model_copy(
            update={
                "rows": sum(part.rows for part in parts),
                "parts": tuple(part.model_copy(update={"measures": {}}) for part in parts),
                "measures": {
                    name: measures[name] if measures else reduce(add, (part.measures[name] for part in parts))
                    for name in names
                },
            }
        )

    @property
    def keys(self) -> tuple[Column, ...]:
        """The item's key columns: the partition key, then the sort key if there is one."""
        return tuple(c for c in self.columns if c.role == "key")

    @property
    def identity(self) -> tuple[Column, ...]:
        """The columns that identify a row: key columns, then index columns."""
        return tuple(c for c in self.columns if c.role in {"key", "index"})

    def column(self, role: Role) -> Column:
        """The column of a role that only one column has. Raises StopIteration when the relation has none."""
        return next(c for c in self.columns if c.role == role)


class Hidden(_ReportModel):
    """A path that the contract hides, and the columns, by relation, that may hold its values from earlier loads."""

    path: str
    how: str
    columns: dict[str, tuple[str, ...]]


class Report(_ReportModel):
    """The result of flattening one export.

    `items_in_manifest == rows of the root relation + quarantined` always holds; otherwise `flatten` raises. The root
    rows of an incremental export include the deletes. `lines_read` counts the lines of the data files, `extra_values`
    the attribute values that fit no column and are kept in `_ddb_extra`, `bytes_raw` the decompressed bytes.

    `misfits` counts the values without a fitting column, by what happened and by path: extra, frozen (kept in
    `_ddb_extra` too, but the contract forbids the load), discarded, hidden, truncated, spilled. `unknown_members` counts
    the unknown members of lines, by name.

    `reasons` says why the first items were quarantined. `unread` is a relation of the keys of quarantined items, as far
    as they can be read and a row can have them; `without_row` counts the quarantined items whose key no row can have.

    `billed_bytes` is what DynamoDB bills for the export, 0 in reports of earlier versions. `scan` is None unless a scan wrote
    what was flattened. `old_images`: the lines of a window also have the items from before it, and their hashes are among
    the rows.

    `digest` identifies the export's content together with its `identity`, which is everything else that decides the
    rows. Reports of earlier versions have no `identity`.
    """

    format: Literal[1] = 1
    table: str
    name: str
    table_arn: str
    table_id: str
    export_id: str
    export_arn: str
    export_type: Literal["FULL_EXPORT", "INCREMENTAL_EXPORT"]
    export_time: datetime | None = None
    from_time: datetime | None = None
    to_time: datetime | None = None
    digest: str
    schema_version: int
    items_in_manifest: int
    lines_read: int
    rows: dict[str, int]
    deletes: int
    quarantined: int
    extra_values: int
    misfits: dict[str, dict[str, int]] = {}
    hidden: tuple[Hidden, ...] = ()
    bytes_raw: int
    bytes_parquet: int
    seconds: float
    relations: tuple[Relation, ...] = Field(alias="schema", min_length=1)
    quarantine: tuple[str, ...] = ()
    identity: Identity | None = None
    reasons: tuple[str, ...] = ()
    unread: Relation | None = None
    without_row: int = 0
    unknown_members: dict[str, int] = {}
    billed_bytes: int = 0
    scan: Scanned | None = None
    old_images: bool = False

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @property
    def about(self) -> dict[str, str]:
        """Which table, export and window it is of, for records of the log."""
        window = f"{self.from_time:{KEY_FORMAT}}" if self.from_time else ""
        return about(self.name, self.export_id, window)

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_versions(cls, document: object) -> object:
        """Drops `filtered`, a count in the reports of earlier versions that was always 0."""
        if isinstance(document, dict):
            return {name: value for name, value in document.items() if name != "filtered"}
        return document

    @property
    def is_full(self) -> bool:
        """Whether it is of a full export; else it is of a window."""
        return self.export_type == "FULL_EXPORT"

    @property
    def root(self) -> Relation:
        """The relation with one row per item."""
        return self.relations[0]

    @property
    def files(self) -> tuple[str, ...]:
        """The URIs of all files that the report lists."""
        relations = (*self.relations, *([self.unread] if self.unread else []))
        return (*(part.uri for relation in relations for part in relation.parts), *self.quarantine)

    @property
    def missed(self) -> int:
        """The number of quarantined items that may have a row in the warehouse, which this export cannot update."""
        return self.quarantined - self.without_row

    @property
    def unkeyed(self) -> int:
        """The number of quarantined items without a readable key: any row of the warehouse may be theirs."""
        return self.missed - (self.unread.rows if self.unread else 0)

    @property
    def children(self) -> tuple[Relation, ...]:
        """The relations of declared lists."""
        return self.relations[1:]
