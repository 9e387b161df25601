"""A table copy as it is declared: on the command line, or in a `defs.yaml`.

What a copy deletes is never declared here: that is said with each run. What it may do is checked in `plan.py`.
"""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from ddb_assets.bulk.limits import DEADLINE_SECONDS, IN_FLIGHT
from ddb_assets.bulk.scan import Filter
from ddb_assets.copies.plan import WORKERS, Clean, CopyOptions
from ddb_assets.copies.verify import Mode

STRICT = ConfigDict(extra="forbid", frozen=True)
ARN = re.compile(r"arn:[\w-]+:dynamodb:[\w-]+:\d{12}:table/[\w.-]+", re.ASCII)


class TableAt(BaseModel):
    """A table and how it is reached; an empty field leaves the matter to boto3."""

    model_config = STRICT

    table: str = Field(min_length=1, description="name or ARN; an ARN says its Region")
    region: str = Field(default="", description="Region of the table")
    profile: str = Field(default="", description="profile of the AWS configuration")
    role: str = Field(default="", description="ARN of a role to assume")
    endpoint: str = Field(default="", description="URL of a service other than AWS")

    @field_validator("table")
    @classmethod
    def _name_or_arn(cls, table: str) -> str:
        if table.startswith("arn:") and not ARN.fullmatch(table):
            raise ValueError(
                f"{table!r} is no ARN of a table, such as arn:aws:dynamodb:eu-west-1:123456789012:table/Orders"
            )
        return table


class FilterText(BaseModel):
    """A filter expression as DynamoDB's Scan takes it."""

    model_config = STRICT

    expression: str = Field(min_length=1, description="such as `#s = :open`")
    names: dict[str, str] = Field(default_factory=dict, description="attributes for its #names")
    values: dict[str, dict[str, Any]] = Field(default_factory=dict, description="DynamoDB JSON for its :values")


def _table(value: object) -> object:
    return {"table": value} if isinstance(value, str) else value


TableText = Annotated[TableAt, BeforeValidator(_table, json_schema_input_type=str | TableAt)]


class CopyConfig(BaseModel):
    """A copy; a table may be given as its name or ARN alone."""

    model_config = STRICT

    source: TableText
    destination: TableText
    filter: FilterText | None = Field(default=None, description="which items are copied; all are read")
    exclude: tuple[str, ...] = Field(default=(), description="attributes that are left out")
    rename: dict[str, str] = Field(default_factory=dict, description="old name: new name")
    rekey: bool = Field(default=False, description="the destination's key is made of ordinary attributes")
    consistent: bool = Field(default=False, description="strongly consistent reads, at twice the RCUs")
    workers: int = Field(default=WORKERS, ge=1, le=64, description="segments read at once")
    segments: int | None = Field(default=None, ge=1, le=10_000, description="of the scan; else by the table's size")
    in_flight: int = Field(default=IN_FLIGHT, ge=1, le=64, description="batches written at once")
    max_rcu: float | None = Field(default=None, gt=0, description="read capacity units per second, of each table")
    max_wcu: float | None = Field(default=None, gt=0, description="write capacity units per second")
    deadline: float = Field(default=DEADLINE_SECONDS, gt=0, description="seconds for which a request is tried")
    verify: Mode | None = Field(default=None, description="compare afterwards: sample or all")

    @field_validator("rename")
    @classmethod
    def _named(cls, rename: dict[str, str]) -> dict[str, str]:
        if not all(new and old for old, new in rename.items()):
            raise ValueError("an attribute's name is never empty")
        return rename

    def options(self, clean: Clean) -> CopyOptions:
        """For a run that deletes what `clean` says."""
        said = self.filter
        where = Filter(said.expression, said.names, said.values) if said else None
        return CopyOptions(
            where=where,
            rename=self.rename,
            exclude=frozenset(self.exclude),
            rekey=self.rekey,
            clean=clean,
            consistent=self.consistent,
            workers=self.workers,
            segments=self.segments,
            in_flight=self.in_flight,
            max_rcu=self.max_rcu,
            max_wcu=self.max_wcu,
            deadline=self.deadline,
        )
