"""How a table is scanned: what a contract and the command say about it, and what a landing says of the scan that wrote it."""

import re
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from ddb_assets.contract.durable import DurableFormat
from ddb_assets.contract.model import ContractModel

_BUDGET = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<percent>%?)")
WORKERS = 8
FORMAT = DurableFormat("what a landing says of its scan")
PREFIX = "scan-"
"""The ids of scans begin with this, those of exports with a digit."""


def is_scan(landing: str) -> bool:
    """Whether this is the id of a scan, which is of no single moment, and not of an export."""
    return landing.startswith(PREFIX)


def _budget(value: object) -> object:
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    found = _BUDGET.fullmatch(text) if isinstance(text, str) else None
    if not found or not float(found["number"]) or (found["percent"] and float(found["number"]) > 100):
        raise ValueError(f"{value!r} is neither a number of RCUs per second, such as 200, nor up to 100%")
    return text


Budget = Annotated[str, BeforeValidator(_budget, json_schema_input_type=str | float)]
"""RCUs per second, or a part of the table's capacity: `200`, `50%`."""


class ScanOptions(ContractModel):
    """How fast a table is scanned, and by how many readers.

    Without a rate a scan takes half of a provisioned table's capacity; on an on-demand table it has no bound.
    """

    consistent: bool = Field(default=False, description="strongly consistent reads, at twice the RCUs")
    workers: int = Field(default=WORKERS, ge=1, le=64, description="segments read at once")
    segments: int | None = Field(
        default=None, ge=1, le=10_000, description="segments of the parallel scan; by default by the table's size"
    )
    max_rcu: Budget | None = Field(
        default=None, description="read capacity units per second, or a part of the table's capacity, such as 50%"
    )

    @property
    def rate(self) -> tuple[float | None, float | None]:
        """The RCUs per second, and the part of the table's capacity (0 to 1); at most one of them is said."""
        if self.max_rcu is None:
            return None, None
        if self.max_rcu.endswith("%"):
            return None, float(self.max_rcu[:-1]) / 100
        return float(self.max_rcu), None


class Scanned(BaseModel):
    """What a landing says of the scan that wrote it. Times are of DynamoDB's clock.

    The scan began at `started` and ended at `ended`. `filter` has the parameters of a filter; `projection` the attributes
    that were asked for besides the key, empty for all. `format` is only in landings (`landed`): their proof is without it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Annotated[Literal[1], Field(exclude=True)] = 1
    started: AwareDatetime
    ended: AwareDatetime
    segments: int
    consistent: bool
    filter: dict[str, Any] | None = None
    projection: tuple[str, ...] = ()

    @property
    def landed(self) -> dict[str, Any]:
        """As the summary of a landing has it."""
        return {FORMAT.key: self.format, **self.model_dump(mode="json")}

    @property
    def is_partial(self) -> bool:
        """Whether items or attributes of the table are left out."""
        return self.filter is not None or bool(self.projection)

    @property
    def left_out(self) -> str:
        """What is left out, in words."""
        rows = [f"items that do not pass {self.filter['FilterExpression']!r}"] if self.filter else []
        columns = [f"attributes other than {', '.join(self.projection)} and the key"] if self.projection else []
        return " and ".join(rows + columns)

    @property
    def seconds(self) -> float:
        """How long it took, with all pauses."""
        return (self.ended - self.started).total_seconds()
