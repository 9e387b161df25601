"""dlt: items deserialized by boto3, as its own DynamoDB sources do, normalized and written to a folder as Parquet.

dlt makes a relation of every list and every set, so only its counts and sums are compared with the others.
"""

import gzip
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt  # type: ignore[import-not-found,unused-ignore]
from boto3.dynamodb.types import TypeDeserializer

BATCH = 5_000


def items(source: str) -> Iterator[list[dict[str, Any]]]:
    deserialize = TypeDeserializer().deserialize
    batch: list[dict[str, Any]] = []
    for path in sorted((Path(source) / "data").iterdir()):
        with gzip.open(path) as stream:
            for text in stream:
                item = deserialize({"M": json.loads(text)["Item"]})
                batch.append({**item, "tags": sorted(item["tags"])})
                if len(batch) == BATCH:
                    yield batch
                    batch = []
    yield batch


def main(source: str, out: str) -> None:
    destination = dlt.destinations.filesystem(Path(out).absolute().as_uri())
    resource = dlt.resource(lambda: items(source), name="orders", write_disposition="append")
    with tempfile.TemporaryDirectory() as state:
        pipeline = dlt.pipeline("orders", pipelines_dir=state, destination=destination, dataset_name="dlt")
        pipeline.run(resource, loader_file_format="parquet")


if __name__ == "__main__":
    main(*sys.argv[1:])
