"""The attributes that the contract of a table may have, with their defaults, one by one.

`combinations.py` says which of them fit together, `table.py` what follows from them.
"""

import re
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from ddb_assets.contract.engine import EngineText, InProcess
from ddb_assets.contract.export_target import ExportTarget
from ddb_assets.contract.history import HistoryChoice
from ddb_assets.contract.keep import KeepChoice
from ddb_assets.contract.key_schema import KeyText
from ddb_assets.contract.model import ContractModel
from ddb_assets.contract.names import default_name
from ddb_assets.contract.policy import ColumnOptions, ContractMode, Oversize
from ddb_assets.contract.scan import ScanOptions
from ddb_assets.contract.stream import StreamOptions, StreamText
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.contract.windows import Cadence, WindowError
from ddb_assets.dynamodb.attribute_value import AttributeValueError, parse_path


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


class TableAttributes(ContractModel):
    """The attributes of the contract of one DynamoDB table."""

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

    @property
    def stream(self) -> str:
        """Name or ARN of the stream that the table writes its changes to; empty without one."""
        return self.stream_options.name

    @property
    def reads_in_warehouse(self) -> bool:
        """Whether the warehouse reads the stream itself, into a materialized view."""
        return bool(self.stream) and self.stream_options.tail == "materialized_view"

    @property
    def hides(self) -> bool:
        """Whether the contract masks or excludes anything: such values must not be written, not even to quarantine."""
        return any(options.mask or options.exclude for options in self.columns.values())
