"""Finds new exports by the S3 event notifications in an SQS queue, for buckets that are too large to list.

`windows/sensor.py` handles the exports. A message is deleted only after the sensor has stored its content.
"""

import json
from typing import Any
from urllib.parse import unquote_plus

from ddb_assets.aws.errors import explained
from ddb_assets.contract.export_target import ExportTarget
from ddb_assets.exports.arrivals import EXPORT_ID
from ddb_assets.exports.manifest import SUMMARY

BATCH = 10  # the most messages that SQS receives or deletes in one call


class Notifications:
    """The queue for one export destination; messages about other places are ignored and deleted.

    Both methods raise AwsError, which names a missing permission.
    """

    def __init__(self, client: Any, url: str, place: ExportTarget) -> None:
        self._client, self._url = client, url
        self._bucket = place.bucket
        self._prefix = "/".join([*filter(None, place.prefix.split("/")), "AWSDynamoDB"])

    def receive(self, at_most: int) -> tuple[list[str], tuple[str, ...]]:
        """The ids of announced exports, and the receipts for `delete`. Stops at `at_most` messages or an empty answer."""
        ids: list[str] = []
        receipts: list[str] = []
        while len(receipts) < at_most:
            with explained("sqs:ReceiveMessage", self._url):
                answer = self._client.receive_message(QueueUrl=self._url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=0)
                messages = [(message["Body"], message["ReceiptHandle"]) for message in answer.get("Messages", [])]
            if not messages:
                break
            for body, receipt in messages:
                ids += ids_of_notification(body, self._bucket, self._prefix)
                receipts.append(receipt)
        return list(dict.fromkeys(ids)), tuple(receipts)

    def delete(self, receipts: tuple[str, ...]) -> None:
        """Deletes the messages that an earlier `receive` returned these receipts for."""
        for start in range(0, len(receipts), BATCH):
            batch = receipts[start : start + BATCH]
            entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(batch)]
            with explained("sqs:DeleteMessage", self._url):
                self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)


def ids_of_notification(body: str, bucket: str, prefix: str) -> list[str]:
    """The ids of the exports below `prefix` whose manifest this S3 event notification announces; none for other messages.

    The notification may come directly, through SNS or through EventBridge. Facts: Amazon S3 User Guide, "Event message
    structure": keys are URL-encoded; EventBridge does not encode them.
    """
    try:
        message = json.loads(body)
        if isinstance(message, dict) and isinstance(message.get("Message"), str):
            message = json.loads(message["Message"])
    except (ValueError, RecursionError):
        return []
    if not isinstance(message, dict):
        return []
    found = [(place, True) for record in _list(message.get("Records")) if (place := _dict(record).get("s3"))]
    found += [(message["detail"], False)] if "detail" in message else []
    ids = []
    for place, encoded in found:
        key = str(_dict(_dict(place).get("object")).get("key", ""))
        key = unquote_plus(key) if encoded else key
        folder, _, name = key.rpartition("/")
        parent, _, export = folder.rpartition("/")
        if (
            _dict(_dict(place).get("bucket")).get("name") == bucket
            and name == SUMMARY
            and parent == prefix
            and EXPORT_ID.fullmatch(export)
        ):
            ids.append(export)
    return ids


def _dict(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
