"""Which columns a contract's masks and exclusions are about: what the warehouse must hide that came there before them."""

from collections.abc import Iterator

from ddb_assets.dynamodb.attribute_value import Step, format_path, parse_path
from ddb_assets.parquet.report import Hidden
from ddb_assets.parquet.schema import EXTRA, Node, Schema
from ddb_assets.table import Table


def hidden_columns(schema: Schema, table: Table) -> tuple[Hidden, ...]:
    """For every path that the contract hides: the columns at it, below it, or of JSON above it, and `_ddb_extra`."""
    columns = [found for found in columns_placed(schema.root, (), schema.table) if not _is_key(schema, found[0])]
    hidden = []
    for text, options in table.columns.items():
        if options.mask or options.exclude:
            path = parse_path(text)
            by_relation: dict[str, tuple[str, ...]] = {schema.table: (EXTRA,)}
            for place, relation, name in columns:
                if place[: len(path)] == path or path[: len(place)] == place:
                    by_relation[relation] = (*by_relation.get(relation, (EXTRA,)), name)
            how = "exclude" if options.exclude else str(options.mask)
            hidden.append(Hidden(path=format_path(path), how=how, columns=by_relation))
    return tuple(hidden)


def _is_key(schema: Schema, path: tuple[Step, ...]) -> bool:
    return len(path) == 1 and path[0] in schema.key


def columns_placed(node: Node, path: tuple[Step, ...], relation: str) -> Iterator[tuple[tuple[Step, ...], str, str]]:
    """(path, relation, column) of every column."""
    if node.kind == "list":
        if node.element:
            yield from columns_placed(node.element, (*path, None), node.name or "")
    elif node.kind == "map":
        for name, field in node.fields.items():
            yield from columns_placed(field, (*path, name), relation)
    elif node.name:
        yield path, relation, node.name
