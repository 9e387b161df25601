"""ImportTable of the sandbox: a thread that makes the table of the objects on S3.

moto's own reads JSON Lines with a parser that loses items. Facts: API reference, ImportTable; Developer Guide, "DynamoDB data
import from Amazon S3" (an item that is refused is counted, and the import then ends FAILED).
"""

import gzip
from typing import Any

import orjson
from moto.dynamodb.models.table_import import TableImport
from moto.s3.models import FakeBucket, S3Backend


class SandboxImport(TableImport):
    """Reads DynamoDB JSON, one item in each line, plain or gzipped."""

    def _process_s3_files(self, s3_backend: S3Backend, bucket: FakeBucket) -> None:
        from moto.dynamodb.models import dynamodb_backends  # a cycle: the backend starts imports

        self.table = dynamodb_backends[self.account_id][self.region_name].create_table(
            name=self.table_name,
            billing_mode=self.billing_mode,
            throughput=self.throughput,
            schema=self.key_schema,
            global_indexes=self.global_indexes,
            indexes=None,
            attr=self.attrs,
            sse_specification=None,
            streams=None,
            tags=[],
            deletion_protection_enabled=False,
            warm_throughput=None,
        )
        objects, *_ = s3_backend.list_objects(
            bucket, prefix=self.s3_source.get("S3KeyPrefix"), delimiter=None, marker=None, max_keys=None
        )
        for found in objects:
            content = gzip.decompress(found.value) if self.compression_type == "GZIP" else found.value
            for line in content.splitlines():
                if line.strip():
                    self._put(line)
        self.status = "COMPLETED" if self.error_count == 0 else "FAILED"

    def _put(self, line: bytes) -> None:
        self.processed_count += 1
        self.processed_bytes += len(line)
        try:
            item: dict[str, Any] = orjson.loads(line)["Item"]
            assert self.table is not None  # noqa: S101 -- made before
            self.table.put_item(item_attrs=item)
            self.imported_count += 1
        except Exception as error:
            self.failure_message = str(error)
            self.error_count += 1
