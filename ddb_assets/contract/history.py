"""The history of a table, as its contract asks for it: `history: true`, or for how long versions are kept."""

from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from ddb_assets.contract.days import DaysText, days
from ddb_assets.contract.model import ContractModel


class HistoryOptions(ContractModel):
    """How the history of a table is kept."""

    keep: Annotated[
        DaysText | None,
        Field(description="for how many days versions stay after they ended, such as 400 days; for ever by default"),
    ] = None

    @property
    def kept_for(self) -> timedelta | None:
        """For how long versions stay after they ended; None for ever."""
        return days(self.keep) if self.keep else None


def _options(value: object) -> object:
    if isinstance(value, bool):
        return {} if value else None
    return value


HistoryChoice = Annotated[
    HistoryOptions | None, BeforeValidator(_options, json_schema_input_type=HistoryOptions | bool | None)
]
"""A history; may be written as `true` or `false`."""
