"""The contract of one table: the attributes that its `defs.yaml` may have, and their defaults.

Pure: no dagster, no boto3. `table: Orders` alone is a complete contract. `components/dynamodb_table.py` makes the
assets of a contract.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, model_validator

from ddb_assets.contract.engine import EngineText, InProcess
from ddb_assets.contract.history import HistoryChoice
from ddb_assets.contract.keep import KeepChoice
from ddb_assets.contract.model import ContractModel
from ddb_assets.contract.policy import ColumnOptions, ContractMode, Oversize, Policies, Policy
from ddb_assets.contract.retain import RetainText
from ddb_assets.contract.scan import ScanOptions
from ddb_assets.contract.stages import (
    FULL_CHAIN,
    REPLACED,
    SCANNED,
    Chain,
    FullChain,
    FullStages,
    Stage,
    StreamChain,
    asset_path,
)
from ddb_assets.contract.stream import StreamOptions, StreamText
from ddb_assets.contract.windows import Cadence, WindowError
from ddb_assets.dynamodb.attribute_value import AttributeValueError, Step, format_path, parse_path

NAME = re.compile(r"[a-z_][a-z0-9_]*")
MAX_NAME = 100
"""The longest name, which leaves room for the suffixes of companion tables and child relations. DynamoDB allows 255."""
HASH_LENGTH = 8


def snake_case(text: str) -> str:
    """`userId` -> `user_id`, `HTTPCode` -> `http_code`, `a-b.c` -> `a_b_c`; letters of any script are kept."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text)
    return re.sub(r"_{2,}", "_", re.sub(r"\W", "_", words)).strip("_").lower()


def default_name(table: str) -> str:
    """The name of a table's assets and root relation when the contract has no `name`. `table` is a name or an ARN.

    A name that is too long is cut; a name without letters and digits becomes `table`. Both get a hash of the real name.
    """
    own = table.rpartition("/")[2]
    name = snake_case(own)
    name = f"_{name}" if name[:1].isdigit() else name
    if name and len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(own.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_LENGTH]
    return f"{(name or 'table')[: MAX_NAME - 1 - HASH_LENGTH].rstrip('_')}_{digest}"


def _path(text: str) -> str:
    try:
        parse_path(text)
    except AttributeValueError as error:
        raise ValueError(str(error)) from None
    return text


AttributePath = Annotated[str, AfterValidator(_path)]
"""`address.city`, `items[].sku`; a dot or bracket that belongs to a name has a backslash before it."""


def _owner(text: str) -> str:
    if not re.fullmatch(r"team:[A-Za-z0-9_-]+|[^@\s]+@[^@\s]+\.[^@\s]+", text):
        raise ValueError(f"owner {text!r} must be an e-mail address or team:<name>")
    return text


def _cadence(text: str) -> str:
    try:
        Cadence.parse(text)
    except WindowError as error:
        raise ValueError(str(error)) from None
    return text


class KeySchema(ContractModel):
    """The attribute names of a table's partition key and of its sort key, if it has one."""

    partition_key: Annotated[str, Field(min_length=1)]
    sort_key: Annotated[str, Field(min_length=1)] | None = None

    @classmethod
    def of(cls, attributes: Sequence[str]) -> "KeySchema":
        """The key schema of one or two attribute names."""
        return cls(partition_key=attributes[0], sort_key=attributes[1] if len(attributes) > 1 else None)

    @property
    def attributes(self) -> tuple[str, ...]:
        """The key attributes in order."""
        return (self.partition_key,) if self.sort_key is None else (self.partition_key, self.sort_key)


def _key_schema(value: object) -> object:
    if isinstance(value, str):
        partition_key, _, sort_key = (part.strip() for part in value.partition(","))
        return {"partition_key": partition_key, "sort_key": sort_key or None}
    return value


KeyText = Annotated[KeySchema, BeforeValidator(_key_schema, json_schema_input_type=KeySchema | str)]
"""A key schema; may be written as the text `PK` or `PK,SK`."""


