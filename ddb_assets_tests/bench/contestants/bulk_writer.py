"""Our writer: writes the items of `orders` to the table at this endpoint. Prints seconds of wall time and CPU."""

import sys

from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.writing.operation import put
from ddb_assets.bulk.writing.writer import BulkWriter
from ddb_assets_tests.bench.writing import TABLE, items, timed
from ddb_assets_tests.support.tables import client_of


def main(endpoint: str, count: str, threads: str) -> None:
    """Items are DynamoDB JSON, as in exports and our readers."""
    found, target = items(int(count)), TableDescription.of(TABLE)

    def write() -> None:
        with BulkWriter(client_of(endpoint), target, in_flight=int(threads)) as writer:
            for item in found:
                writer.write(put(target, item, None))

    timed(write)


if __name__ == "__main__":
    main(*sys.argv[1:])
