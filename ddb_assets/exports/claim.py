"""What the summary of a damaged export says of itself: whose it claims to be, so that they hear of it. Pure."""

from datetime import datetime

import orjson
from pydantic import BaseModel


class Claim(BaseModel):
    """What the summary of an export says of itself, true or not."""

    tableArn: str  # noqa: N815 -- AWS's names
    exportFromTime: datetime  # noqa: N815
    exportToTime: datetime  # noqa: N815

    @classmethod
    def of(cls, summary: bytes) -> "Claim | None":
        """None for a summary that does not even say that."""
        try:
            return cls.model_validate(orjson.loads(summary))
        except ValueError:
            return None
