"""The stored versions of a table's schema: `<root>/<table>/000003.json`, each written once and never changed.

Two writers cannot both store version 4: `publish` is a conditional put, and the second writer starts again from the version
of the first. `schema.py` defines the document.
"""

import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ddb_assets.aws.storage import MissingFileError, join
from ddb_assets.contract.model import first_problem
from ddb_assets.errors import DdbAssetsError
from ddb_assets.flatten.schema import FORMAT, Schema, walk

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage
    from ddb_assets.contract.key_schema import KeySchema
    from ddb_assets.contract.table import Table
    from ddb_assets.exports.manifest import Export


MAX_BYTES = 64 << 20  # a table of 1,600 columns has about 1 MB
VERSION_FILE = re.compile(r"/([0-9]{6})\.json$")


class SchemaStoreError(DdbAssetsError):
    """A schema document cannot be read, is in the folder of another table, or another run stored this version first."""


class SchemaStore:
    """Schema documents below one URI, local or on S3."""

    def __init__(self, storage: "Storage", root: str) -> None:
        self.storage, self.root = storage, root.rstrip("/")

    def latest(self, table: str) -> Schema | None:
        """The newest version; None when the table has none. Raises SchemaStoreError when it belongs to another table."""
        found = {
            int(m[1]): e.uri for e in self.storage.list(join(self.root, table)) if (m := VERSION_FILE.search(e.uri))
        }
        if not found:
            return None
        version = max(found)
        schema = read_schema(found[version], self.storage.read(found[version], most=MAX_BYTES))
        if (schema.table, schema.version) != (table, version):
            raise SchemaStoreError(
                f"{found[version]} is version {schema.version} of {schema.table!r}, but has the name of version {version} of "
                f"{table!r}: restore the document of that table"
            )
        return schema

    def publish(self, schema: Schema) -> bool:
        """Stores a version that `next_version` made; False when another writer has stored this version first."""
        return self.storage.create(self.uri(schema), schema.model_dump_json(indent=1).encode())

    def keep_profile(self, table: str, profile: bytes) -> None:
        """Stores the profile of the newest flattened export beside the schema."""
        self.storage.write(self.profile_uri(table), profile)

    def profile_uri(self, table: str) -> str:
        """Where the profile of a table is."""
        return join(self.root, table, "profile.json")

    def profile(self, table: str) -> bytes | None:
        """The profile of the newest flattened export (`profile.seen_of` reads it); None if there is none."""
        try:
            return self.storage.read(self.profile_uri(table), most=MAX_BYTES)
        except MissingFileError:
            return None

    def uri(self, schema: Schema) -> str:
        """The URI of this version."""
        return join(self.root, schema.table, f"{schema.version:06d}.json")


def read_schema(uri: str, document: bytes) -> Schema:
    """Reads a schema document. Raises SchemaStoreError when it is damaged, FormatVersionError for a newer form."""
    try:
        schema = FORMAT.read(Schema, document, uri)
    except ValidationError as error:
        raise SchemaStoreError(
            f"the schema document {uri} cannot be read: {first_problem(error)}. Restore it from a backup: "
            "without it columns would change their names"
        ) from None
    if schema.identity:
        schema.identity.check_format(uri)
    return schema


class HeldSchemas(SchemaStore):
    """A store that publishes nothing before `release`, so that a schema is stored only after its rows are loaded."""

    def __init__(self, storage: "Storage", root: str) -> None:
        super().__init__(storage, root)
        self._schema: Schema | None = None
        self._profile: tuple[str, bytes] | None = None

    def publish(self, schema: Schema) -> bool:
        """Keeps the version for `release`, which notices if another writer was first."""
        self._schema = schema
        return True

    def keep_profile(self, table: str, profile: bytes) -> None:
        """Keeps the profile for `release`."""
        self._profile = table, profile

    def release(self) -> None:
        """Stores what was kept. Raises SchemaStoreError when another writer has stored this version first."""
        if self._schema and not super().publish(self._schema):
            raise SchemaStoreError(
                f"{self.uri(self._schema)} was stored by another run at the same time: run this again"
            )
        if self._profile:
            super().keep_profile(*self._profile)
        self._schema = self._profile = None


def begin(table: "Table", key: "KeySchema", export: "Export") -> Schema:
    """The empty schema of a new history of documents."""
    return Schema(table=table.name, id=secrets.token_hex(8), table_arn=export.table_arn, key=key.attributes)


def next_version(schema: Schema, last: int) -> Schema:
    """The schema as the version after `last`, the newest stored one. All its columns count as stored from now on."""
    settled = max((node.order or 0 for _, node in walk(schema.root)), default=0)
    return schema.model_copy(update={"version": last + 1, "settled": settled, "created_at": datetime.now(UTC)})
