"""Tables in a sandbox to write into, and their content afterwards."""

import base64
import functools
import uuid
from typing import TYPE_CHECKING, Any, Literal

import boto3

from ddb_assets.aws.table import TableDescription, describe_table
from ddb_assets.bulk.raw_call import BULK_CLIENT
from ddb_assets.dynamodb.item import Item
from ddb_assets.sandbox.server import Sandbox

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KINDS: tuple[Literal["HASH", "RANGE"], ...] = ("HASH", "RANGE")


@functools.cache  # making a client takes longer than running a test
def client_of(endpoint_url: str) -> "DynamoDBClient":
    """A client like a job's, but for this server."""
    return boto3.client(
        "dynamodb",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=BULK_CLIENT,
    )


def new_table(sandbox: Sandbox, *key: tuple[str, str], **more: Any) -> TableDescription:
    """A table of its own with this key, (name, type) each; by default one string `pk`."""
    names = key or (("pk", "S"),)
    extra = more.pop("definitions", ())
    client_of(sandbox.endpoint_url).create_table(
        TableName=(name := f"T-{uuid.uuid4().hex}"),
        KeySchema=[{"AttributeName": n, "KeyType": k} for (n, _), k in zip(names, KINDS, strict=False)],
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": t} for n, t in (*names, *extra)],
        **({"BillingMode": "PAY_PER_REQUEST"} | more),
    )
    return target_of(sandbox, name)


def target_of(sandbox: Sandbox, name: str) -> TableDescription:
    return describe_table(client_of(sandbox.endpoint_url), name)


def items_of(sandbox: Sandbox, target: TableDescription) -> list[Item]:
    """Every item of the table in DynamoDB JSON, binary as base64 text."""
    pages = client_of(sandbox.endpoint_url).get_paginator("scan").paginate(TableName=target.name, ConsistentRead=True)
    return [{name: _json(value) for name, value in item.items()} for page in pages for item in page["Items"]]


def _json(value: Any) -> Any:
    ((descriptor, payload),) = value.items()
    match descriptor:
        case "B":
            return {"B": base64.b64encode(payload).decode()}
        case "BS":
            return {"BS": [base64.b64encode(member).decode() for member in payload]}
        case "L":
            return {"L": [_json(member) for member in payload]}
        case "M":
            return {"M": {name: _json(member) for name, member in payload.items()}}
    return value
