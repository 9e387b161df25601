"""Which IAM actions on which resources AWS asks for when an operation is called.

Facts: Service Authorization Reference. Most operations are the action of their name. The exceptions are here, and an operation
of which nothing is known is an error.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

ACCOUNT, REGION = "123456789012", "us-east-1"
S3_ACTIONS = {
    "HeadObject": "GetObject",
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "DeleteObjects": "DeleteObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
}
STAR = "*"


@dataclass(frozen=True)
class Asked:
    """One action on one resource."""

    action: str
    resource: str
    operation: str = field(compare=False, default="")


def asked(service: str, operation: str, params: Any) -> list[Asked]:
    """What the caller must be allowed."""
    resources = _RESOURCES[service]
    return [
        Asked(f"{prefix}:{action}", resource, f"{service}:{operation}")
        for prefix, action, resource in resources(operation, params)
    ]


Found = Iterator[tuple[str, str, str]]


def _dynamodb(operation: str, params: Any) -> Found:
    if operation in {"ListBulkOperations", "ListTables", "ListBackups", "ListExports", "ListImports"}:
        yield "dynamodb", operation, STAR
        return
    if "RequestItems" in params:
        for table in params["RequestItems"]:
            yield "dynamodb", operation, _arn("dynamodb", f"table/{table}", table)
        return
    if operation in {"RestoreTableToPointInTime", "RestoreTableFromBackup"}:
        target = _arn("dynamodb", f"table/{params['TargetTableName']}", params["TargetTableName"])
        source = params.get("BackupArn") or params.get("SourceTableArn") or params["SourceTableName"]
        yield "dynamodb", operation, _arn("dynamodb", f"table/{source}", source)
        if operation == "RestoreTableFromBackup":
            yield "dynamodb", operation, target
        for also in ("BatchWriteItem", "DeleteItem", "GetItem", "PutItem", "Query", "Scan", "UpdateItem"):
            yield "dynamodb", also, target
        return
    if operation == "ImportTable":
        name = params["TableCreationParameters"]["TableName"]
        yield "dynamodb", operation, _arn("dynamodb", f"table/{name}", name)
        return
    if "Tags" in params:
        yield "dynamodb", "TagResource", _arn("dynamodb", f"table/{params['TableName']}", params["TableName"])
    for name in ("ExportArn", "ImportArn", "BulkOperationArn", "BackupArn", "ResourceArn", "TableArn", "TableName"):
        if name in params:
            yield "dynamodb", operation, _arn("dynamodb", f"table/{params[name]}", params[name])
            return
    raise KeyError(operation)


def _streams(operation: str, params: Any) -> Found:
    yield "dynamodb", operation, params.get("StreamArn") or _of_iterator(params)


def _kinesis(operation: str, params: Any) -> Found:
    if operation == "ListStreams":
        yield "kinesis", operation, STAR
        return
    named = params.get("StreamARN") or params.get("StreamName")
    yield "kinesis", operation, _arn("kinesis", f"stream/{named}", named) if named else _of_iterator(params)


def _of_iterator(params: Any) -> str:
    """The stream of an iterator. The sandbox's iterators contain it."""
    found: dict[str, str] = json.loads(base64.urlsafe_b64decode(str(params["ShardIterator"])))
    return found["arn"]


def _s3(operation: str, params: Any) -> Found:
    action, bucket = S3_ACTIONS.get(operation, operation), f"arn:aws:s3:::{params['Bucket']}"
    if "Delete" in params:
        for one in params["Delete"]["Objects"]:
            yield "s3", action, f"{bucket}/{one['Key']}"
        return
    yield "s3", action, f"{bucket}/{params['Key']}" if "Key" in params else bucket


def _sqs(operation: str, params: Any) -> Found:
    name = params["QueueUrl"].rpartition("/")[2]
    yield "sqs", operation.removesuffix("Batch"), _arn("sqs", name, name)


def _sns(operation: str, params: Any) -> Found:
    yield "sns", operation, params["TopicArn"]


def _cloudwatch(operation: str, params: Any) -> Found:
    yield "cloudwatch", operation, STAR


def _logs(operation: str, params: Any) -> Found:
    place = f"log-group:{params['logGroupName']}:log-stream:{params['logStreamName']}"
    yield "logs", operation, _arn("logs", place, place)


def _secrets(operation: str, params: Any) -> Found:
    yield "secretsmanager", operation, _arn("secretsmanager", f"secret:{params['SecretId']}-AbCdEf", params["SecretId"])


def _glue(operation: str, params: Any) -> Found:
    if "JobName" in params:
        yield "glue", operation, _arn("glue", f"job/{params['JobName']}", params["JobName"])
        return
    database = params.get("DatabaseName") or params.get("Name") or params["DatabaseInput"]["Name"]
    yield from (("glue", operation, _arn("glue", place, place)) for place in ("catalog", f"database/{database}"))
    if "Table" in operation:
        name = "*" if operation == "GetTables" else params.get("TableInput", params)["Name"]
        yield "glue", operation, _arn("glue", f"table/{database}/{name}", name)


def _emr(operation: str, params: Any) -> Found:
    application = f"arn:aws:emr-serverless:{REGION}:{ACCOUNT}:/applications/{params['applicationId']}"
    run = f"{application}/jobruns/{params.get('jobRunId', 'new')}"
    yield "emr-serverless", operation, run if "jobRunId" in params else application
    if operation == "StartJobRun":
        yield "iam", "PassRole", params["executionRoleArn"]
        if params.get("tags"):
            yield "emr-serverless", "TagResource", run


def _redshift(operation: str, params: Any) -> Found:
    cluster = params["ClusterIdentifier"]
    if operation == "DescribeClusters":
        yield "redshift", operation, _arn("redshift", f"cluster:{cluster}", cluster)
        return
    for what in ("DbUser", "DbName"):
        place = f"{what.lower()}:{cluster}/{params[what]}"
        yield "redshift", operation, _arn("redshift", place, place)


def _serverless(operation: str, params: Any) -> Found:
    name = params["workgroupName"]
    yield "redshift-serverless", operation, _arn("redshift-serverless", f"workgroup/{name}", name)


def _arn(service: str, place: str, named: str) -> str:
    return named if named.startswith("arn:") else f"arn:aws:{service}:{REGION}:{ACCOUNT}:{place}"


METHODS = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject", "POST": "PutObject"}


def asked_by_http(method: str, path: str, query: str) -> list[Asked]:
    """The same for a request to S3 that a client other than botocore makes: `/bucket/key`."""
    bucket, _, key = path.removeprefix("/").partition("/")
    if "delete" in query.split("&"):
        raise KeyError("DeleteObjects by another client than botocore")
    return asked("s3", METHODS[method] if key else "ListObjectsV2", {"Bucket": bucket} | ({"Key": key} if key else {}))


_RESOURCES = {
    "dynamodb": _dynamodb,
    "dynamodbstreams": _streams,
    "kinesis": _kinesis,
    "s3": _s3,
    "glue": _glue,
    "cloudwatch": _cloudwatch,
    "emr-serverless": _emr,
    "sns": _sns,
    "sqs": _sqs,
    "logs": _logs,
    "secretsmanager": _secrets,
    "redshift": _redshift,
    "redshift-serverless": _serverless,
}
