"""Takes out of a statement what only Redshift has: distribution and sort keys, compression, views without a binding."""

from sqlglot import exp

_PLACEMENT = (exp.DistStyleProperty, exp.DistKeyProperty, exp.SortKeyProperty)


def is_placement(tree: exp.Expr) -> bool:
    """Whether the statement does nothing else than to change a distribution or a sort key."""
    return isinstance(tree, exp.Alter) and isinstance(tree.args["actions"][0], exp.AlterDistStyle | exp.AlterSortKey)


def without_placement(tree: exp.Expr) -> exp.Expr:
    """The same tree, changed."""
    if isinstance(tree, exp.Create):
        tree.set("no_schema_binding", None)
        if properties := tree.args.get("properties"):
            kept = [one for one in properties.expressions if not isinstance(one, _PLACEMENT)]
            tree.set("properties", exp.Properties(expressions=kept) if kept else None)
    for column in tree.find_all(exp.ColumnDef):
        kept = [
            one for one in column.args.get("constraints") or () if not isinstance(one.kind, exp.EncodeColumnConstraint)
        ]
        column.set("constraints", kept)
    return tree
