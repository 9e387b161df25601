"""DynamoDB tables for moto, stored in the change log instead of in memory.

moto serves the API (expressions, conditions, errors) from `Table.items`, a dict in memory. Here that dict is a view of the
change log. So every write is logged, no matter which call it came through, and memory does not grow with the table; the
exceptions are calls that moto answers from the whole table at once, for secondary indexes and PartiQL. `backend` has what
concerns several tables (transactions, PartiQL, recovery settings); `exporter` runs exports.
"""

import base64
import copy
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moto.dynamodb.exceptions import MockValidationException
from moto.dynamodb.models.dynamo_type import DynamoType, Item, LimitedSizeDict
from moto.dynamodb.models.table import RESULT_SIZE_LIMIT, Table

from ddb_assets.sandbox import image
from ddb_assets.sandbox.change_log import ChangeLog, Stored
from ddb_assets.sandbox.change_record import Source
from ddb_assets.sandbox.clock import MICROS
from ddb_assets.sandbox.table_streams import TableStreams

PAGE_ITEMS = 500  # read from the log at a time; an item is at most 400 KB
WHOLE_TABLE = (b"", image.KEY_END)


@dataclass(frozen=True, slots=True)
class Restored:
    """The source of a restored table, its restore time, and when it becomes ACTIVE; times are in microseconds.

    `backup_arn` is None for a restore to a point in time.
    """

    source_arn: str
    moment: int
    ready: int
    backup_arn: str | None = None


class StoredItem(Item):
    """moto's item, read from the log."""

    @classmethod
    def of(cls, attributes: dict[str, DynamoType], hash_key: DynamoType, range_key: DynamoType | None) -> "StoredItem":
        """Makes an item without moto's constructor, which checks sizes for every attribute in quadratic time."""
        item = object.__new__(cls)
        item.attrs = LimitedSizeDict()
        for name, attribute in attributes.items():
            dict.__setitem__(item.attrs, name, attribute)
        item.hash_key, item.range_key = hash_key, range_key
        return item

    def project(self, projection_expressions: list[list[str]]) -> Item:
        """Copies whole attributes unchanged. moto uses boto3's deserializer, which cannot represent some numbers."""
        if any(len(path) > 1 for path in projection_expressions):
            return super().project(projection_expressions)
        names = {path[0] for path in projection_expressions}
        shown = {name: value for name, value in self.attrs.items() if name in names}
        return StoredItem.of(shown, self.hash_key, self.range_key)


