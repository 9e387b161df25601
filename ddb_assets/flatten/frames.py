"""Turns decoded levels into frames, one per relation, with the relation's columns in their order and types."""

import polars as pl

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Relation
from ddb_assets.flatten.level import Level
from ddb_assets.flatten.polars_types import polars_type
from ddb_assets.flatten.schema import EXTRA, index_name


def dtypes(relation: Relation) -> dict[str, pl.DataType]:
    """Column name -> polars type, in the order of the relation."""
    return {column.name: polars_type(SqlType.parse(column.type)) for column in relation.columns}


def assemble(root: Level, relations: tuple[Relation, ...]) -> dict[str, pl.DataFrame]:
    """The frames of the root and of every list below it, by relation name.

    Child rows also get their item's key and version, and the positions of the list elements that contain them.
    """
    by_name = {relation.name: relation for relation in relations}
    frames = {relations[0].name: _frame(root, relations[0])}
    inherited = {
        column.name: root.columns[column.name] for column in relations[0].columns if column.role in {"key", "version"}
    }
    _children(root, inherited, by_name, frames, 1)
    for relation in relations:  # Arrow cannot have U+0000 in names; such a list has rows from the exact path only
        if relation.name not in frames:
            frames[relation.name] = pl.DataFrame(schema=dtypes(relation))
    return frames


def _children(
    level: Level,
    inherited: dict[str, pl.Series],
    relations: dict[str, Relation],
    frames: dict[str, pl.DataFrame],
    depth: int,
) -> None:
    for name, child in level.children.items():
        rows = child.row
        child.columns = {**child.columns, **{column: series.gather(rows) for column, series in inherited.items()}}
        frames[name] = _frame(child, relations[name])
        handed_on = {column: child.columns[column] for column in inherited}
        _children(child, {**handed_on, index_name(depth): child.columns[index_name(0)]}, relations, frames, depth + 1)


def _frame(level: Level, relation: Relation) -> pl.DataFrame:
    found = {**level.columns, EXTRA: _extra(level)}
    columns = {
        name: found[name] if name in found else pl.repeat(None, level.height, dtype=dtype, eager=True)
        for name, dtype in dtypes(relation).items()
    }
    return pl.DataFrame(columns)


def _extra(level: Level) -> pl.Series:
    """`_ddb_extra`: the values that fit no column, and marks for what a NULL in a column does not show."""
    if not level.extra:
        return pl.repeat(None, level.height, dtype=pl.String, eager=True)
    joined = pl.select(pl.concat_str(level.extra, separator=",", ignore_nulls=True)).to_series()
    whole = pl.concat_str([pl.lit("{"), joined, pl.lit("}")])
    return pl.select(pl.when(joined.str.len_bytes() > 0).then(whole)).to_series()
