"""COPY: the manifest that names a relation's parts, and the statement.

`parts.py` checks the parts and rewrites some.
Facts: Redshift Database Developer Guide, "COPY from columnar data formats": an explicit column list in the file's order,
`meta.content_length` in the manifest; no REGION, so the bucket is in the warehouse's Region.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from ddb_assets.aws.storage import Storage, is_s3, join, split_s3
from ddb_assets.contract.column_type import MAX_VARBYTE, MAX_VARCHAR, SqlType
from ddb_assets.contract.report import Part, Relation
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.redshift.parts import opened, write_again
from ddb_assets.warehouse.redshift.settings import RedshiftSettings
from ddb_assets.warehouse.sql.conversion import staged
from ddb_assets.warehouse.sql.ddl import create_stage
from ddb_assets.warehouse.sql.statements import Statement, TableName, drop, literal, quoted

CHECK_THREADS = 8  # each part takes two short requests, which only wait


@contextmanager
def copied_from(
    storage: Storage, settings: RedshiftSettings, relation: Relation, stage: TableName, session: str
) -> Iterator[list[Statement]]:
    """The statements that copy a relation's parts into its empty staging table, to be run within the block.

    The files that they read, a manifest and rewritten parts, are deleted after the block. JSON is staged as VARCHAR; columns
    with longer JSON are staged as VARBYTE, for which the parts are rewritten. So are parts with DECIMAL of 19 digits, which
    Redshift keeps in 8 bytes that do not hold them all.

    Raises LoadError for a part that is not what the report says, WarehouseError when a part is not on S3 and no staging
    folder is set.
    """
    check_region(storage, settings, [settings.staging, *(part.uri for part in relation.parts)])
    with ThreadPoolExecutor(CHECK_THREADS) as checks:
        list(checks.map(lambda part: _check(storage, part, relation), relation.parts))
    wide = _bytes_of_wide(relation)
    others = _other_types(relation, wide)
    folder = copy_folder(settings, relation, session)
    made: list[str] = []
    try:
        entries = []
        for number, part in enumerate(relation.parts):
            uri, size = part.uri, part.bytes
            if others or not is_s3(uri):
                # guard: parts on S3
                if not is_s3(folder):
                    raise WarehouseError(
                        f"part {uri} is not on S3, where COPY reads: put the lake there, or name an S3 folder for this "
                        "by &staging=s3://bucket/prefix in the warehouse's URL"
                    )
                uri = join(folder, f"part-{number:05}.parquet")
                made.append(uri)
                size = _put(storage, part, relation, others, uri)
            # guard: content_length
            # guard: mandatory
            entries.append({"url": uri, "mandatory": True, "meta": {"content_length": size}})
        manifest = join(folder, "manifest.json")
        made.append(manifest)
        storage.write(manifest, json.dumps({"entries": entries}).encode())
        again = [drop(stage), create_stage(relation, stage, wide)] if wide else []
        yield [*again, _statement(relation, stage, manifest, settings.iam_role)]
    finally:
        # guard: what COPY read is deleted
        storage.delete(made)


def _bytes_of_wide(relation: Relation) -> dict[str, int]:
    """The columns whose texts no VARCHAR can hold, and how many bytes the longest has: the size of their VARBYTE.

    No more than that, because older Redshift versions allow 1,024,000 bytes at most.
    """
    if not relation.measures:
        return {name: MAX_VARBYTE for part in relation.parts for name in part.long}
    texts = [column.name for column in relation.columns if SqlType.parse(column.type).name in {"VARCHAR", "SUPER"}]
    return {name: size for name in texts if (size := int(relation.measures[name].most or 0)) > MAX_VARCHAR}


def _other_types(relation: Relation, wide: Mapping[str, int]) -> dict[str, pa.DataType]:
    """The columns that are staged in another type than their part has, with the type in the rewritten part."""
    found: dict[str, pa.DataType] = {name: pa.binary() for name in wide}
    for column in relation.columns:
        declared = SqlType.parse(column.type)
        if declared.name == "DECIMAL" and staged(declared) != declared:
            found[column.name] = pa.decimal128(staged(declared).size, declared.scale)
    return found


def check_region(storage: Storage, settings: RedshiftSettings, uris: Iterable[str]) -> None:
    """Raises WarehouseError for a bucket in another Region than the warehouse, if both are known."""
    for bucket in sorted({split_s3(uri)[0] for uri in uris if is_s3(uri)}) if settings.home else ():
        region = storage.region(bucket)
        # guard: bucket's Region
        if region not in {"", settings.home}:
            raise WarehouseError(
                f"bucket {bucket} is in {region} and Redshift in {settings.home}, and COPY reads Parquet only from its own "
                "Region: put the lake there (DDB_ASSETS_LAKE)"
            )


def _check(storage: Storage, part: Part, relation: Relation) -> None:
    with opened(storage, part, relation):
        pass


def copy_folder(settings: RedshiftSettings, relation: Relation, session: str) -> str:
    """The folder of the files for a session's COPY of a relation; empty when there is nothing to copy."""
    if not relation.parts:
        return ""
    base = settings.staging or relation.parts[0].uri.rpartition("/")[0]
    return join(base, f"_ddb_copy_{session}", relation.name)


def _put(storage: Storage, part: Part, relation: Relation, others: Mapping[str, pa.DataType], uri: str) -> int:
    """Writes a part to S3, some columns in other types; its size there."""
    if not others:
        storage.upload(Path(part.uri), uri)
        return part.bytes
    with tempfile.TemporaryDirectory(prefix="ddb_assets-") as folder:
        path = Path(folder) / "part.parquet"
        with opened(storage, part, relation) as parquet:
            write_again(parquet, others, path)
        storage.upload(path, uri)
        return path.stat().st_size


def _statement(relation: Relation, stage: TableName, manifest: str, role: str) -> Statement:
    columns = ", ".join(quoted(c.name) for c in relation.columns)
    who = "default" if role == "default" else literal(role)
    # guard: explicit column list
    return Statement(f"COPY {stage} ({columns}) FROM {literal(manifest)} IAM_ROLE {who} FORMAT AS PARQUET MANIFEST")