class SandboxTable(Table):
    """A moto table whose items are in the change log, under the table's number there."""

    def __init__(
        self, *args: Any, log: ChangeLog, own: TableStreams, streams: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        self.number = 0
        super().__init__(*args, **kwargs)
        self.log = log
        self._own = own
        self.table_id = str(uuid.uuid4())
        self.number = log.add_table(self.table_id)
        self.items: Any = StoredItems(self)
        self._span = WHOLE_TABLE
        self.restored: Restored | None = None
        self.replicas: tuple[str, ...] = ()
        self.set_stream_specification(streams)

    def set_stream_specification(self, streams: dict[str, Any] | None) -> None:
        """Enables or disables the table's own stream. moto's constructor calls it before there is a number."""
        enabled = bool(streams and streams.get("StreamEnabled"))
        self.stream_specification = dict(streams or {}) if enabled else {"StreamEnabled": False}
        if not self.number:
            return
        self._own.disable(self.number)
        if streams and enabled:
            source = Source(self.name, self.table_id, self.region_name, tuple(self.table_key_attrs))
            made = self._own.enable(self.number, source, self.table_arn, streams["StreamViewType"])
            self.latest_stream_label = made.label

    def __deepcopy__(self, memo: dict[int, Any]) -> "SandboxTable":
        # moto copies a table to undo a failed transaction. Here the transaction of the log undoes it, without a copy.
        return self

    def __len__(self) -> int:
        return self.log.totals(self.number)[0]

    def describe(self, base_key: str = "TableDescription") -> dict[str, Any]:
        """The answer of DescribeTable. Item count and size are exact; AWS updates them about every six hours.

        Measured on AWS, published as `ack-api-quirks`: only a table that is being restored has a RestoreSummary.
        """
        description = super().describe(base_key)
        items, size = self.log.totals(self.number)
        description[base_key] |= {"TableId": self.table_id, "ItemCount": items, "TableSizeBytes": size}
        if self.replicas:
            replicas = [{"RegionName": region, "ReplicaStatus": "ACTIVE"} for region in self.replicas]
            description[base_key] |= {"Replicas": replicas}
        if self.restored and self.is_restoring:
            summary = {
                "SourceBackupArn": self.restored.backup_arn,
                "SourceTableArn": self.restored.source_arn,
                "RestoreDateTime": self.restored.moment / MICROS,
                "RestoreInProgress": True,
            }
            known = {name: value for name, value in summary.items() if value is not None}
            description[base_key] |= {"RestoreSummary": known, "TableStatus": "CREATING"}
        return description

    @property
    def is_restoring(self) -> bool:
        """Whether the table's restore is not finished."""
        return self.restored is not None and self.log.clock.micros() < self.restored.ready

    def encode(self, attributes: image.Attributes) -> tuple[bytes, bytes, int]:
        """Storage key, image and size of an item in DynamoDB JSON. Raises moto's validation error for a bad item."""
        try:
            return (self.storage_key(attributes), *image.encode(attributes, self.table_key_attrs))
        except image.ImageError as error:
            raise MockValidationException(str(error)) from None

    def storage_key(self, attributes: image.Attributes) -> bytes:
        """The storage key of the item with these key attributes."""
        sort_key = attributes[self.range_key_attr] if self.range_key_attr else None
        return image.storage_key(attributes[self.hash_key_attr], sort_key)

    def to_item(self, stored: bytes) -> Item:
        """An image as moto's item."""
        attributes = {name: DynamoType(_to_moto(attribute)) for name, attribute in image.decode(stored).items()}
        range_key = attributes[self.range_key_attr] if self.range_key_attr else None
        return StoredItem.of(attributes, attributes[self.hash_key_attr], range_key)

    def store(self, item: Item) -> Item:
        """Logs an item and returns it as stored, with its numbers as canonical texts."""
        key, stored, size = self.encode({name: _to_json(value) for name, value in item.attrs.items()})
        self.log.append(self.number, key, stored, size)
        return self.to_item(stored)

    def stored_items(self, low: bytes, high: bytes) -> Iterator[tuple[Item, int]]:
        """The items with `low <= storage key < high` and their sizes, in key order."""
        for stored in self.stored(low, high):
            yield self.to_item(stored.image), stored.size

    def stored(self, low: bytes, high: bytes) -> Iterator[Stored]:
        """The items with `low <= storage key < high` as stored, in key order, read page by page."""
        while page := self.log.page(self.number, low, high, PAGE_ITEMS):
            yield from page
            low = page[-1].key + b"\x00"

    def all_items(self) -> list[Item]:
        """All items of the table, or of one partition within `query`; moto searches them."""
        return [item for item, _ in self.stored_items(*self._span)]

    def has_idx_items(self, index_name: str) -> list[Item]:
        """The items of an index: those with all of its key attributes."""
        names = {key["AttributeName"] for key in self.get_index(index_name).schema}
        return [item for item in self.all_items() if names <= item.attrs.keys()]

    def query(
        self,
        hash_key: DynamoType | None,
        range_comparison: str | None,
        range_objs: list[DynamoType],
        limit: int,
        exclusive_start_key: dict[str, Any],
        scan_index_forward: bool,
        projection_expressions: list[list[str]] | None,
        index_name: str | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[list[Item], int, dict[str, Any] | None]:
        """moto's query. Unless it is on an index, it searches one partition instead of the whole table."""
        scope = copy.copy(self)
        if hash_key and not index_name:
            scope._span = image.partition_range(_to_json(hash_key))
        return super(SandboxTable, scope).query(
            hash_key,
            range_comparison,
            range_objs,
            limit,
            exclusive_start_key,
            scan_index_forward,
            projection_expressions,
            index_name,
            *args,
            **kwargs,
        )

    def scan(
        self,
        filters: dict[str, Any],
        limit: int,
        exclusive_start_key: dict[str, Any],
        filter_expression: Any = None,
        index_name: str | None = None,
        consistent_read: bool = False,
        projection_expression: list[list[str]] | None = None,
        segments: tuple[None, None] | tuple[int, int] = (None, None),
    ) -> tuple[list[Item], int, dict[str, Any] | None]:
        """One page of a scan in key order, of the whole table or one segment: at most `limit` items and 1 MB unfiltered."""
        if index_name:
            options = (filter_expression, index_name, consistent_read, projection_expression, segments)
            return super().scan(filters, limit, exclusive_start_key, *options)
        low, high = image.segment_range(*segments) if segments != (None, None) else WHOLE_TABLE
        if exclusive_start_key:
            start = {name: _to_json(DynamoType(value)) for name, value in exclusive_start_key.items()}
            low = max(low, self.storage_key(start) + b"\x00")
        page: list[Item] = []
        page_size = 0
        last_key = None
        for item, size in self.stored_items(low, high):
            if page and (len(page) == limit or page_size + size > RESULT_SIZE_LIMIT):
                last_key = self._get_last_evaluated_key(page[-1], None)
                break
            page.append(item)
            page_size += size
        results = [item for item in page if _passes(item, filters)]
        if filter_expression is not None:
            results = [item for item in results if filter_expression.expr(item)]
        if projection_expression:
            results = [item.project(projection_expression) for item in results]
        return results, len(page), last_key


def _passes(item: Item, filters: dict[str, Any]) -> bool:
    """Whether an item passes the legacy ScanFilter: every named attribute must match; a missing one passes only NULL."""
    for name, (operator, operands) in filters.items():
        attribute = item.attrs.get(name)
        if not (attribute.compare(operator, operands) if attribute else operator == "NULL"):
            return False
    return True


def _to_moto(attribute: dict[str, Any]) -> dict[str, Any]:
    """DynamoDB JSON in moto's form: binary as bytes instead of base64 text."""
    ((kind, value),) = attribute.items()
    match kind:
        case "B":
            return {kind: base64.b64decode(value)}
        case "BS":
            return {kind: [base64.b64decode(member) for member in value]}
        case "M":
            return {kind: {name: _to_moto(member) for name, member in value.items()}}
        case "L":
            return {kind: [_to_moto(member) for member in value]}
    return attribute


def _to_json(value: DynamoType) -> dict[str, Any]:
    """The inverse of `_to_moto`: a value of moto in DynamoDB JSON."""
    match value.type:
        case "B":
            return {"B": base64.b64encode(value.value).decode()}
        case "BS":
            return {"BS": [base64.b64encode(member).decode() for member in value.value]}
        case "M":
            return {"M": {name: _to_json(member) for name, member in value.value.items()}}
        case "L":
            return {"L": [_to_json(member) for member in value.value]}
        case "SS" | "NS":
            return {value.type: list(value.value)}
    return {value.type: value.value}


@dataclass(frozen=True)
class Partition:
    """The items of one partition key, as moto expects them: sort key -> item, or the only item without a sort key."""

    table: SandboxTable
    hash_key: DynamoType

    def __getitem__(self, range_key: DynamoType | None) -> Item:
        stored = self.table.log.newest(self.table.number, self._storage_key(range_key))
        if stored is None:
            raise KeyError(range_key)
        return self.table.to_item(stored)

    def __setitem__(self, range_key: DynamoType, item: Item) -> None:
        self.table.store(item)

    def pop(self, range_key: DynamoType | None) -> Item:
        with self.table.log.transaction():
            item = self[range_key]
            self.table.log.append(self.table.number, self._storage_key(range_key), None, 0)
        return item

    def _storage_key(self, range_key: DynamoType | None) -> bytes:
        return image.storage_key(_to_json(self.hash_key), _to_json(range_key) if range_key else None)


@dataclass(frozen=True)
class StoredItems:
    """The items in place of moto's dict: partition key -> sort key -> item, or partition key -> item."""

    table: SandboxTable

    def __getitem__(self, hash_key: DynamoType) -> Any:
        partition = Partition(self.table, hash_key)
        return partition if self.table.has_range_key else partition[None]

    def __contains__(self, hash_key: DynamoType) -> bool:
        # moto checks this before it reads, and catches the KeyError of a read that finds nothing
        return True

    def __setitem__(self, hash_key: DynamoType, item: Item) -> None:
        self.table.store(item)

    def pop(self, hash_key: DynamoType) -> Item:
        return Partition(self.table, hash_key).pop(None)
