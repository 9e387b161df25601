"""The calls to Kinesis that reading a stream takes, without retries.

`client` is made with BULK_CLIENT, because `drain.py` retries by itself. Answers of GetRecords do not pass through botocore's
parser, which takes several times as long as everything else that is done with a record.

Facts: Kinesis Data Streams API. GetRecords answers at most 10,000 records and 10 MiB. A closed shard that was read to its end
has no next iterator. A NextToken of ListShards is given alone.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
import orjson
import pybase64

from ddb_assets.aws.errors import explained
from ddb_assets.microseconds import to_micros
from ddb_assets.streams.shards import Shard

MAX_RECORDS = 10_000
HOUR = 3600 * 1_000_000


class StreamRecord(msgspec.Struct, frozen=True, gc=False):
    """One record: its shard, its sequence number, when it arrived (microseconds since 1970), and its data.

    `table` is the name of the table whose own stream it is of; None for a record of a Kinesis stream. A drain has very many, so
    the garbage collector does not look at them: that took a fifth of the time.
    """

    shard: str
    sequence: int
    arrived: int
    data: bytes
    table: str | None = None


@dataclass(frozen=True)
class Stream:
    """A stream: its ARN, when it was created, and for how long it keeps records, both in microseconds."""

    arn: str
    created: int
    retention: int

    @property
    def name(self) -> str:
        """Its name in the account; `stream` for that of a table."""
        return self.arn.rpartition("/")[2]


@dataclass(frozen=True)
class Page:
    """An answer of GetRecords. `iterator` is None at the end of a closed shard."""

    records: list[StreamRecord]
    iterator: str | None
    behind_millis: int


class StreamCalls:
    """The calls about one stream, given by name or by ARN; a stream of another account needs its ARN.

    Each raises AwsError; AwsUnavailableError where the same call may succeed a moment later.
    """

    def __init__(self, client: Any, stream: str) -> None:
        self._client, self._stream = client, stream
        self._named = {"StreamARN" if stream.startswith("arn:") else "StreamName": stream}
        client.meta.events.register("before-parse.kinesis.GetRecords", keep_answer, unique_id="ddb-assets-raw-records")

    def describe(self) -> Stream:
        with explained("kinesis:DescribeStreamSummary", self._subject):
            found = self._client.describe_stream_summary(**self._named)["StreamDescriptionSummary"]
            return Stream(
                found["StreamARN"],
                to_micros(found["StreamCreationTimestamp"]),
                found["RetentionPeriodHours"] * HOUR,
            )

    def shards(self) -> dict[str, Shard]:
        """All shards with records that have not expired, and all open ones."""
        found: dict[str, Shard] = {}
        arguments: dict[str, str] = self._named
        while True:
            with explained("kinesis:ListShards", self._subject):
                answer = self._client.list_shards(**arguments)
                for shard in answer["Shards"]:
                    parents = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
                    found[shard["ShardId"]] = Shard(shard["ShardId"], tuple(filter(None, parents)))
            if not answer.get("NextToken"):
                return found
            arguments = {"NextToken": answer["NextToken"]}

    def iterator(self, shard: str, after: str | None) -> str:
        """An iterator of the records after this sequence number; from the oldest one that is left without it."""
        place = {"ShardIteratorType": "TRIM_HORIZON"}
        if after is not None:
            place = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": after}
        with explained("kinesis:GetShardIterator", f"shard {shard} of {self._subject}"):
            return str(self._client.get_shard_iterator(ShardId=shard, **place, **self._named)["ShardIterator"])

    def page(self, shard: str, iterator: str, limit: int) -> Page:
        """The next records of a shard, at most `limit`."""
        arn = {name: value for name, value in self._named.items() if name == "StreamARN"}
        with explained("kinesis:GetRecords", f"shard {shard} of {self._subject}"):
            answer = self._client.get_records(ShardIterator=iterator, Limit=min(limit, MAX_RECORDS), **arn)
            return _page(shard, orjson.loads(answer[ANSWER]))

    @property
    def _subject(self) -> str:
        return f"stream {self._stream}"


ANSWER = "Answer"


def keep_answer(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """botocore's hook before an answer is parsed: hands on the body of a good one and leaves an empty document."""
    if response_dict["status_code"] == 200:
        customized_response_dict[ANSWER] = response_dict["body"]
        response_dict["body"] = b"{}"


def _page(shard: str, answer: dict[str, Any]) -> Page:
    decode = pybase64.b64decode
    return Page(
        [
            StreamRecord(
                shard,
                int(record["SequenceNumber"]),
                round(record["ApproximateArrivalTimestamp"] * 1_000_000),
                decode(record["Data"]),
            )
            for record in answer["Records"]
        ],
        answer.get("NextShardIterator"),
        answer["MillisBehindLatest"],
    )
