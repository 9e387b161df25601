"""What one flattened export is: its relations, their Parquet parts, and the counts that prove nothing is missing.

`report.json` is written last, after every part, so a folder with a report is whole. The warehouse stage reads only the
report and the parts it names; it never lists folders. How items become rows is `flatten.py`; how the columns came about
is `schema.py`.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from operator import add
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ddb_assets.contract.identity import Identity

Role = Literal["key", "index", "value", "version", "deleted", "extra"]
"""What a column is for.

key: the item's partition or sort key, repeated in child relations; index: position in the list a child row comes from;
value: an attribute; version: `_ddb_version`; deleted: `_ddb_deleted`, only in the root relation of an incremental export;
extra: `_ddb_extra`.
"""


MODULUS = 1 << 64
"""Sums of measures are modulo this."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Document):
    """One column of a relation, in Parquet and in the warehouse.

    `path` leads to the attribute from the relation's item or list element, `()` for a bookkeeping column or the element
    itself. `type` is a Redshift type: BIGINT, DECIMAL(p,s), DOUBLE PRECISION, VARCHAR(n), VARBYTE(n), BOOLEAN, SUPER,
    TIMESTAMP, TIMESTAMPTZ or DATE. SUPER is JSON text in Parquet. `empty`: nothing but NULL was ever seen in it, so its
    type is only a beginning, and any other holds all its values. `declared`: the contract declares the type.
    """

    name: str
    path: tuple[str, ...]
    type: str
    role: Role = "value"
    empty: bool = False
    declared: bool = False


class Measure(_Document):
    """What a column's values add up to: how many are not NULL, the least and the greatest, their sum modulo 2^64.

    Of whole numbers: those of BIGINT, microseconds since 1970 of times and days of dates, DECIMAL without its point,
    bytes of texts and of VARBYTE, 1 for TRUE. DOUBLE PRECISION has no sum, as it depends on the order.
    """

    values: int
    least: int | float | None = None
    most: int | float | None = None
    sum: int = 0

    def __add__(self, other: "Measure") -> "Measure":
        """The measure of the values of both."""
        return Measure(
            values=self.values + other.values,
            least=min((n for n in (self.least, other.least) if n is not None), default=None),
            most=max((n for n in (self.most, other.most) if n is not None), default=None),
            sum=(self.sum + other.sum) % MODULUS,
        )


class Part(_Document):
    """One Parquet file of a relation; `bytes` is its size, `md5` the base64 MD5 of its content.

    `measures` has every column by name until the relation adds them up (`with_parts`). `long` is found only in reports of
    earlier versions: the text columns with a value of more than 65,535 bytes. Neither is written.
    """

    uri: str
    rows: Annotated[int, Field(ge=0)]
    bytes: Annotated[int, Field(ge=0)]
    md5: str
    long: Annotated[tuple[str, ...], Field(exclude=True)] = ()
    measures: Annotated[dict[str, Measure], Field(exclude=True)] = {}


class Relation(_Document):
    """A table to be: the root (`path == ()`) or the child of a list.

    `columns` are in the order in which they stand in every part. A root row is identified by its key columns, a child row
    by its key and index columns. `measures` has every column by name, for all parts together; it is empty without parts and
    in reports of earlier versions.
    """

    name: str
    path: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: int = 0
    parts: tuple[Part, ...] = ()
    measures: dict[str, Measure] = {}

    def with_parts(self, parts: Sequence[Part]) -> "Relation":
        """The relation with these parts, their rows and measures added up."""
        names = [column.name for column in self.columns] if parts else []
        return self.model_copy(
            update={
                "rows": sum(part.rows for part in parts),
                "parts": tuple(part.model_copy(update={"measures": {}}) for part in parts),
                "measures": {name: reduce(add, (part.measures[name] for part in parts)) for name in names},
            }
        )

    @property
    def keys(self) -> tuple[Column, ...]:
        """The item's key columns: the partition key, then the sort key if there is one."""
        return tuple(c for c in self.columns if c.role == "key")

    @property
    def identity(self) -> tuple[Column, ...]:
        """The columns that tell one row from every other."""
        return tuple(c for c in self.columns if c.role in {"key", "index"})

    def column(self, role: Role) -> Column:
        """The one column of a bookkeeping role."""
        return next(c for c in self.columns if c.role == role)


class Hidden(_Document):
    """What the contract hides at one path, and the columns, by relation, that may hold values from before it did."""

    path: str
    how: str
    columns: dict[str, tuple[str, ...]]


class Report(_Document):
    """The outcome of flattening one export.

    `items_in_manifest == rows of the root relation + quarantined` holds, or `flatten` raised; for an
    incremental export the root's rows include the deletes. `lines_read` counts lines of data files, `extra_values` the
    attribute values that fitted no column and stand in `_ddb_extra`, `bytes_raw` the decompressed input. `misfits` says
    what happened to values without a fitting column, by path: extra, frozen (in `_ddb_extra` too, but the contract
    forbids loading), discarded, truncated, spilled.
    `reasons` are why the first items were quarantined. `unread` is a relation of the keys of quarantined items, of those
    whose key can be read and is one that a row can have; `without_row` counts those whose key no row can have.
    `unknown_members` counts members of lines that are not known, by name.
    `digest` identifies the export's content and everything that decided the rows: `identity`, which is None in reports of
    versions before it.
    """

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

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_versions(cls, document: object) -> object:
        """Their reports have a count `filtered`, which was always 0."""
        if isinstance(document, dict):
            return {name: value for name, value in document.items() if name != "filtered"}
        return document

    @property
    def is_full(self) -> bool:
        """Whether it is of a full export; else it is of a window."""
        return self.export_type == "FULL_EXPORT"

    @property
    def root(self) -> Relation:
        """The relation of the items themselves."""
        return self.relations[0]

    @property
    def files(self) -> tuple[str, ...]:
        """The URIs of all files that the report lists."""
        relations = (*self.relations, *([self.unread] if self.unread else []))
        return (*(part.uri for relation in relations for part in relation.parts), *self.quarantine)

    @property
    def missed(self) -> int:
        """How many quarantined items may have a row in the warehouse that this export cannot update."""
        return self.quarantined - self.without_row

    @property
    def unkeyed(self) -> int:
        """How many quarantined items have no readable key, so that any row may be theirs."""
        return self.missed - (self.unread.rows if self.unread else 0)

    @property
    def children(self) -> tuple[Relation, ...]:
        """The relations of declared lists."""
        return self.relations[1:]
