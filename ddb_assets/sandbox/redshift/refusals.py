"""Refuses statements that PostgreSQL would run but Redshift does not accept.

This depends only on the statement; the session refuses what depends on data, the catalog or the transaction.
Facts: Redshift Database Developer Guide, pages MERGE, ALTER TABLE, INSERT, "Unsupported PostgreSQL features", "Names and
identifiers". If no page shows the error, it is that of the grammar: `syntax error at or near`.
"""

from sqlglot import exp

from ddb_assets.sandbox.redshift.column_types import DEFAULT_VARCHAR, size_of
from ddb_assets.sandbox.redshift.names import FORBIDDEN_COLUMNS, fold
from ddb_assets.sandbox.redshift.wire import ServerError

_NOT_ADDED = (
    exp.PrimaryKeyColumnConstraint,
    exp.UniqueColumnConstraint,
    exp.Reference,
    exp.GeneratedAsIdentityColumnConstraint,
)

_UNKNOWN: dict[type[exp.Expr], str] = {
    exp.Returning: "RETURNING",
    exp.OnConflict: "ON",
    exp.Filter: "FILTER",
    exp.Lock: "FOR",
    exp.Lateral: "LATERAL",
    exp.InheritsProperty: "INHERITS",
    exp.ComputedColumnConstraint: "AS",
    exp.CheckColumnConstraint: "CHECK",
}
_NOT_MADE = {"INDEX", "SEQUENCE", "TRIGGER"}


def check(statement: exp.Expr) -> None:
    """Raises ServerError for a statement that Redshift does not accept."""
    if isinstance(statement, exp.Merge):
        _merge(statement)
    elif isinstance(statement, exp.Alter):
        _alter(statement)
    elif isinstance(statement, exp.Create):
        _create(statement)
    elif isinstance(statement, exp.Delete | exp.Insert) and statement.this.find(exp.TableAlias):
        raise _syntax(statement.this.alias, statement)
    for node in statement.walk():
        if words := _UNKNOWN.get(type(node)):
            raise _syntax(words, node)
        if isinstance(node, exp.Values) and not isinstance(node.parent, exp.Insert):
            raise _syntax("VALUES", node)
        if isinstance(node, exp.Distinct) and node.args.get("on"):
            raise _syntax("ON", node)


def _merge(merge: exp.Merge) -> None:
    if merge.args.get("with_") or merge.args.get("with"):
        raise _syntax("MERGE", merge)
    if merge.this.alias:
        raise _syntax(merge.this.alias, merge)
    if not isinstance(merge.args["using"], exp.Table):
        raise _syntax("(", merge)
    if fold(merge.this.sql()) == fold(merge.args["using"].sql()):
        raise ServerError("MERGE source and target must be different tables", "42P10")
    for condition in _conjuncts(merge.args["on"]):
        if not isinstance(condition, exp.EQ):
            raise ServerError("MERGE ON clause supports equality predicates only", "0A000")
    _branches(merge)


def _branches(merge: exp.Merge) -> None:
    """Checks the branches of MERGE: first one for matching rows, which updates or deletes, then one for the others."""
    whens = merge.args["whens"].expressions
    for when in whens:
        if when.args.get("condition") is not None:
            raise _syntax("AND", when)
        if when.args.get("source"):
            raise _syntax("BY", when)
    if [bool(when.args.get("matched")) for when in whens] != [True, False]:
        raise _syntax("WHEN", merge)
    then, otherwise = (when.args["then"] for when in whens)
    if not (isinstance(then, exp.Update) or then.name == "DELETE") or not isinstance(otherwise, exp.Insert):
        raise _syntax(then.name or "THEN", merge)
    for assignment in then.expressions:
        if assignment.this.args.get("table") is not None:
            raise _syntax(".", assignment)


def _conjuncts(condition: exp.Expr) -> list[exp.Expr]:
    bare = condition.unnest()
    return [c for part in (bare.left, bare.right) for c in _conjuncts(part)] if isinstance(bare, exp.And) else [bare]


def _alter(alter: exp.Alter) -> None:
    added = [action for action in alter.args["actions"] if isinstance(action, exp.ColumnDef)]
    kinds = [type(action) for action in alter.args["actions"]]
    if len(kinds) > 1 and set(kinds) != {exp.AlterDistStyle, exp.AlterSortKey}:
        raise _syntax(",", alter)
    for column in added:
        if column.args.get("exists"):
            raise _syntax("NOT", column)
        _column(column)
        constraints = [c.args.get("kind") for c in column.args.get("constraints") or []]
        not_null = any(isinstance(c, exp.NotNullColumnConstraint) and not c.args.get("allow_null") for c in constraints)
        if not_null and not any(isinstance(c, exp.DefaultColumnConstraint) for c in constraints):
            raise ServerError(
                "ALTER TABLE ADD COLUMN defined as NOT NULL must have a non-null default expression", "0A000"
            )
        if any(isinstance(c, _NOT_ADDED) or _is_key(c) for c in constraints):
            raise ServerError(
                "ALTER TABLE ADD COLUMN does not support PRIMARY KEY, UNIQUE, REFERENCES, IDENTITY, DISTKEY or SORTKEY",
                "0A000",
            )
    for action in alter.args["actions"]:
        if isinstance(action, exp.RenameColumn) and fold(action.args["to"].name) in FORBIDDEN_COLUMNS:
            raise _system_column(action.args["to"].name)


def _is_key(constraint: exp.Expr | None) -> bool:
    return isinstance(constraint, exp.EncodeColumnConstraint) and constraint.name in {"DISTKEY", "SORTKEY"}


def _create(create: exp.Create) -> None:
    if create.kind in _NOT_MADE:
        raise ServerError(f'SQL command "CREATE {create.kind}" not supported on Redshift tables.', "0A000")
    if isinstance(create.this, exp.Schema):
        for column in create.this.expressions:
            if isinstance(column, exp.ColumnDef):
                _column(column)


def _column(column: exp.ColumnDef) -> None:
    if fold(column.name) in FORBIDDEN_COLUMNS:
        raise _system_column(column.name)


def lengthened(statement: exp.Expr) -> tuple[str, int] | None:
    """The column and the bytes of an ALTER COLUMN TYPE. Raises ServerError if the new type is not VARCHAR."""
    if not isinstance(statement, exp.Alter):
        return None
    for action in statement.args["actions"]:
        if isinstance(action, exp.AlterColumn):
            kind = action.args.get("dtype")
            if kind is None:
                raise _syntax("ALTER", action)
            if kind.this != exp.DataType.Type.VARCHAR:
                raise ServerError(
                    f'cannot alter type of column "{fold(action.name)}": only the size of a VARCHAR column can be altered',
                    "0A000",
                )
            return action.name, size_of(kind.expressions[0]) if kind.expressions else DEFAULT_VARCHAR
    return None


def _system_column(name: str) -> ServerError:
    return ServerError(f'column name "{fold(name)}" conflicts with a system column name', "42701")


def _syntax(near: str, _: exp.Expr) -> ServerError:
    return ServerError(f'syntax error at or near "{near}"', "42601")
