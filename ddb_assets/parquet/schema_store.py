"""The stored versions of a table's schema: `<root>/<table>/000003.json`, written once each, never changed.

Two writers cannot both make version 4: `publish` is a conditional put, and the second one starts again from the first
one's version. What a schema says is `schema.py`.
"""

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ddb_assets.parquet.schema import Schema, walk

if TYPE_CHECKING:
    from ddb_assets.resources.storage import Storage


MAX_BYTES = 64 << 20  # a table of 1,600 columns has about 1 MB
VERSION_FILE = re.compile(r"/[0-9]{6}\.json$")


class SchemaStore:
    """Schema documents below one URI, local or on S3."""

    def __init__(self, storage: "Storage", root: str) -> None:
        self.storage, self.root = storage, root.rstrip("/")

    def latest(self, table: str) -> Schema | None:
        """The newest version, or None when the table has none."""
        versions = [e.uri for e in self.storage.list(f"{self.root}/{table}") if VERSION_FILE.search(e.uri)]
        newest = max(versions, default=None)
        return Schema.model_validate_json(self.storage.read(newest, most=MAX_BYTES)) if newest else None

    def publish(self, schema: Schema) -> bool:
        """Stores a version made by `next_version`; False when another writer has stored that number first."""
        return self.storage.create(self.uri(schema), schema.model_dump_json(indent=1).encode())

    def keep_profile(self, table: str, profile: bytes) -> None:
        """Keeps what the newest flattened export showed, path by path, beside the schema."""
        self.storage.write(f"{self.root}/{table}/profile.json", profile)

    def uri(self, schema: Schema) -> str:
        """Where this version stands."""
        return f"{self.root}/{schema.table}/{schema.version:06d}.json"


def next_version(schema: Schema) -> Schema:
    """The schema as the version after its own; all its columns count as stored from now on."""
    settled = max((node.order or 0 for _, node in walk(schema.root)), default=0)
    return schema.model_copy(
        update={"version": schema.version + 1, "settled": settled, "created_at": datetime.now(UTC)}
    )
