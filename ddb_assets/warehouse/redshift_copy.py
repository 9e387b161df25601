"""COPY: the manifest that names a relation's parts, and the statement.

Parts are looked at, and brought to S3 where they are not there yet, by `redshift_parts.py`.
Facts: Redshift Database Developer Guide, "COPY from columnar data formats": an explicit column list in the file's order,
`meta.content_length` in the manifest; no REGION, so the bucket is in the warehouse's Region.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from ddb_assets.parquet.report import Relation
from ddb_assets.resources.storage import Storage, is_s3, join
from ddb_assets.warehouse.protocol import WarehouseError
from ddb_assets.warehouse.redshift_parts import bring, check_on_s3
from ddb_assets.warehouse.redshift_settings import RedshiftSettings
from ddb_assets.warehouse.sql import Statement, Table, literal, quoted


@contextmanager
def copied_from(
    storage: Storage, settings: RedshiftSettings, relation: Relation, stage: Table, session: str
) -> Iterator[Statement]:
    """The COPY of a relation's parts; its manifest, and parts brought to S3 for it, are there while the block runs.

    Raises LoadError for a part that is not what the report says, WarehouseError when a part is not on S3 and no staging
    folder is set.
    """
    base = settings.staging or relation.parts[0].uri.rpartition("/")[0]
    folder = join(base, f"_ddb_copy_{session}", relation.name)
    made: list[str] = []
    try:
        entries = []
        for number, part in enumerate(relation.parts):
            if is_s3(part.uri):
                check_on_s3(storage, part, relation)
                uri = part.uri
            elif settings.staging:
                uri = join(folder, f"part-{number:05}.parquet")
                made.append(uri)
                bring(storage, part, relation, uri)
            else:
                raise WarehouseError(
                    f"part {part.uri} is not on S3, where COPY reads: put the lake there, or name an S3 folder of its own "
                    "for this by &staging=s3://bucket/prefix in the warehouse's URL"
                )
            entries.append({"url": uri, "mandatory": True, "meta": {"content_length": part.bytes}})
        manifest = join(folder, "manifest.json")
        made.append(manifest)
        storage.write(manifest, json.dumps({"entries": entries}).encode())
        yield _statement(relation, stage, manifest, settings.iam_role)
    finally:
        storage.delete(made)


def _statement(relation: Relation, stage: Table, manifest: str, role: str) -> Statement:
    columns = ", ".join(quoted(c.name) for c in relation.columns)
    who = "default" if role == "default" else literal(role)
    return Statement(f"COPY {stage} ({columns}) FROM {literal(manifest)} IAM_ROLE {who} FORMAT AS PARQUET MANIFEST")
