"""The calls to DynamoDB Streams that reading the own stream of a table takes, without retries, as `calls.py` has Kinesis'.

Facts: DynamoDB Streams API reference and Developer Guide, "Change data capture for DynamoDB Streams". A shard is open for
about four hours. GetRecords answers at most 1,000 records and 1 MB, and may answer none although there are some; one that is
asked for few does so often (aws-cli #4893). It does not say how far the end is. A closed shard has a last sequence number,
and no next iterator at its end. Records stay for 24 hours. A stream that is enabled again has another ARN.
"""

from collections import Counter
from typing import Any

import orjson

from ddb_assets.aws.errors import explained
from ddb_assets.microseconds import now_micros, to_micros
from ddb_assets.streams.calls import ANSWER, HOUR, Page, Stream, StreamRecord, keep_answer
from ddb_assets.streams.own_stream import check_images
from ddb_assets.streams.shards import Shard

MAX_RECORDS = 1_000
RETENTION = 24 * HOUR
LEAST_DIGITS = 21
"""A sequence number has 21 to 40 digits."""
EMPTY_PAGES = 5
"""So many empty answers in a row are taken for the end of an open shard.

If more came before a record, it is read when the shard is closed, after four hours at most: a closed shard is read to its end.
"""


class TableStreamCalls:
    """The calls about the stream of this ARN. They raise what those of `StreamCalls` do."""

    def __init__(self, client: Any, arn: str) -> None:
        self._client, self._arn = client, arn
        self._table = arn.partition(":table/")[2].partition("/")[0]
        self._closed: set[str] = set()
        self._empty: Counter[str] = Counter()
        client.meta.events.register("before-parse.dynamodb-streams.GetRecords", keep_answer, unique_id="ddb-assets-raw")

    def describe(self) -> Stream:
        """Every stream that the table has had is one stream, created again each time."""
        with explained("dynamodb:DescribeStream", self._subject):
            found = self._client.describe_stream(StreamArn=self._arn, Limit=1)["StreamDescription"]
        check_images(self._table, found["StreamViewType"])
        return Stream(self._arn.rpartition("/")[0], to_micros(found["CreationRequestDateTime"]), RETENTION)

    def shards(self) -> dict[str, Shard]:
        """All shards with records that have not expired, and all open ones."""
        found: dict[str, Shard] = {}
        arguments: dict[str, str] = {"StreamArn": self._arn}
        while True:
            with explained("dynamodb:DescribeStream", self._subject):
                answer = self._client.describe_stream(**arguments)["StreamDescription"]
                for shard in answer["Shards"]:
                    name, parent = shard["ShardId"], shard.get("ParentShardId")
                    found[name] = Shard(name, (parent,) if parent else ())
                    if shard["SequenceNumberRange"].get("EndingSequenceNumber"):
                        self._closed.add(name)
            if not answer.get("LastEvaluatedShardId"):
                return found
            arguments = {"StreamArn": self._arn, "ExclusiveStartShardId": answer["LastEvaluatedShardId"]}

    def iterator(self, shard: str, after: str | None) -> str:
        """An iterator of the records after this sequence number; from the oldest one that is left without it."""
        place = {"ShardIteratorType": "TRIM_HORIZON"}
        if after is not None:
            place = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": after.zfill(LEAST_DIGITS)}
        with explained("dynamodb:GetShardIterator", f"shard {shard} of {self._subject}"):
            found = self._client.get_shard_iterator(StreamArn=self._arn, ShardId=shard, **place)
            return str(found["ShardIterator"])

    def page(self, shard: str, iterator: str, _limit: int) -> Page:
        """The next records of a shard: as many as there may be in an answer."""
        with explained("dynamodb:GetRecords", f"shard {shard} of {self._subject}"):
            answer = orjson.loads(self._client.get_records(ShardIterator=iterator, Limit=MAX_RECORDS)[ANSWER])
        records = [self._record(shard, record) for record in answer["Records"]]
        self._empty[shard] = 0 if records else self._empty[shard] + 1
        return Page(records, answer.get("NextShardIterator"), self._behind(shard, records))

    def _behind(self, shard: str, records: list[StreamRecord]) -> int:
        """Milliseconds: at most the age of the newest record; 0 at the end."""
        if records:
            return max(1, (now_micros() - records[-1].arrived) // 1000)
        return 0 if self._empty[shard] >= EMPTY_PAGES and shard not in self._closed else 1

    def _record(self, shard: str, record: dict[str, Any]) -> StreamRecord:
        change = record["dynamodb"]
        arrived = int(change["ApproximateCreationDateTime"]) * 1_000_000
        return StreamRecord(shard, int(change["SequenceNumber"]), arrived, orjson.dumps(record), self._table)

    @property
    def _subject(self) -> str:
        return f"stream {self._arn}"
