"""Which columns a contract's masks and exclusions are about: what the warehouse must hide that came there before them."""

from ddb_assets.dynamodb.attribute_value import Step, format_path, parse_path
from ddb_assets.parquet.report import Hidden
from ddb_assets.parquet.schema import EXTRA, Schema, walk
from ddb_assets.table import Table


def hidden_columns(schema: Schema, table: Table) -> tuple[Hidden, ...]:
    """For every path that the contract hides, the columns that can hold its values.

    These are the columns at it and below it, of JSON above it, of values above it that have another shape and so are hidden
    whole, and `_ddb_extra` of every relation whose rows they can be in.
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
    """Whether one of the two leads to the other, or they part where one is a list and the other a map."""
    parted = next(((a, b) for a, b in zip(place, path, strict=False) if a != b), None)
    return parted is None or None in parted
