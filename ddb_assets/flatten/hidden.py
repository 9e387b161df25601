"""The columns that a contract's masks and exclusions affect: the warehouse must hide values from earlier loads there."""

from ddb_assets.contract.report import Hidden
from ddb_assets.contract.table import Table
from ddb_assets.dynamodb.attribute_value import Step, format_path, parse_path
from ddb_assets.flatten.schema import EXTRA, Schema, walk


def hidden_columns(schema: Schema, table: Table) -> tuple[Hidden, ...]:
    """For every path that the contract hides, the columns that can contain its values.

    These are: the columns at the path and below it; JSON columns above it; columns above it whose values have another shape
    and are hidden as a whole; and `_ddb_extra` of every relation whose rows can contain the values.
    """
    places: list[tuple[tuple[Step, ...], str, str]] = [((), schema.table, EXTRA)]
    places += [((*path, None), node.name or "", EXTRA) for path, node in walk(schema.root) if node.kind == "list"]
    places += [
        (path, relation, node.name or "") for path, relation, node in schema.columns() if path not in _keys(schema)
    ]
    hidden = []
    for text, options in table.columns.items():
        if options.mask or options.exclude:
            path = parse_path(text)
            by_relation: dict[str, tuple[str, ...]] = {}
            for place, relation, name in places:
                if _may_hold(place, path):
                    by_relation[relation] = (*by_relation.get(relation, ()), name)
            how = "exclude" if options.exclude else str(options.mask)
            hidden.append(Hidden(path=format_path(path), how=how, columns=by_relation))
    return tuple(hidden)


def _keys(schema: Schema) -> set[tuple[Step, ...]]:
    return {(name,) for name in schema.key}


def _may_hold(place: tuple[Step, ...], path: tuple[Step, ...]) -> bool:
    """Whether one path is a prefix of the other, or they part where one has a list and the other has a map."""
    parted = next(((a, b) for a, b in zip(place, path, strict=False) if a != b), None)
    return parted is None or None in parted
