"""The source as Dagster sees it: a table that exists without us, so an external asset.

Its items are read from exports only, never by scanning; asking for those is the exports stage's.
"""

from typing import TYPE_CHECKING

import dagster as dg

from ddb_assets.aws.errors import explained
from ddb_assets.contract.table import KeySchema, Table
from ddb_assets.orchestration import metadata

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def source_spec(table: Table) -> dg.AssetSpec:
    """`dynamodb/<name>`."""
    return metadata.asset_spec(
        "dynamodb", table, table.name, description=f"DynamoDB table `{table.table}`.", upstream=None
    )


def key_schema(client: "DynamoDBClient", table: Table) -> KeySchema:
    """The contract's key, else the table's own. Raises AwsError, naming the missing permission."""
    if table.key is not None:
        return table.key
    with explained("dynamodb:DescribeTable", table.table):
        description = client.describe_table(TableName=table.table)["Table"]
        names = {element["KeyType"]: element["AttributeName"] for element in description["KeySchema"]}
        return KeySchema(partition_key=names["HASH"], sort_key=names.get("RANGE"))
