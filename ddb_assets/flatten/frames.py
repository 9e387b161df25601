"""Turns the kernel's arrays into frames, one per relation, with the relation's columns in their order and types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Relation
from ddb_assets.flatten.polars_types import polars_type
from ddb_assets.flatten.schema import EXTRA, index_name


def dtypes(relation: Relation) -> dict[str, pl.DataType]:
    """Column name -> polars type, in the order of the relation."""
    return {column.name: polars_type(SqlType.parse(column.type)) for column in relation.columns}


@dataclass(frozen=True)
class Rows:
    """The rows of one relation as the kernel gives them: an Arrow struct array as two capsules (schema, array).

    `parent` is the place of the parent relation among all; -1 for the root. A child has two columns before its own: the row
    of its parent, and its position in the list. The last column is `_ddb_extra`.
    """

    name: str
    parent: int
    columns: tuple[str, ...]
    capsules: tuple[object, object]

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """The Arrow PyCapsule interface, which polars reads without a copy."""
        return self.capsules

    def frame(self) -> pl.DataFrame:
        """The columns by name; `parent` and `_ddb_index` first for a child."""
        before = () if self.parent < 0 else ("parent", index_name(0))
        frame = pl.Series(self).struct.unnest()
        return frame.rename(dict(zip(frame.columns, (*before, *self.columns, EXTRA), strict=True)))


def frames(
    found: Sequence[Rows], relations: Sequence[Relation], constants: Mapping[str, int]
) -> dict[str, pl.DataFrame]:
    """The frames of all relations, by name; without rows those that were not found.

    Child rows also get their item's key and version, and the positions of the list elements that contain them. `constants`
    are columns of the root with the same number in all rows.
    """
    inherited = [column.name for column in relations[0].columns if column.role in {"key", "version"}]
    by_name = {relation.name: relation for relation in relations}
    made: list[pl.DataFrame] = []
    depths: list[int] = []
    for rows in found:
        frame = rows.frame()
        if rows.parent < 0:
            added = [pl.lit(value, pl.Int64).alias(name) for name, value in constants.items()]
            made.append(_whole(frame.with_columns(added), by_name[rows.name]))
            depths.append(0)
            continue
        depth, above = depths[rows.parent], made[rows.parent]
        outer = [index_name(number) for number in range(1, depth)]
        handed_on = above.select([*inherited, *outer, *([index_name(0)] if depth else [])])
        handed_on = handed_on.rename({index_name(0): index_name(depth)} if depth else {})
        gathered = handed_on[frame["parent"]]
        made.append(_whole(frame.drop("parent").hstack(gathered), by_name[rows.name]))
        depths.append(depth + 1)
    result = {rows.name: frame for rows, frame in zip(found, made, strict=True)}
    for relation in relations:
        if relation.name not in result:
            result[relation.name] = pl.DataFrame(schema=dtypes(relation))
    return {relation.name: result[relation.name] for relation in relations}


def _whole(frame: pl.DataFrame, relation: Relation) -> pl.DataFrame:
    """The frame with all columns of the relation; NULL in those that it does not have."""
    wanted = dtypes(relation)
    present = set(frame.columns)
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in wanted.items() if name not in present]
    return (frame.with_columns(missing) if missing else frame)[list(wanted)]
