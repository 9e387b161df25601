"""What becomes of a bulk put whose import begins again instead of continuing: it must have ended."""

from typing import TYPE_CHECKING

from ddb_assets.aws.errors import AwsError, meaning
from ddb_assets.bulk.writing.outcome import WriterStoppedError
from ddb_assets.imports.bulk_put.calls import ENDED, BulkPutCalls
from ddb_assets.imports.bulk_put.state import BulkPutState

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def check_ended(client: "DynamoDBClient", state: BulkPutState | None) -> None:
    """Raises WriterStoppedError while the operation of the run before may put items; AwsError."""
    if state is None or state.asked is None:
        return
    calls = BulkPutCalls(client)
    try:
        found = calls.describe(state.arn) if state.arn else calls.find(state.token, state.asked)
    except AwsError as error:
        if meaning(error.code) == "missing":
            return
        raise
    if found and found["BulkOperationStatus"] not in ENDED:
        arn = str(found["BulkOperationArn"])
        raise WriterStoppedError(
            f"the bulk operation {arn} of the run before is {found['BulkOperationStatus']}, and would put its items over those "
            f"of this one: continue without --restart, or cancel it and wait for its end: {calls.cancel_command(arn)}"
        )
