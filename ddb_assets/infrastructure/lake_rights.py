"""The rights to files on S3: in the lake, in the buckets of exports, and at the URIs that imports and copies name.

Listing a bucket is allowed without a condition: S3 says 403 instead of 404 for a missing file to those who may not list its
bucket, and what could not be read must not count as absent.
"""

from collections.abc import Iterator

from ddb_assets.contract.table import Table
from ddb_assets.infrastructure.arns import ARN, HERE, bucket_arn, bucket_at, objects_arn, objects_at
from ddb_assets.infrastructure.statement import Condition, Statement, allow
from ddb_assets.infrastructure.wanted import Wanted

OWN_KEY = "${LakeKey.Arn}"
"""The KMS key of the stack."""
BY_S3: Condition = (("StringEquals", "kms:ViaService", ("s3.${AWS::Region}.amazonaws.com",)),)


def key_of(wanted: Wanted) -> str | None:
    """The ARN of the KMS key that encrypts the lake; None for a bucket that exists and is encrypted in another way."""
    return wanted.options.kms_key or (None if wanted.options.existing_bucket else OWN_KEY)


def key_arn(key: str) -> str:
    """The ARN of a KMS key that is given by its id or ARN."""
    return key if key.startswith("arn:") else f"{ARN}:kms:{HERE}:key/{key}"


def uses_key(wanted: Wanted, actions: str) -> Iterator[Statement]:
    """What S3 does with the lake's key, with the rights of whoever reads or writes."""
    if key := key_of(wanted):
        yield allow(f"kms: {actions}", key, condition=BY_S3)


def reads(wanted: Wanted, *folders: str) -> Iterator[Statement]:
    """Reading these folders of the lake."""
    places = [objects_arn(wanted.lake.bucket, wanted.lake.key(folder)) for folder in folders]
    yield allow("s3: GetObject", *places)
    yield allow("s3: ListBucket", bucket_arn(wanted.lake.bucket))
    yield from uses_key(wanted, "Decrypt")


def writes(wanted: Wanted, *folders: str, deletes: bool = True) -> Iterator[Statement]:
    """Reading and writing these folders of the lake, and deleting what is replaced."""
    yield from reads(wanted, *folders)
    places = [objects_arn(wanted.lake.bucket, wanted.lake.key(folder)) for folder in folders]
    yield allow(f"s3: PutObject AbortMultipartUpload {'DeleteObject' if deletes else ''}", *places)
    yield from uses_key(wanted, "GenerateDataKey")


def creates(wanted: Wanted, folder: str) -> Iterator[Statement]:
    """Writing small files that nobody changes into a folder of the lake, without reading them."""
    yield allow("s3: PutObject", objects_arn(wanted.lake.bucket, wanted.lake.key(folder)))
    yield from uses_key(wanted, "GenerateDataKey Decrypt")


def reads_exports(wanted: Wanted, table: Table) -> Iterator[Statement]:
    """Reading the exports of a table."""
    place = wanted.place(table)
    prefix = "/".join(filter(None, (place.prefix.strip("/"), "AWSDynamoDB/")))
    yield allow("s3: GetObject", objects_arn(place.bucket, prefix))
    yield allow("s3: ListBucket", bucket_arn(place.bucket))
    if place.kms_key:
        yield allow("kms: Decrypt", key_arn(place.kms_key))
    if place.bucket == wanted.lake.bucket:
        yield from uses_key(wanted, "Decrypt")


def reads_at(wanted: Wanted, uri: str) -> Iterator[Statement]:
    """Reading the files at a URI; nothing for a place that is not on S3."""
    objects, bucket = objects_at(uri), bucket_at(uri)
    if objects and bucket:
        yield allow("s3: GetObject", objects)
        yield allow("s3: ListBucket", bucket)
        if bucket == bucket_arn(wanted.lake.bucket):
            yield from uses_key(wanted, "Decrypt")


def writes_at(wanted: Wanted, uri: str, actions: str = "PutObject AbortMultipartUpload") -> Iterator[Statement]:
    """Reading and writing the files at a URI."""
    yield from reads_at(wanted, uri)
    if objects := objects_at(uri):
        yield allow(f"s3: {actions}", objects)
        if bucket_at(uri) == bucket_arn(wanted.lake.bucket):
            yield from uses_key(wanted, "GenerateDataKey")
