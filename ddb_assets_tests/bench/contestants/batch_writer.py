"""boto3's `Table.batch_writer()`, one per thread, as its documentation shows it, with items that are Python values."""

import sys
import threading

import boto3
from boto3.dynamodb.types import TypeDeserializer

from ddb_assets_tests.bench.writing import TABLE, items, timed


def main(endpoint: str, count: str, threads: str) -> None:
    """Each thread has its own session, because sessions must not be shared."""
    read = TypeDeserializer().deserialize
    found = [{name: read(value) for name, value in item.items()} for item in items(int(count))]

    def part(number: int) -> None:
        session = boto3.Session("testing", "testing", region_name="us-east-1")
        table = session.resource("dynamodb", endpoint_url=endpoint).Table(TABLE["TableName"])
        with table.batch_writer() as batch:
            for item in found[number :: int(threads)]:
                batch.put_item(Item=item)

    def write() -> None:
        running = [threading.Thread(target=part, args=(number,)) for number in range(int(threads))]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    timed(write)


if __name__ == "__main__":
    main(*sys.argv[1:])
