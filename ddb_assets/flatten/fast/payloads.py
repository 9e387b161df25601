"""One column of DynamoDB JSON values, split by type descriptor, each of its keys counted.

`At` is the place that the walk over the columns has reached. `decode.py` decides what payloads become.
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
    """Where the walk is: the level, the path in its rows and in the whole item, what was seen there.

    `named` unless the values are a list's elements; `counting` when only the keys matter.
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
    """The descriptors of one column of values, each a Series, with a mask of where it is."""

    series: dict[str, pl.Series] = field(default_factory=dict)
    there: dict[str, pl.Series] = field(default_factory=dict)

    def anywhere(self, height: int) -> pl.Series:
        """Where there is a value of any type."""
        masks = list(self.there.values())
        return reduce(or_, masks) if masks else falses(height)


def count(node: Node, values: pl.Series, at: At) -> Payloads:
    """Counts the keys at this path and refuses what has not one descriptor where it must have one."""
    payloads = Payloads()
    by_descriptor = values.struct.unnest()
    for descriptor in node.readers:
        series = by_descriptor.get_column(descriptor)
        payloads.series[descriptor], payloads.there[descriptor] = series, series.is_not_null()
        at.seen.counts[descriptor] += len(series) - series.null_count()
    masks = list(payloads.there.values())
    at.level.count(*masks)
    if at.named:  # a value has two keys, its name and its descriptor; an element of a list only the latter
        at.level.count(payloads.anywhere(at.level.height))
    if len(masks) > 1 or not at.named:
        total = reduce(add, (there.cast(pl.UInt8) for there in masks), pl.Series([0], dtype=pl.UInt8))
        at.level.refuse(total > 1 if at.named else total != 1)
    return payloads


def falses(height: int) -> pl.Series:
    return pl.Series([False]).new_from_index(0, height)
