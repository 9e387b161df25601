"""The next export of a table before it is there: its report, as flattening by today's contract would write it without items.

Everything that follows from the contract, the stored schema and this code is in it. What only items can show is not.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.report import Report
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import Export
from ddb_assets.flatten.conclusion import conclude, empty_relations
from ddb_assets.flatten.inputs import Inputs
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.rules import Rules
from ddb_assets.flatten.schema import Schema, SchemaChange
from ddb_assets.flatten.schema_store import begin
from ddb_assets.flatten.tally import Tally

Kind = Literal["window", "full", "records"]
"""What is loaded next: a window of changes, a full export or scan, or records of the stream that fills the table."""
NEXT = "NEXT"
"""The id of an export that is not there yet, as messages show it."""


@dataclass(frozen=True)
class Origin:
    """The DynamoDB table that the export will be of, and its key."""

    arn: str
    id: str
    key: KeySchema


@dataclass(frozen=True)
class Upcoming:
    """The next export. `schema` is the schema that it will be flattened with if its items have nothing new.

    `likely` is the same if they have what the newest profile has; None without one, or where that makes no difference.
    `changes` are those that the contract makes to the stored schema.
    """

    report: Report
    schema: Schema
    changes: Sequence[SchemaChange]
    likely: "Upcoming | None" = None


def upcoming(
    table: Table,
    origin: Origin,
    kind: Kind,
    span: tuple[datetime, datetime],
    stored: Schema | None,
    profile: Seen | None = None,
    *,
    restart: bool = False,
) -> Upcoming:
    """The next export of this kind. `span` is the window, or twice the time of a full export.

    Raises SchemaError, MaskError and KeyTypeError as flattening would.
    """
    export = _export(table, origin, kind, span)
    rules = Rules.of(table, origin.key.attributes)
    inputs = Inputs.of(export, rules, begun=begin(table, origin.key, export), stored=stored, restart=restart)
    found = _flattened(inputs, inputs.unchanged)
    if profile is None:
        return found
    likely = inputs.grown(profile)
    return found if likely.root == inputs.unchanged.root else replace(found, likely=_flattened(inputs, likely))


def _flattened(inputs: Inputs, final: Schema) -> Upcoming:
    schema = inputs.version(final)
    started = time.monotonic()
    report = conclude(
        Storage(), inputs, schema, Tally(), empty_relations(schema, inputs), unread_uri="", started=started
    )
    return Upcoming(report, schema, final.changes)


def _export(table: Table, origin: Origin, kind: Kind, span: tuple[datetime, datetime]) -> Export:
    full = kind == "full"
    return Export(
        id=NEXT,
        arn=f"{origin.arn}/export/{NEXT}",
        table_arn=origin.arn,
        table_name=origin.arn.rpartition("/")[2],
        table_id=origin.id,
        kind="full" if full else "incremental",
        export_time=span[1] if full else None,
        from_time=None if full else span[0],
        to_time=None if full else span[1],
        view=None if full else "NEW_AND_OLD_IMAGES" if table.history else "NEW_IMAGE",
        item_count=0,
        billed_bytes=0,
        files=(),
        uri="",
    )
