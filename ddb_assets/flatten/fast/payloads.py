"""Splits one column of DynamoDB JSON values by type descriptor and counts their keys.

`At` is the position of the walk over the columns. `decode.py` decides what payloads become.
"""

from dataclasses import dataclass, field
from functools import reduce
from operator import add, or_

import polars as pl

from ddb_assets.dynamodb.attribute_value import Step
from ddb_assets.flatten.level import Level
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.schema import Node


@dataclass(frozen=True)
class At:
    """The position of the walk: the level, the `path` within its rows, the path in the whole item, and what was seen.

    `named` is False for the elements of a list. `counting`: only count the keys.
    """

    level: Level
    path: tuple[Step, ...]
    where: tuple[Step, ...]
    seen: Seen
    named: bool = True
    counting: bool = False

    def below(self, name: str) -> "At":
        return At(self.level, (*self.path, name), (*self.where, name), self.seen.at(name), counting=self.counting)

    def into(self, child: Level, path: tuple[Step, ...]) -> "At":
        return At(child, path, (*self.where, None), self.seen.elements(), named=False, counting=self.counting)


@dataclass
class Payloads:
    """One column of values by descriptor: a Series of payloads, and a mask of the rows that have one."""

    series: dict[str, pl.Series] = field(default_factory=dict)
    there: dict[str, pl.Series] = field(default_factory=dict)

    def anywhere(self, height: int) -> pl.Series:
        """The rows with a value of any type."""
        masks = list(self.there.values())
        return reduce(or_, masks) if masks else falses(height)


def count(node: Node, values: pl.Series, at: At) -> Payloads:
    """Splits the values at this path and counts their keys. Refuses values with several descriptors, elements without one."""
    payloads = Payloads()
    by_descriptor = values.struct.unnest()
    for descriptor in node.readers:
        series = by_descriptor.get_column(descriptor)
        payloads.series[descriptor], payloads.there[descriptor] = series, series.is_not_null()
        at.seen.counts[descriptor] += len(series) - series.null_count()
    masks = list(payloads.there.values())
    at.level.count(*masks)
    if at.named:  # a member has two keys, its name and its descriptor; an element of a list has only the descriptor
        at.level.count(payloads.anywhere(at.level.height))
    if len(masks) > 1 or not at.named:
        total = reduce(add, (there.cast(pl.UInt8) for there in masks), pl.Series([0], dtype=pl.UInt8))
        at.level.refuse(total > 1 if at.named else total != 1)
    return payloads


def falses(height: int) -> pl.Series:
    return pl.Series([False]).new_from_index(0, height)
