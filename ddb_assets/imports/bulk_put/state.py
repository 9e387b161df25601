"""Where a bulk put stands, as the checkpoint of an import keeps it.

Pure. The state is saved before each step that cannot be taken back: before the first object is staged, before the first
request, and when AWS has answered with the operation's ARN.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from ddb_assets.aws.storage import join, split_s3


class BulkPutState(BaseModel):
    """`folder` on S3 belongs to this operation alone, and `token` makes that it begins once.

    `request` is that of StartBulkPutItems for so many `items`, and is there when all of them are staged. AWS may have got it at
    any time since `asked`. `arn` is there when AWS has answered.
    """

    model_config = ConfigDict(extra="forbid")

    folder: str
    token: str
    items: NonNegativeInt = 0
    request: dict[str, Any] | None = None
    asked: datetime | None = None
    arn: str | None = None

    @property
    def input(self) -> str:
        """The folder of the staged items."""
        return join(self.folder, "items")

    @property
    def output(self) -> str:
        """The folder in which AWS says which items failed."""
        return join(self.folder, "failed")

    @property
    def called(self) -> str:
        """What messages call the operation."""
        return f"bulk operation {self.arn or f'with the token {self.token}'}"


def start_request(state: BulkPutState, table: str, owner: str, units: int | None) -> dict[str, Any]:
    """The parameters of StartBulkPutItems. `owner` is the account of the bucket, if it is another one."""
    own = {"S3BucketOwner": owner} if owner else {}
    bucket, items = split_s3(state.input)
    _, failed = split_s3(state.output)
    return {
        "ClientToken": state.token,
        "TableName": table,
        "InputS3Configuration": {
            "S3Bucket": bucket,
            "S3KeyPrefix": f"{items}/",
            "InputFormat": "DYNAMODB_JSON",
            "InputCompressionType": "GZIP",
            **own,
        },
        "OutputS3Configuration": {"S3Bucket": bucket, "S3KeyPrefix": f"{failed}/", "OutputType": ["ERROR"], **own},
        **({} if units is None else {"MaxWriteRequestUnits": units}),
    }
