"""The requests of a bulk put, with errors that say what to do.

Facts: API reference, StartBulkPutItems (one token is one operation for 8 hours), ListBulkOperations (those of 90 days, the most
recent first) and DescribeBulkOperation.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ddb_assets.aws.errors import explained

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Description = Mapping[str, Any]
"""A BulkOperationDescription."""

OPERATION = "start_bulk_put_items"
ENDED = frozenset({"COMPLETED", "COMPLETED_WITH_ERRORS", "CANCELLED", "FAILED"})
CLOCKS = timedelta(hours=1)
"""How far the clocks of AWS and of this machine may be apart."""


class BulkPutCalls:
    """All methods raise AwsError. `client` tries again by itself."""

    def __init__(self, client: "DynamoDBClient") -> None:
        self._client: Any = client  # the stubs may be older than the operations

    def start(self, request: Mapping[str, Any]) -> Description:
        """Begins the operation, or finds the one that this request has begun."""
        with explained("dynamodb:StartBulkPutItems", request["TableName"]):
            found: Description = self._client.start_bulk_put_items(**request)["BulkOperationDescription"]
            return _checked(found)

    def describe(self, arn: str) -> Description:
        """Its present state."""
        with explained("dynamodb:DescribeBulkOperation", arn):
            found: Description = self._client.describe_bulk_operation(BulkOperationArn=arn)["BulkOperationDescription"]
            return _checked(found)

    def find(self, token: str, asked: datetime) -> Description | None:
        """The operation that a request of that time has begun with this token; None if there is none."""
        for arn in self._since(asked - CLOCKS):
            found = self.describe(arn)
            if found.get("ClientToken") == token:
                return found
        return None

    def cancel_command(self, arn: str) -> str:
        """What a person can enter to cancel it."""
        return f"aws dynamodb cancel-bulk-operation --region {self._client.meta.region_name} --bulk-operation-arn {arn}"

    def _since(self, moment: datetime) -> Iterator[str]:
        request: dict[str, Any] = {"MaxResults": 25}
        while True:
            with explained("dynamodb:ListBulkOperations", "this account and Region"):
                page = self._client.list_bulk_operations(**request)
                found = [(one["BulkOperationArn"], one["StartTime"]) for one in page["BulkOperationsSummaryList"]]
            yield from (arn for arn, started in found if started >= moment)
            if "NextToken" not in page or any(started < moment for _, started in found):
                return
            request["NextToken"] = page["NextToken"]


def _checked(found: Description) -> Description:
    """Raises LookupError for an answer that is not from AWS."""
    return {**found, "BulkOperationArn": found["BulkOperationArn"], "BulkOperationStatus": found["BulkOperationStatus"]}
