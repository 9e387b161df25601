"""Why ImportTable left items out, as far as its log says.

Facts: Developer Guide, "Importing table data from Amazon S3", "Validating your import" (CloudWatch log group
`/aws-dynamodb/imports`, stream `<import id>/error`, one JSON message for each item).
"""

import json
from typing import Any

from ddb_assets.aws.errors import AwsError, explained

LOG_GROUP = "/aws-dynamodb/imports"
SHOWN = 5


def log_stream(arn: str) -> str:
    """The stream of this import's errors."""
    return f"{arn.rpartition('/')[2]}/error"


def logged_errors(logs: Any, arn: str) -> str:
    """The first errors in words, with a boto3 client for CloudWatch Logs; or where they are and why they cannot be read."""
    stream = log_stream(arn)
    where = f"CloudWatch log group {LOG_GROUP}, stream {stream}"
    try:
        with explained("logs:GetLogEvents", f"stream {stream} of {LOG_GROUP}"):
            found = logs.get_log_events(
                logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True, limit=SHOWN + 1
            )["events"]
    except AwsError as error:
        return f"the log cannot be read ({error}); look into {where}"
    if not found:
        return f"nothing is logged; look into {where}"
    shown = "; ".join(_said(event["message"]) for event in found[:SHOWN])
    return f"{shown}{'; …' if len(found) > SHOWN else ''} ({where})"


def _said(message: str) -> str:
    try:
        told = json.loads(message)
        pointer = told["itemS3Pointer"]
        place = f"item {pointer['itemIndex']} of s3://{pointer['bucket']}/{pointer['key']}"
        return f"{place}: {', '.join(map(str, told['errorMessages']))}"
    except (ValueError, KeyError, TypeError):
        return message.strip()
