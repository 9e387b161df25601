"""Turns the kernel's arrays into record batches, one per relation, with the relation's columns in their order and types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ddb_assets.contract.report import Relation
from ddb_assets.flatten.arrow_types import arrow_schema
from ddb_assets.flatten.schema import EXTRA, index_name


@dataclass(frozen=True)
class KernelRows:
    """The rows of one relation as the kernel gives them: an Arrow struct array as two capsules (schema, array).

    `parent` is the place of the parent relation among all; -1 for the root. A child has two columns before its own: the row
    of its parent, and its position in the list. The last column is `_ddb_extra`.
    """

    name: str
    parent: int
    columns: tuple[str, ...]
    capsules: tuple[object, object]

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """The Arrow PyCapsule interface, which pyarrow reads without a copy."""
        return self.capsules

    def arrays(self) -> dict[str, pa.Array]:
        """The columns by name; `parent` and `_ddb_index` first for a child."""
        before = () if self.parent < 0 else ("parent", index_name(0))
        return dict(zip((*before, *self.columns, EXTRA), pa.record_batch(self).columns, strict=True))


def record_batches(
    found: Sequence[KernelRows], relations: Sequence[Relation], constants: Mapping[str, int]
) -> dict[str, pa.RecordBatch]:
    """The rows of all relations, by name; those that were not found have none.

    Child rows also get their item's key and version, and the positions of the list elements that contain them. `constants`
    are columns of the root with the same number in all rows.
    """
    inherited = [column.name for column in relations[0].columns if column.role in {"key", "version"}]
    schemas = {relation.name: arrow_schema(relation) for relation in relations}
    made: list[pa.RecordBatch] = []
    depths: list[int] = []
    for rows in found:
        arrays = rows.arrays()
        if rows.parent < 0:
            count = len(arrays[EXTRA])
            arrays |= {name: pa.repeat(pa.scalar(value, pa.int64()), count) for name, value in constants.items()}
            depths.append(0)
        else:
            depth, above, places = depths[rows.parent], made[rows.parent], arrays.pop("parent")
            handed_on = {name: name for name in (*inherited, *map(index_name, range(1, depth)))}
            handed_on |= {index_name(depth): index_name(0)} if depth else {}
            arrays |= {name: pc.take(above.column(source), places) for name, source in handed_on.items()}
            depths.append(depth + 1)
        made.append(_whole(arrays, schemas[rows.name]))
    by_name = {rows.name: batch for rows, batch in zip(found, made, strict=True)}
    return {
        name: by_name[name] if name in by_name else pa.RecordBatch.from_pylist([], schema=schema)
        for name, schema in schemas.items()
    }


def _whole(arrays: Mapping[str, pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    """A record batch with all columns of the schema; NULL in those that the kernel does not have."""
    count = len(arrays[EXTRA])
    columns = [arrays[field.name] if field.name in arrays else pa.nulls(count, field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
