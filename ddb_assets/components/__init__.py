"""The components that a `defs.yaml` can name as its `type`."""

from ddb_assets.components.dynamodb_copy import DynamoDBCopy
from ddb_assets.components.dynamodb_import import DynamoDBImport
from ddb_assets.components.dynamodb_table import DynamoDBTable

__all__ = ["DynamoDBCopy", "DynamoDBImport", "DynamoDBTable"]
