"""How long a table's rows stay in the warehouse, before they move to the cold tier."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from ddb_assets.contract.model import ContractModel

_TEXT = re.compile(r"(?P<days>[0-9]+) days? by (?P<by>\S+)")


class Retain(ContractModel):
    """Rows whose time in the column `by` is more than this many days ago move to the cold tier."""

    days: Annotated[int, Field(ge=1, le=36_500, description="rows that are older than this many days become cold")]
    by: Annotated[
        str,
        Field(min_length=1, max_length=127, description="a TIMESTAMP, TIMESTAMPTZ or DATE column of the root relation"),
    ]


def _retain(value: object) -> object:
    found = _TEXT.fullmatch(value.strip()) if isinstance(value, str) else None
    return {"days": int(found["days"]), "by": found["by"]} if found else value


RetainText = Annotated[Retain, BeforeValidator(_retain, json_schema_input_type=Retain | str)]
"""May be written as a text: `400 days by created_at`."""


def boundary(days: int, now: datetime) -> datetime:
    """The beginning of the day (UTC) that was so many days ago."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days)
