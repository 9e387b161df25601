"""What one transaction holds of a table: the rows that it has brought to DuckDB, and which rows stay out of its sight.

A large table is partitioned by a hash of its key (`_ddb_bucket`). A window brings only the buckets of its keys, and a full
export only rows of later writes, as it replaces all others. Everything else of a table is brought as soon as a statement
names it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyiceberg.expressions import AlwaysTrue, BooleanExpression, GreaterThan, In, IsNull, Or

from ddb_assets.iceberg.properties import PREFIX
from ddb_assets.warehouse.iceberg.store import BUCKET
from ddb_assets.warehouse.sql.statements import TableName

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

BUCKETS, KEYS = f"{PREFIX}buckets", f"{PREFIX}bucket-keys"
"""Properties of a partitioned table: the number of its buckets, and the columns that are hashed."""


@dataclass(frozen=True)
class Scope:
    """The rows that statements of a transaction can concern: those of these buckets, or those of later versions, else all.

    With `newer_than`, all other rows are deleted.
    """

    buckets: frozenset[int] | None = None
    newer_than: tuple[str, int] | None = None

    @property
    def rows(self) -> BooleanExpression:
        """The filter of the rows that are brought."""
        if self.newer_than:
            column, version = self.newer_than
            # a row without a version is not ours, and the load must find it
            # guard: rows without a version are brought
            return Or(GreaterThan(term=column, value=version), IsNull(term=column))
        return self.replaced

    @property
    def replaced(self) -> BooleanExpression:
        """The filter of the files that the transaction's rows take the place of."""
        # guard: only buckets of the window are written again
        return AlwaysTrue() if self.buckets is None else In(term=BUCKET, literals=set(self.buckets))


ALL = Scope()


@dataclass
class Held:
    """A table, as the transaction found it. `rows` are how many were brought; None before that.

    `keys` are the columns of the key by which it is, or will be, hashed; none if they are not known.
    """

    name: TableName
    table: "Table | None"
    scope: Scope = ALL
    rows: int | None = None
    changed: bool = False
    keys: Sequence[str] = ()

    @property
    def base(self) -> int | None:
        """The snapshot that it was found with."""
        return self.table.metadata.current_snapshot_id if self.table else None

    @property
    def buckets(self) -> int:
        """The number of buckets; 1 for a table that is not partitioned."""
        return int(self.table.properties.get(BUCKETS, 1)) if self.table else 1

    @property
    def hashed(self) -> Sequence[str]:
        """The columns that are hashed."""
        return self.keys or (json.loads(self.table.properties.get(KEYS, "[]")) if self.table else ())

    @property
    def stored(self) -> int:
        """How many rows the table has, as its snapshot says."""
        found = self.table.current_snapshot() if self.table else None
        return int(found.summary["total-records"] or 0) if found and found.summary else 0

    @property
    def aside(self) -> int:
        """How many of them the transaction does not see, and keeps."""
        return 0 if self.rows is None or self.scope.newer_than else self.stored - self.rows

    def files(self) -> "list[DataFile]":
        """The files that the transaction's rows take the place of."""
        if self.table is None or self.base is None:
            return []
        scan = self.table.scan(row_filter=self.scope.replaced)
        return [task.file for task in scan.plan_files()]
