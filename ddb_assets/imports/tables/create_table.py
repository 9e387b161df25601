"""Makes the empty table of an import that writes into a new table."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ddb_assets.aws.errors import AwsError, explained, meaning
from ddb_assets.aws.pauses import looks
from ddb_assets.aws.table import TableDescription, UnfitTableError, describe_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FIRST_LOOK = 0.5
SECONDS = 600.0


def create_table(
    client: "DynamoDBClient", parameters: Any, *, pause: Callable[[float], object] = time.sleep
) -> TableDescription:
    """The table, ACTIVE. `parameters` are those of CreateTable. Raises AwsError, UnfitTableError if it takes ten minutes."""
    name = parameters["TableName"]
    with explained("dynamodb:CreateTable", name):
        client.create_table(**parameters)
    ends = time.monotonic() + SECONDS
    for seconds in looks(FIRST_LOOK):
        try:
            found = describe_table(client, name)
        except AwsError as error:  # it may be unknown for a moment
            if meaning(error.code) != "missing" or time.monotonic() > ends:
                raise
        else:
            if found.active:
                return found
            if time.monotonic() > ends:
                break
        pause(seconds)
    raise UnfitTableError(
        f"table {name} was made and is not ACTIVE yet: when it is, run the command again without --new-table"
    )