class ExportTarget(ContractModel):
    """Where a table's exports are written, if not to the project's bucket, and how they are encrypted."""

    bucket: Annotated[str, Field(min_length=3, max_length=255)]
    prefix: str = ""
    bucket_owner: Annotated[
        str | None, Field(pattern=r"^[0-9]{12}$", description="account id, if the bucket belongs to another account")
    ] = None
    kms_key: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=2048,
            description="id or ARN of the KMS key that encrypts, in the bucket's Region; by default S3's own key does",
        ),
    ] = None

    @property
    def place(self) -> "ExportTarget":
        """The bucket and prefix only: the place where exports are found."""
        return ExportTarget(bucket=self.bucket, prefix=self.prefix)


Compression = Literal["zstd", "snappy"]
"""The compression of Parquet parts. zstd makes smaller files; Snappy is for readers without zstd."""


class WarehouseOptions(ContractModel):
    """The physical design of new tables in Redshift, by column name, and of the Parquet files. DuckDB has only `views`.

    diststyle: distribute rows by the partition key (`key`), evenly, to every node (`all`), or as Redshift chooses
    (`auto`). encode: the encodings with which Redshift cannot lengthen a VARCHAR are not allowed (Redshift Database
    Developer Guide, ALTER TABLE). slices: how many files Redshift reads at once. compression: that of the Parquet files.
    retain: which rows move to the cold tier.
    """

    diststyle: Literal["key", "even", "all", "auto"] = "key"
    sortkey: tuple[str, ...] = ()
    encode: dict[str, Literal["az64", "delta", "delta32k", "lzo", "mostly8", "mostly16", "mostly32", "raw", "zstd"]] = (
        Field(default_factory=dict)
    )
    slices: Annotated[int, Field(ge=1, le=4096)] = 16
    compression: Compression = "zstd"
    views: Annotated[
        str,
        AfterValidator(str.lower),
        Field(max_length=127, description="schema for views without bookkeeping; none if empty"),
    ] = ""
    retain: Annotated[
        RetainText | None,
        Field(description="rows older than this move to Iceberg tables: 400 days by created_at; by default none do"),
    ] = None


