"""The history of a table, as its contract asks for it: `history: true`, or for how long versions are kept."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from ddb_assets.contract.model import ContractModel

_KEEP = re.compile(r"([1-9][0-9]{0,4}) ?(?:days?|d)")


def _keep(text: str) -> str:
    if not _KEEP.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is not a number of days: write it like 400 days")
    return text


class HistoryOptions(ContractModel):
    """How the history of a table is kept."""

    keep: Annotated[
        Annotated[str, AfterValidator(_keep)] | None,
        Field(description="for how many days versions stay after they ended, such as 400 days; for ever by default"),
    ] = None

    @property
    def kept_for(self) -> timedelta | None:
        """For how long versions stay after they ended; None for ever."""
        found = _KEEP.fullmatch(self.keep.strip()) if self.keep else None
        return timedelta(days=int(found[1])) if found else None


def _options(value: object) -> object:
    if isinstance(value, bool):
        return {} if value else None
    return value


HistoryChoice = Annotated[
    HistoryOptions | None, BeforeValidator(_options, json_schema_input_type=HistoryOptions | bool | None)
]
"""A history; may be written as `true` or `false`."""
