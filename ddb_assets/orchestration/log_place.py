"""The cursor of a sensor that reads Dagster's log: how far it has read."""

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ddb_assets.contract.model import first_problem
from ddb_assets.errors import DdbAssetsError


class CursorError(DdbAssetsError):
    """A sensor's cursor cannot be read."""


class LogPlace(BaseModel):
    """What a sensor remembers between ticks. Its fields are the numbers of the newest events that it has read, and more.

    Fields that this code does not know are refused: a newer version may need them, and the next tick would drop them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def parse(cls, cursor: str, sensor: str) -> Self:
        """The place that the cursor of this sensor names.

        Raises CursorError if it cannot be read. Nothing takes its place: from the beginning of the log everything would be
        sent again, and from its end nothing that has happened since.
        """
        try:
            return cls.model_validate_json(cursor)
        except ValidationError as error:
            raise CursorError(
                f"the cursor of the sensor {sensor} cannot be read ({first_problem(error)}): if a newer ddb_assets wrote it, "
                f"upgrade ddb_assets here; otherwise delete it (dagster sensor cursor {sensor} --delete), and the sensor "
                "goes on with what happens from then on"
            ) from error
