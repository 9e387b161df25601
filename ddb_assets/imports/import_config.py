"""The settings of an import: those of an `import.yaml` (how files are read, which attribute comes from where), and its options.

Pure. `mapping/item_mapping.py` applies the rules.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from ddb_assets.bulk.limits import PROVISIONED_SHARE
from ddb_assets.bulk.options import Verify, WriteOptions
from ddb_assets.bulk.rows import Format
from ddb_assets.contract.contract_yaml import ConfigError, read_documents, validated
from ddb_assets.dynamodb.attribute_value import Descriptor
from ddb_assets.imports.formats.csv_format import CsvFormat
from ddb_assets.imports.formats.json_document import parse_items_at
from ddb_assets.imports.mapping.where import Changes, Filter
from ddb_assets.imports.refused import NaN
from ddb_assets.imports.tables.index_config import IndexConfig, checked_indexes

Mode = Literal["put", "if-not-exists", "delete"]
SOURCES = ("column", "template", "expression", "constant", "map", "list")


def _null_type(value: object) -> object:
    """YAML reads `NULL` without quotes as no value."""
    return "NULL" if value is None else value


Type = Annotated[Descriptor, BeforeValidator(_null_type)]


def _expression(text: str) -> str:
    from ddb_assets.imports.mapping.expressions import Expression  # with Jinja, for those who have one

    Expression.of(text)
    return text


class Rule(BaseModel):
    """Where the value of one attribute comes from. Plain text is the name of a column.

    Exactly one of `column`, `template` ("${first} ${last}", "$$" for a dollar), `expression` (`price * quantity`), `constant`,
    `map` (rules by name) and `list` (rules). `type` is the attribute's type; by default the value keeps its own. `separator`
    divides a text into members of a set or list. A row without a value for it gets `default`; with `required` and no default
    it is rejected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str | None = None
    template: str | None = None
    expression: Annotated[str, AfterValidator(_expression)] | None = None
    constant: Any = None
    map: "dict[str, RuleText] | None" = None
    list: "tuple[RuleText, ...] | None" = None
    type: Annotated[Descriptor | None, BeforeValidator(_null_type)] = None
    separator: Annotated[str, Field(min_length=1)] | None = None
    required: bool = False
    default: Any = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in SOURCES if name in self.model_fields_set]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(SOURCES)}; here are {', '.join(given) or 'none'}")
        if self.type is not None and given[0] in {"map", "list"}:
            raise ValueError(f"a {given[0]} cannot have another type: leave `type` out")
        return self


def _rule(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


def _place(text: str | None) -> str | None:
    if text is not None:
        parse_items_at(text)
    return text


RuleText = Annotated[Rule, BeforeValidator(_rule, json_schema_input_type=Rule | str)]


class ImportConfig(BaseModel):
    """One import. Without any settings every column becomes an attribute of the same name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Annotated[
        Format | None, Field(description="how the files are written; by default by their names and first lines")
    ] = None
    items_at: Annotated[
        str | None,
        AfterValidator(_place),
        Field(description="which array of a JSON document has the items, such as Items, data.orders or [].Items"),
    ] = None
    csv: Annotated[CsvFormat, Field(description="how CSV files are written")] = CsvFormat()
    types: Annotated[
        dict[str, Type], Field(description="per column; a CSV column otherwise has the type that all its cells allow")
    ] = {}
    where: Annotated[
        tuple[Filter, ...], Field(description="the rows to import: those that fulfil all of these filters")
    ] = ()
    changes: Annotated[
        Changes | None, Field(description="for files of changes: the column that says which rows delete their item")
    ] = None
    attributes: Annotated[
        dict[str, RuleText], Field(description="per attribute: a column, template, constant, map or list")
    ] = {}
    rest: Annotated[
        bool | None,
        Field(description="whether columns that no rule uses become attributes too; by default only without rules"),
    ] = None
    exclude: Annotated[
        tuple[str, ...], Field(description="columns that become no attributes unless a rule uses them")
    ] = ()
    write_nulls: Annotated[
        bool,
        Field(
            description="whether a missing value becomes an attribute of type NULL; by default there is no attribute"
        ),
    ] = False
    nan: Annotated[
        NaN,
        Field(
            description="what NaN and infinities of Parquet become: reject rejects the row, null is no value, string a text"
        ),
    ] = "reject"
    mode: Annotated[
        Mode,
        Field(description="put replaces items, if-not-exists keeps existing ones, delete deletes the keys of the rows"),
    ] = "put"

    indexes: Annotated[
        dict[str, IndexConfig] | None,
        Field(description="global secondary indexes that a new table gets, by name: a key, and what it projects"),
    ] = None

    @field_validator("indexes")
    @classmethod
    def _possible(cls, indexes: dict[str, IndexConfig] | None) -> dict[str, IndexConfig] | None:
        checked_indexes(indexes or {})
        return indexes

    @property
    def takes_rest(self) -> bool:
        """Whether columns without a rule become attributes."""
        return not self.attributes if self.rest is None else self.rest


class ImportOptions(WriteOptions):
    """How an import runs, as YAML may declare it.

    Without `max_rejects` each rejected row is a failure, and more than 1,000 stop the import.
    """

    share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="share of the capacity of the table and of each index; "
        f"by default {PROVISIONED_SHARE} when it is provisioned, all when on demand",
    )
    max_rejects: int | None = Field(
        default=None, ge=0, description="this many rejected rows are allowed; one more stops the import"
    )
    allow_empty: bool = Field(default=False, description="it is no error when the files have no rows")
    verify: Verify = 0
    keep_before: str = Field(
        default="",
        description="folder, local or s3://, in which the item that each write replaces is kept before the write, for "
        "`ddb-assets undo`; each run has its own in a folder/",
    )
    require_pitr: bool = Field(
        default=False, description="write nothing unless point-in-time recovery of the table is on"
    )
    report_extra: bool = Field(
        default=False, description="read the keys of the table afterwards, and report the items without a row"
    )


class BulkPutConfig(BaseModel):
    """For a table that AWS is to fill, instead of writes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    staging: str = Field(
        default="", description="folder on S3 in which the items are staged; by default imports below the lake"
    )
    staging_owner: str = Field(
        default="", pattern="^([0-9]{12})?$", description="the account of its bucket, if it is another one"
    )


class JobOptions(ImportOptions):
    """What a single run adds. A job that was killed or failed is resumed, unless `restart` is set."""

    dry_run: bool = Field(default=False, description="read and check everything, write nothing")
    restart: bool = Field(default=False, description="begin at the beginning although an earlier run was not finished")


def read_import_config(path: Path) -> ImportConfig:
    """Raises ConfigError naming file, line and what is wrong there."""
    documents = read_documents(path)
    if len(documents) != 1:
        raise ConfigError(f"{path}: an import is one YAML document, here are {len(documents)}")
    return validated(path, documents[0], ImportConfig, "the import")
