"""The rights to Iceberg tables of changes, of cold rows and of a warehouse: their files, and the catalog that knows them.

Facts: AWS Glue Developer Guide, "Specifying AWS Glue resource ARNs": an action on a table needs its catalog and database too.
Redshift Database Developer Guide, UNLOAD and "IAM policies for Amazon Redshift Spectrum".
"""

from collections.abc import Iterator

from ddb_assets.infrastructure.arns import ARN, HERE, bucket_arn, bucket_at, literal, objects_at
from ddb_assets.infrastructure.lake_rights import reads, reads_at, uses_key, writes_at
from ddb_assets.infrastructure.statement import Statement, allow
from ddb_assets.infrastructure.wanted import Catalog, Wanted

FILES = "PutObject AbortMultipartUpload DeleteObject"
DATABASE = "GetDatabase CreateDatabase"
TABLES = "GetTable CreateTable UpdateTable"
NAMESPACE = "s3tables: GetTableBucket CreateNamespace GetNamespace"
OF_BUCKET = f"{NAMESPACE} CreateTable"
OF_TABLES = (
    "s3tables: GetTable GetTableMetadataLocation UpdateTableMetadataLocation GetTableData PutTableData CreateTable"
)


def appended(wanted: Wanted) -> Iterator[Statement]:
    """Reading Parquet, appending it to the tables of changes, and the upkeep of these."""
    yield from reads(wanted, "parquet")
    catalog = wanted.catalog or Catalog("file", location=f"{wanted.lake.uri}/iceberg")
    yield from writes_at(wanted, catalog.location and f"{catalog.location}/", FILES)
    if catalog.kind == "glue":
        yield from _glue(catalog)
    if catalog.kind == "s3tables":
        bucket = literal(catalog.bucket)
        yield allow(OF_BUCKET, bucket)
        yield allow(OF_TABLES, f"{bucket}/table/*")


def looked_up(wanted: Wanted) -> Iterator[Statement]:
    """Reading the tables of changes."""
    catalog = wanted.catalog or Catalog("file", location=f"{wanted.lake.uri}/iceberg")
    yield from reads_at(wanted, catalog.location and f"{catalog.location}/")
    if catalog.kind == "glue":
        database = [glue_arn(catalog, place) for place in ("catalog", f"database/{catalog.namespace}")]
        yield allow("glue: CreateDatabase", *database)  # opening a catalog creates its namespace
        yield allow("glue: GetTable", *database, glue_arn(catalog, f"table/{catalog.namespace}/*"))
    if catalog.kind == "s3tables":
        bucket = literal(catalog.bucket)
        yield allow(NAMESPACE, bucket)
        yield allow("s3tables: GetTable GetTableMetadataLocation GetTableData", f"{bucket}/table/*")


def opened(wanted: Wanted) -> Iterator[Statement]:
    """Opening a warehouse in Iceberg, and its upkeep. Whoever opens it also finishes a load that was broken off."""
    if catalog := wanted.store:
        yield from writes_at(wanted, catalog.location and f"{catalog.location}/", FILES)
        if catalog.kind == "glue":
            database = [glue_arn(catalog, place) for place in ("catalog", f"database/{catalog.namespace}")]
            yield allow(f"glue: {DATABASE}", *database)  # opening a catalog creates its namespace
            tables = glue_arn(catalog, f"table/{catalog.namespace}/*")
            yield allow("glue: GetTable GetTables UpdateTable", *database, tables)
        if catalog.kind == "s3tables":
            bucket = literal(catalog.bucket)
            yield allow(f"{NAMESPACE} ListTables", bucket)
            yield allow(
                "s3tables: GetTable GetTableMetadataLocation UpdateTableMetadataLocation GetTableData PutTableData",
                f"{bucket}/table/*",
            )


def loaded(wanted: Wanted) -> Iterator[Statement]:
    """Making the tables of a warehouse in Iceberg, beyond opening it."""
    if wanted.store and wanted.store.kind == "glue":
        yield from _glue(wanted.store)
    if wanted.store and wanted.store.kind == "s3tables":
        bucket = literal(wanted.store.bucket)
        yield allow(OF_BUCKET, bucket)
        yield allow(OF_TABLES, f"{bucket}/table/*")


def moved(wanted: Wanted) -> Iterator[Statement]:
    """Reading what Redshift has unloaded, appending it to the tables of cold rows, and the upkeep of these."""
    catalog = wanted.catalog
    if catalog and catalog.kind == "glue":
        yield from writes_at(wanted, f"{catalog.location}/", FILES)
        yield from writes_at(wanted, _unload(wanted, catalog), "DeleteObject")
        yield from _glue(catalog)


def unloaded(wanted: Wanted) -> Iterator[Statement]:
    """Of Redshift's own role: unloading rows, and reading the tables of cold rows by an external schema."""
    catalog = wanted.catalog
    if catalog and catalog.kind == "glue":
        unload = _unload(wanted, catalog)
        yield allow("s3: PutObject", str(objects_at(unload)))
        yield from reads_at(wanted, f"{catalog.location}/")
        for bucket in {str(bucket_at(place)): None for place in (catalog.location, unload)}:
            yield allow("s3: ListBucket GetBucketLocation", bucket)
        if bucket_at(unload) == bucket_arn(wanted.lake.bucket):
            yield from uses_key(wanted, "GenerateDataKey Decrypt")
        database = [glue_arn(catalog, place) for place in ("catalog", f"database/{catalog.namespace}")]
        yield allow("glue: GetDatabase", *database)
        yield allow(
            "glue: GetTable GetTables GetPartitions", *database, glue_arn(catalog, f"table/{catalog.namespace}/*")
        )


def dropped(wanted: Wanted) -> Iterator[Statement]:
    """Looking for the tables of changes, of cold rows and of a warehouse, and dropping them with their files."""
    for catalog in filter(None, (wanted.catalog, wanted.store)):
        if catalog.kind != "rest":
            yield from writes_at(wanted, catalog.location and f"{catalog.location}/", "DeleteObject")
        if catalog.kind == "glue":
            database = [glue_arn(catalog, place) for place in ("catalog", f"database/{catalog.namespace}")]
            yield allow("glue: GetTable DeleteTable", *database, glue_arn(catalog, f"table/{catalog.namespace}/*"))
        if catalog.kind == "s3tables":
            bucket = literal(catalog.bucket)
            yield allow("s3tables: GetTableBucket", bucket)
            yield allow("s3tables: GetTable GetTableMetadataLocation GetTableData DeleteTable", f"{bucket}/table/*")


def _unload(wanted: Wanted, catalog: Catalog) -> str:
    """Where the files of UNLOAD lie for a moment."""
    base = (wanted.login.staging if wanted.login else "") or catalog.location
    return f"{base.rstrip('/')}/_ddb_unload/"


def glue_arn(catalog: Catalog, place: str) -> str:
    """The ARN of something in the Glue Data Catalog of the account, or of the account that the URL names."""
    home = f"${{AWS::Region}}:{catalog.account}" if catalog.account else HERE
    return f"{ARN}:glue:{home}:{place}"


def _glue(catalog: Catalog) -> Iterator[Statement]:
    database = [glue_arn(catalog, place) for place in ("catalog", f"database/{catalog.namespace}")]
    yield allow(f"glue: {DATABASE}", *database)
    yield allow(f"glue: {TABLES}", *database, glue_arn(catalog, f"table/{catalog.namespace}/*"))
