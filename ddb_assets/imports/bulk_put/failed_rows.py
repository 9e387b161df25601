"""The rows of items that AWS could not put. Nothing but the files knows which row an item came from, so they are read again.

Pure.
"""

from collections.abc import Iterable, Iterator, Mapping

from ddb_assets.bulk.writing.operation import Operation
from ddb_assets.bulk.writing.outcome import Unwritten, WriterStoppedError
from ddb_assets.dynamodb.item import Key


def failed_rows(failed: Mapping[Key, str], operations: Iterable[Operation]) -> Iterator[Unwritten]:
    """The operations of these keys, with the reasons. `operations` are those of all rows.

    Raises WriterStoppedError at the end if a key is of no row.
    """
    left = dict(failed)
    for operation in operations:
        if reason := left.pop(operation.key, ""):
            yield Unwritten(operation, "rejected", reason)
    if left:
        raise WriterStoppedError(
            f"AWS says that {len(left):,} items failed, such as {next(iter(left))}, and no row has these keys"
        )
