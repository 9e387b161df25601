"""The settings of a table copy, on the command line or in a `defs.yaml`.

What a copy deletes is never declared here, but given with each run. `plan.py` checks what the copy may do.
"""

import re
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from ddb_assets.bulk.options import Filter, FilterText, Verify, WriteOptions
from ddb_assets.contract.scan import WORKERS

STRICT = ConfigDict(extra="forbid", frozen=True)
ARN = re.compile(r"arn:[\w-]+:dynamodb:[\w-]+:\d{12}:table/[\w.-]+", re.ASCII)


class TableAt(BaseModel):
    """A table and how it is reached. The resource `ddb_aws`, and then boto3, decides what is left empty."""

    model_config = STRICT

    table: str = Field(min_length=1, description="name or ARN of the table; an ARN says its Region")
    region: str = Field(default="", description="Region of the table")
    profile: str = Field(default="", description="profile of the AWS configuration")
    role: str = Field(default="", description="ARN of a role to assume")
    endpoint: str = Field(default="", description="URL of a service other than AWS")

    @field_validator("table")
    @classmethod
    def _name_or_arn(cls, table: str) -> str:
        if table.startswith("arn:") and not ARN.fullmatch(table):
            raise ValueError(
                f"{table!r} is not the ARN of a table, such as arn:aws:dynamodb:eu-west-1:123456789012:table/Orders"
            )
        return table

    @model_validator(mode="after")
    def _one_region(self) -> Self:
        if self.region and self.table.startswith("arn:") and self.table.split(":")[3] != self.region:
            raise ValueError(
                f"the Region is {self.region}, but the ARN says {self.table.split(':')[3]}: leave the Region out, or name the "
                "table by its name"
            )
        return self


def _table(value: object) -> object:
    return {"table": value} if isinstance(value, str) else value


TableText = Annotated[TableAt, BeforeValidator(_table, json_schema_input_type=str | TableAt)]


class CopyOptions(WriteOptions):
    """Which items are copied, how they are changed, and how fast.

    Without a rate a copy takes half of a provisioned table's capacity; on an on-demand table it has no bound.
    """

    filter: FilterText | None = Field(default=None, description="which items are copied; all are read")
    exclude: tuple[str, ...] = Field(default=(), description="attributes that are left out")
    rename: dict[str, str] = Field(default_factory=dict, description="attributes that get a new name, old: new")
    rekey: bool = Field(default=False, description="the destination's key is made of ordinary attributes of the source")
    consistent: bool = Field(default=False, description="strongly consistent reads, at twice the RCUs")
    workers: int = Field(default=WORKERS, ge=1, le=64, description="segments read at once")
    segments: int | None = Field(
        default=None, ge=1, le=10_000, description="segments of the parallel scan; by default by the table's size"
    )
    max_rcu: float | None = Field(default=None, gt=0, description="read capacity units per second, of each table")

    @field_validator("rename")
    @classmethod
    def _named(cls, rename: dict[str, str]) -> dict[str, str]:
        if not all(new and old for old, new in rename.items()):
            raise ValueError("the name of an attribute is never empty")
        return rename

    @property
    def where(self) -> Filter | None:
        """The filter, as a scan takes it."""
        return self.filter.parsed if self.filter else None


class CopyConfig(CopyOptions):
    """A copy; a table may be given as its name or ARN alone."""

    source: TableText
    destination: TableText
    verify: Verify = 0