class Table(ContractModel):
    """The contract of one DynamoDB table."""

    table: Annotated[
        str, Field(min_length=1, description="the table's name or ARN; the ARN for another account or Region")
    ]
    name: Annotated[
        str, Field(description="name of the assets and of the root relation; by default the table's name in snake_case")
    ] = ""
    key: Annotated[KeyText | None, Field(description="PK or PK,SK; by default DynamoDB is asked")] = None
    export: Annotated[ExportTarget | None, Field(description="where exports go; else the project's bucket")] = None
    nested: Annotated[
        dict[AttributePath, Literal["flatten", "json", "child"]],
        Field(description="per path: maps flatten or json; lists json or a child relation"),
    ] = Field(default_factory=dict)
    columns: Annotated[
        dict[AttributePath, ColumnOptions],
        Field(description="per path: rename, type, exclude, mask, contract, oversize"),
    ] = Field(default_factory=dict)
    contract: Annotated[ContractMode, Field(description="what happens to attributes and types never seen before")] = (
        "evolve"
    )
    oversize: Annotated[Oversize, Field(description="what happens to texts too long for any column")] = "extra"
    timestamps: Annotated[
        bool, Field(description="whether texts that are all ISO 8601 become TIMESTAMP, TIMESTAMPTZ or DATE columns")
    ] = True
    max_depth: Annotated[int, Field(ge=0, le=32, description="how many maps within maps become columns")] = 8
    max_width: Annotated[int, Field(ge=1, le=1000, description="maps with more names than this become JSON")] = 100
    max_quarantined: Annotated[
        int, Field(ge=0, description="more quarantined items than this in one export are an error, fewer a warning")
    ] = 0
    load: Annotated[
        Literal["upsert", "replace"],
        Field(description="upsert: one full export, then the changes of each window; replace: full exports only"),
    ] = "upsert"
    cadence: Annotated[
        str,
        AfterValidator(_cadence),
        Field(description="how often: 15 min to 24 h, such as 15 min, hourly, 6 h, daily"),
    ] = "hourly"
    start: Annotated[date, Field(description="the day (UTC) of the first window that can be loaded")] = date(2026, 1, 1)
    trust: Annotated[
        Literal["dynamodb", "lake"],
        Field(
            description="what proves that an export is genuine: dynamodb is asked; lake: the right to write to the bucket"
        ),
    ] = "dynamodb"
    source: Annotated[
        Literal["exports", "scan", "stream"],
        Field(description="what fills the table: exports or scans, both with or without a stream; or its stream alone"),
    ] = "exports"
    scan: Annotated[
        ScanOptions, Field(description="how `source: scan` reads: consistent, workers, segments, max_rcu")
    ] = ScanOptions()
    lake: Annotated[
        Literal["parquet", "iceberg"] | None,
        Field(
            description="iceberg: every version of every item is appended to the Iceberg table <name>__changes, too; parquet: "
            "not; by default DDB_ASSETS_LAKE_FORMAT says it"
        ),
    ] = None
    stream_options: StreamText = Field(
        default=StreamOptions(),
        alias="stream",
        description="name or ARN of the Kinesis data stream that the table writes its changes to, or dynamodb, its own stream; "
        "or name and tail",
    )
    engine: Annotated[
        EngineText,
        Field(description="what flattens full exports and scans: in_process, glue, emr_serverless, or a Spark master"),
    ] = InProcess()
    soft_delete: Annotated[
        bool, Field(description="whether rows of deleted items stay in the warehouse, with _ddb_deleted_at")
    ] = False
    history: Annotated[
        HistoryChoice,
        Field(description="whether every version of the items that windows show is kept, in the view {name}_history"),
    ] = None
    warehouse: Annotated[
        WarehouseOptions, Field(description="diststyle, sortkey and encode of its tables in Redshift, schema for views")
    ] = WarehouseOptions()
    keep: Annotated[
        KeepChoice,
        Field(
            description="for how long files stay in the lake, of all kinds or by kind; by default DDB_ASSETS_KEEP says it"
        ),
    ] = None
    max_cost: Annotated[
        float | None,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="US dollars that the table's exports may cost in a calendar month (UTC); an export that would "
            "cost more is not requested",
        ),
    ] = None
    owners: Annotated[
        tuple[Annotated[str, AfterValidator(_owner)], ...],
        Field(description="who answers for the table: e-mail addresses or team:<name>"),
    ] = ()

    _paths: Mapping[tuple[Stage, str], tuple[str, ...]] = PrivateAttr(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: object) -> object:
        if isinstance(data, dict) and not data.get("name") and isinstance(data.get("table"), str):
            return {**data, "name": default_name(data["table"])}
        return data

    @model_validator(mode="before")
    @classmethod
    def _replaced_by_scans(cls, data: object) -> object:
        """A scanned table has no windows: each scan replaces it, by default once a day, as every scan costs as much."""
        if isinstance(data, dict) and data.get("source") == "scan":
            return {"load": "replace", "cadence": "daily"} | data
        return data

    @model_validator(mode="after")
    def _fits_its_scans(self) -> Self:
        if self.source != "scan":
            if self.scan != ScanOptions():
                raise ValueError("`scan` has options of `source: scan`: add that, or take `scan` out")
            return self
        if self.load != "replace":
            raise ValueError(
                "`source: scan` has no windows, because they need point-in-time recovery: take `load` out, each scan "
                "replaces the table"
            )
        if self.export:
            raise ValueError("`export` is for exports, and `source: scan` makes none: take it out")
        if self.max_cost:
            raise ValueError(
                "`max_cost` limits exports, and `source: scan` makes none: take it out; `scan.max_rcu` limits scans"
            )
        return self

    @model_validator(mode="after")
    def _well_named(self) -> Self:
        if not NAME.fullmatch(self.name) or len(self.name) > MAX_NAME:
            raise ValueError(
                f"name {self.name!r} must be lower-case letters, digits and _, not begin with a digit, and have at most "
                f"{MAX_NAME} characters: give a `name`"
            )
        return self

    @model_validator(mode="after")
    def _has_windows_for_its_stream(self) -> Self:
        if self.stream and self.load == "replace" and self.source == "exports":
            raise ValueError(
                "stream needs `load: upsert`: what a stream loses is put right by windows, and `load: replace` has none"
            )
        return self

    @model_validator(mode="after")
    def _has_windows_for_its_history(self) -> Self:
        if self.history and (self.source != "exports" or self.load == "replace"):
            option = "load: replace" if self.source == "exports" else f"source: {self.source}"
            raise ValueError(
                f"`history` is made of full exports and windows of changes, and with `{option}` there are no windows: take "
                "one of the two out"
            )
        return self

    @model_validator(mode="after")
    def _has_full_exports_for_its_engine(self) -> Self:
        if self.source == "stream" and self.engine.name != "in_process":
            raise ValueError(
                "`engine` flattens full exports and scans, and `source: stream` has none: take `engine` out"
            )
        return self

    @model_validator(mode="after")
    def _has_a_stream_as_its_source(self) -> Self:
        if self.source == "stream" and not self.stream:
            raise ValueError("`source: stream` needs `stream: NAME`, the stream that the table writes its changes to")
        if self.source == "stream" and self.lake == "iceberg":
            raise ValueError(
                "`lake: iceberg` appends exports and scans, and `source: stream` makes none: take `lake` out"
            )
        return self

    @model_validator(mode="after")
    def _fits_its_tail(self) -> Self:
        """SQL shows every value of a record as it is, so a contract that wants anything else needs drains."""
        columns = self.columns.values()
        wants = {
            "exclude or mask": self.hides,
            "contract other than evolve": {self.contract, *(one.contract for one in columns)} - {None, "evolve"},
            "oversize other than extra": {self.oversize, *(one.oversize for one in columns)} - {None, "extra"},
        }
        if self.stream_options.tail != "table" and (self.source != "exports" or self.stream in {"", "dynamodb"}):
            raise ValueError(
                "`tail: materialized_view` is for the Kinesis stream of a table that exports fill: take `tail` out"
            )
        if self.reads_in_warehouse and (found := [name for name, wanted in wants.items() if wanted]):
            raise ValueError(
                f"stream has `tail: materialized_view`, with which Redshift reads the records, and the contract has "
                f"{', '.join(found)}, which Redshift cannot do exactly: take `tail` out, then drains apply the contract"
            )
        return self

    @model_validator(mode="after")
    def _fits_its_cold_tier(self) -> Self:
        unfit = {"`load: replace`": self.load == "replace", "`soft_delete`": self.soft_delete, "`stream`": self.stream}
        if self.warehouse.retain and (found := [name for name, wanted in unfit.items() if wanted]):
            raise ValueError(f"`warehouse.retain` cannot be combined with {' and '.join(found)}: take one of them out")
        return self

    @model_validator(mode="after")
    def _keeps_its_key(self) -> Self:
        if self.key:
            self.check_key(self.key.attributes)
        return self

    def check_key(self, key: Sequence[str]) -> None:
        """Raises ValueError when the contract excludes or drops an attribute of `key`: every row needs its key."""
        for name in key:
            policy = self.policy((name,))
            if policy.exclude or policy.mask == "drop":
                option = "exclude: true" if policy.exclude else "mask: drop"
                raise ValueError(
                    f"columns: {format_path((name,))} is a key attribute of {self.table}, and `{option}` would leave its rows "
                    "without a key: use `mask: sha256` or `mask: hmac`"
                )

    @property
    def stream(self) -> str:
        """Name or ARN of the stream that the table writes its changes to; empty without one."""
        return self.stream_options.name

    @property
    def reads_in_warehouse(self) -> bool:
        """Whether the warehouse reads the stream itself, into a materialized view."""
        return bool(self.stream) and self.stream_options.tail == "materialized_view"

    def with_paths(self, paths: Mapping[tuple[Stage, str], tuple[str, ...]]) -> Self:
        """A copy of the table whose assets have these paths, by stage and relation; all others keep the usual paths."""
        renamed = self.model_copy()
        renamed._paths = paths
        return renamed

    def asset_path(self, stage: Stage, relation: str = "") -> tuple[str, ...]:
        """The asset path of a relation in this stage; by default of the root relation."""
        name = relation or self.name
        return self._paths.get((stage, name)) or asset_path(stage, name)

    def asset_name(self, stage: Stage) -> str:
        """The asset path of the root relation, as messages show it: `exports/orders_full_export`."""
        return "/".join(self.asset_path(stage))

    @property
    def full_stages(self) -> FullStages | tuple[()]:
        """The stages that a full export of the table passes, or a scan of it; none if a stream alone fills it."""
        if self.source == "stream":
            return ()
        if self.source == "scan":
            return SCANNED
        return REPLACED if self.load == "replace" else FULL_CHAIN

    @property
    def first_stage(self) -> Stage:
        """The stage in which all items leave DynamoDB."""
        return "scan" if self.source == "scan" else "full_export"

    @property
    def full_chain(self) -> FullChain:
        """The root's assets in these stages, which a person materializes for a new initial load."""
        export, parquet, load = map(self.asset_name, self.full_stages)
        what = "a scan" if self.source == "scan" else "a full export"
        return FullChain(export, parquet, load, windows=self.load != "replace", what=what)

    @property
    def chain(self) -> Chain:
        """The way of the table's items, whatever fills it."""
        return StreamChain(self.stream, self.name) if self.source == "stream" else self.full_chain

    @property
    def stream_stage(self) -> Stage:
        """The stage of the assets that its stream keeps fresh."""
        return "warehouse" if self.source == "stream" else "live"

    @property
    def has_tail(self) -> bool:
        """Whether its stream fills a tail beside it, which a view shows as one with the table."""
        return bool(self.stream) and self.source != "stream"

    @property
    def reads_consistently(self) -> bool:
        """Whether its scans read strongly consistently. With a stream they do: then both together are exact."""
        return self.scan.consistent or bool(self.stream)

    @property
    def windows(self) -> Cadence:
        """The cadence: the windows of the table's incremental exports, or how often it is exported in full."""
        return Cadence.parse(self.cadence)

    def nested_at(self, path: tuple[Step, ...]) -> str | None:
        """What the contract's `nested` declares for this path: `flatten`, `json`, `child` or None."""
        return self._nested.get(path)

    @cached_property
    def _nested(self) -> dict[tuple[Step, ...], str]:
        return {parse_path(text): kind for text, kind in self.nested.items()}

    @cached_property
    def _policies(self) -> Policies:
        return Policies(
            {parse_path(text): options for text, options in self.columns.items()},
            Policy(contract=self.contract, oversize=self.oversize),
        )

    def declared_below(self, path: tuple[Step, ...]) -> list[str]:
        """The names for which the contract's `columns` has options directly below this path, in its order."""
        found = map(parse_path, self.columns)
        return [one[-1] for one in found if one[:-1] == path and isinstance(one[-1], str)]

    @property
    def hides(self) -> bool:
        """Whether the contract masks or excludes anything: such values must not be written, not even to quarantine."""
        return any(options.mask or options.exclude for options in self.columns.values())

    def policy(self, path: Sequence[Step | int]) -> Policy:
        """The policy of this path, with what it inherits from the paths above it."""
        return self._policies.of(path)

    def shown(self, path: Sequence[Step | int]) -> tuple[Step | int, ...]:
        """The part of a path that may be shown: names below a hidden path are data too."""
        for length, step in enumerate(path):
            policy = self.policy(path[:length])
            hidden_below = policy.below and ("M" if isinstance(step, str) else "L") not in policy.shapes
            if policy.exclude or policy.mask or hidden_below:
                return tuple(path[:length])
        return tuple(path)
