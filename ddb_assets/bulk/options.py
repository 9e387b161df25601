"""The options of jobs that read or write a table: how fast, for how long, which items, and what is compared afterwards.

Commands make options of these fields, and components make them keys of their YAML.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ddb_assets.bulk.limits import DEADLINE_SECONDS, IN_FLIGHT


class WriteOptions(BaseModel):
    """`max_wcu` as in `WriteRate`, `in_flight` and `deadline` as in `BulkWriter`, `rejects` as in `RejectPlace`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_wcu: float | None = Field(default=None, gt=0, description="write capacity units per second, indexes included")
    in_flight: int = Field(default=IN_FLIGHT, ge=1, le=64, description="batches written at once")
    deadline: float = Field(
        default=DEADLINE_SECONDS, gt=0, description="for how many seconds a request is tried again before the job stops"
    )
    rejects: str = Field(
        default="",
        description="file, local or s3://, for what is not written, for a later redrive; each run has its own in a folder/",
    )


def _number_or_all(value: object) -> object:
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ValueError(f"{value!r} is neither a number of items, such as 1000, nor all")


Verify = Annotated[
    int | Literal["all"],
    BeforeValidator(_number_or_all, json_schema_input_type=int | Literal["all"]),
    Field(description="how many items, drawn at random, are read again afterwards and compared; or all"),
]


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter expression with its names and values (DynamoDB JSON), as Scan takes them."""

    expression: str
    names: Mapping[str, str]
    values: Mapping[str, Any]

    def parameters(self) -> dict[str, Any]:
        """Scan's parameters; those that would be empty are left out, as it refuses them."""
        found = {"ExpressionAttributeNames": dict(self.names), "ExpressionAttributeValues": dict(self.values)}
        return {"FilterExpression": self.expression} | {name: value for name, value in found.items() if value}


class FilterText(BaseModel):
    """A filter expression as DynamoDB's Scan takes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    expression: str = Field(min_length=1, description="such as `#s = :open`")
    names: dict[str, str] = Field(default_factory=dict, description="attributes for its #names")
    values: dict[str, dict[str, Any]] = Field(default_factory=dict, description="DynamoDB JSON for its :values")

    @property
    def parsed(self) -> Filter:
        """As a scan takes it."""
        return Filter(self.expression, self.names, self.values)
