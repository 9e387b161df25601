"""What Redshift refuses although PostgreSQL would run it.

Only statements are looked at; what depends on data, the catalog or the transaction is refused by the session.
Facts: Redshift Database Developer Guide, pages MERGE, ALTER TABLE, INSERT, "Unsupported PostgreSQL features", "Names and
identifiers". Where no page gives the words, they are those of its grammar: `syntax error at or near`.
"""

from sqlglot import exp

from ddb_assets.sandbox.redshift.column_types import DEFAULT_VARCHAR, size_of
from ddb_assets.sandbox.redshift.names import FORBIDDEN_COLUMNS, fold
from ddb_assets.sandbox.redshift.wire import ServerError


def check(statement: exp.Expr) -> None:
    """Raises ServerError for a statement that Redshift does not take."""
    if isinstance(statement, exp.Merge):
        _merge(statement)
    elif isinstance(statement, exp.Alter):
        _alter(statement)
    elif isinstance(statement, exp.Create):
        _create(statement)
    for returning in statement.find_all(exp.Returning):
        raise _syntax("RETURNING", returning)
    for conflict in statement.find_all(exp.OnConflict):
        raise _syntax("ON", conflict)


def _merge(merge: exp.Merge) -> None:
    if merge.args.get("with_") or merge.args.get("with"):
        raise _syntax("MERGE", merge)
    if merge.this.alias:
        raise _syntax(merge.this.alias, merge)
    if fold(merge.this.sql()) == fold(merge.args["using"].sql()):
        raise ServerError("MERGE source and target must be different tables", "42P10")
    for condition in _conjuncts(merge.args["on"]):
        if not isinstance(condition, exp.EQ):
            raise ServerError("MERGE ON clause supports equality predicates only", "0A000")
    matched: list[exp.Expr] = []
    unmatched: list[exp.Expr] = []
    for when in merge.args["whens"].expressions:
        if when.args.get("condition") is not None:
            raise _syntax("AND", when)
        (matched if when.args.get("matched") else unmatched).append(when)
    if len(matched) != 1 or len(unmatched) != 1:
        raise _syntax("WHEN", merge)
    then = matched[0].args["then"]
    for assignment in then.expressions if isinstance(then, exp.Update) else ():
        if assignment.this.args.get("table") is not None:
            raise _syntax(".", assignment)


def _conjuncts(condition: exp.Expr) -> list[exp.Expr]:
    bare = condition.unnest()
    return [c for part in (bare.left, bare.right) for c in _conjuncts(part)] if isinstance(bare, exp.And) else [bare]


def _alter(alter: exp.Alter) -> None:
    added = [action for action in alter.args["actions"] if isinstance(action, exp.ColumnDef)]
    if len(alter.args["actions"]) > 1:
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
        if any(isinstance(c, exp.PrimaryKeyColumnConstraint | exp.UniqueColumnConstraint) for c in constraints):
            raise ServerError("ALTER TABLE ADD COLUMN does not support PRIMARY KEY or UNIQUE", "0A000")
    for action in alter.args["actions"]:
        if isinstance(action, exp.RenameColumn) and fold(action.args["to"].name) in FORBIDDEN_COLUMNS:
            raise _system_column(action.args["to"].name)


def _create(create: exp.Create) -> None:
    if create.kind == "INDEX":
        raise ServerError('SQL command "CREATE INDEX" not supported on Redshift tables.', "0A000")
    if isinstance(create.this, exp.Schema):
        for column in create.this.expressions:
            if isinstance(column, exp.ColumnDef):
                _column(column)


def _column(column: exp.ColumnDef) -> None:
    if fold(column.name) in FORBIDDEN_COLUMNS:
        raise _system_column(column.name)


def lengthened(statement: exp.Expr) -> tuple[str, int] | None:
    """Column and bytes of an ALTER COLUMN TYPE. Raises ServerError for one that does not make it a VARCHAR."""
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
