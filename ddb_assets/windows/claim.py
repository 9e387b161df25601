"""What the summary of a damaged export claims, so that the damage is reported on its table's page. Pure."""

from datetime import datetime

import orjson
from pydantic import BaseModel


class Claim(BaseModel):
    """What the summary of an export says about itself, true or not."""

    tableArn: str  # noqa: N815 -- AWS's names
    exportFromTime: datetime  # noqa: N815
    exportToTime: datetime  # noqa: N815

    @classmethod
    def of(cls, summary: bytes) -> "Claim | None":
        """None for a summary that lacks these fields."""
        try:
            return cls.model_validate(orjson.loads(summary))
        except ValueError:
            return None
