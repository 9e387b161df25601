"""The SOURCE of a command: an export, opened and verified, with the contract and the key to read it with."""

from dataclasses import dataclass
from pathlib import Path

import click
from pydantic import TypeAdapter, ValidationError

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage, is_s3
from ddb_assets.contract.contract_yaml import read_table
from ddb_assets.contract.key_schema import KeySchema, KeyText
from ddb_assets.contract.table import Table
from ddb_assets.dynamodb.attribute_value import AttributeValueError
from ddb_assets.exports.data_file import read_blocks
from ddb_assets.exports.manifest import Export, read_export
from ddb_assets.flatten.record import incremental_change, load_line
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.warehouse.url import reads_s3

FIRST_LINES = 64 << 10
KEY: TypeAdapter[KeySchema] = TypeAdapter(KeyText)


@dataclass(frozen=True)
class Source:
    """What a command works on. `key` is None if options, config and export do not have it."""

    storage: Storage
    export: Export
    table: Table
    key: KeySchema | None

    @property
    def known_key(self) -> KeySchema:
        """The key. Raises click's usage error if it is not known."""
        if self.key is None:
            raise click.UsageError(
                f"this export does not say which attributes are the key of {self.export.table_name}: give --key PK[,SK], "
                "or a --config with `key:`"
            )
        return self.key


def storage_for(*uris: str) -> Storage:
    """Files for a command that works with these URIs and warehouse URLs.

    An s3:// URI or a warehouse that reads from S3 uses the credentials and endpoint that boto3 finds. Local files need
    no AWS access.
    """
    return AWS().storage() if any(is_s3(uri) or reads_s3(uri) for uri in uris) else Storage()


def open_source(source: str, config: Path | None, key: str | None, *, target: str = "", schemas: str = "") -> Source:
    """Reads and verifies the manifests of the export, and finds its contract and key.

    `target` is where the export goes: a URI or the URL of a warehouse. The storage must serve it too. The key comes from the
    option `key`, else from the contract, else from the table's schema in the folder `schemas`, else from the records of an
    incremental export. Raises ConfigError, ManifestError, and click's usage error for a malformed key.
    """
    storage = storage_for(source, target, schemas)
    declared = read_table(config) if config else None
    export = read_export(storage, source, expected_table=declared.table if declared else None)
    table = declared or Table(table=export.table_name)
    stored = SchemaStore(storage, schemas).latest(table.name) if schemas else None
    known = _parsed_key(key) or table.key or (stored and KeySchema.of(stored.key)) or _key_in_records(storage, export)
    return Source(storage, export, table, known)


def _parsed_key(key: str | None) -> KeySchema | None:
    try:
        return None if key is None else KEY.validate_python(key)
    except ValidationError as error:
        raise click.BadParameter(f"{key!r} is not PK or PK,SK", param_hint="--key") from error


def _key_in_records(storage: Storage, export: Export) -> KeySchema | None:
    """The key from the first record of an incremental export. A full export does not say its key."""
    file = next((file for file in export.files if file.item_count), None)
    if export.kind == "full" or file is None:
        return None
    block, _ = next(read_blocks(storage, file, block_bytes=FIRST_LINES))
    first = block.splitlines()[0].decode(errors="replace")
    try:
        names = list(incremental_change(load_line(first)).keys or {})
    except AttributeValueError:
        return None
    return KeySchema.of(names) if names else None
