"""The design of a table in CREATE and ALTER TABLE: keys, distribution, sorting, compression.

Keys are informational: they are removed, but the columns of a primary key become NOT NULL. PostgreSQL has nothing like the
rest; it is checked and recorded, for PG_TABLE_DEF and SVV_TABLE_INFO and because Redshift refuses to drop such columns.
Facts: Redshift Database Developer Guide, "CREATE TABLE", "ALTER TABLE", "Compression encodings"; errors have our words if
no page shows Redshift's.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import sqlglot
from sqlglot import TokenType, exp

from ddb_assets.sandbox.redshift.backend import literal
from ddb_assets.sandbox.redshift.names import fold
from ddb_assets.sandbox.redshift.wire import ServerError

MAX_SORTKEYS = 400
MAX_INTERLEAVED = 8
_T = exp.DataType.Type
_INTEGERS = frozenset({_T.SMALLINT, _T.INT, _T.BIGINT, _T.DECIMAL})
_TIMES = frozenset({_T.DATE, _T.TIMESTAMP, _T.TIMESTAMPTZ})
_REALS = frozenset({_T.FLOAT, _T.DOUBLE})
_TEXTS = frozenset({_T.VARCHAR, _T.NVARCHAR, _T.TEXT})
_CHARS = frozenset({_T.CHAR, _T.NCHAR, _T.BPCHAR})
_BYTES = frozenset({_T.VARBINARY, _T.BINARY})
ENCODINGS: dict[str, frozenset[exp.DType] | None] = {
    "raw": None,
    "zstd": None,
    "az64": _INTEGERS | _TIMES | {_T.TIME, _T.TIMETZ},
    "bytedict": _INTEGERS | _TIMES | _REALS | _TEXTS | _CHARS,
    "delta": _INTEGERS | _TIMES,
    "delta32k": (_INTEGERS | _TIMES) - {_T.SMALLINT},
    "lzo": _INTEGERS | _TIMES | _TEXTS | _CHARS | _BYTES | {_T.SUPER},
    "mostly8": _INTEGERS,
    "mostly16": _INTEGERS - {_T.SMALLINT},
    "mostly32": frozenset({_T.BIGINT, _T.DECIMAL}),
    "runlength": _INTEGERS | _TIMES | _REALS | _TEXTS | _CHARS | {_T.BOOLEAN},
    "text255": _TEXTS,
    "text32k": _TEXTS,
}
"""The types that an encoding is for; None means all types."""

FIXED_ENCODINGS = ("bytedict", "runlength", "text255", "text32k")
"""A VARCHAR with one of these encodings cannot be lengthened."""

_WITHOUT_MEANING = {"BACKUP"}  # YES or NO
_DESIGN = re.compile(r"\b(?:DISTKEY|SORTKEY|ENCODE)\b", re.IGNORECASE)


@dataclass(frozen=True)
class TableDesign:
    """The physical design of a table; names are folded. An empty style means that none was given."""

    style: str = ""
    distkeys: tuple[str, ...] = ()
    sortkeys: tuple[str, ...] = ()
    interleaved: bool = False
    encodings: tuple[tuple[str, str], ...] = ()
    parent: exp.Table | None = None


def in_known_words(text: str) -> tuple[str, bool]:
    """A CREATE or ALTER TABLE without the attributes that sqlglot's grammar lacks, and whether it said INTERLEAVED.

    DISTKEY and SORTKEY of a column become encodings of these names; SORTKEY AUTO and ENCODE AUTO of a table mean nothing.
    The text is rewritten because sqlglot's parser cannot be extended where it is compiled (`sqlglot[c]`).
    """
    if not _DESIGN.search(text):
        return text, False
    tokens = sqlglot.tokenize(text, read="redshift")
    words = ["" if token.token_type == TokenType.IDENTIFIER else token.text.upper() for token in tokens]
    pieces, done, depth, interleaved = [], 0, 0, False
    for place, (token, word) in enumerate(zip(tokens, words, strict=True)):
        before, after = (words[place - 1] if place else ""), (words[place + 1] if place + 1 < len(words) else "")
        depth += {"(": 1, ")": -1}.get(word, 0)
        of_column = word in {"DISTKEY", "SORTKEY"} and after not in {"(", "AUTO"} and before not in {"", "(", ","}
        if of_column and (depth or "ADD" in words[:place]):
            pieces += [text[done : token.start], f"ENCODE {word}"]
        elif depth == 0 and word == "AUTO" and before in {"SORTKEY", "ENCODE"} and words[0] == "CREATE":
            pieces.append(text[done : tokens[place - 1].start])
        elif word == "INTERLEAVED" and after == "SORTKEY" and depth == 0:
            pieces.append(text[done : token.start])
            interleaved = True
        else:
            continue
        done = token.end + 1
    return "".join([*pieces, text[done:]]), interleaved


def taken_from(create: exp.Create, *, interleaved: bool) -> TableDesign:
    """Removes the design and the keys from a CREATE TABLE and returns the design. Raises ServerError for an invalid one."""
    style, distkeys, sortkeys = "", [], []
    properties = create.args.get("properties")
    for one in properties.expressions if properties is not None else ():
        if isinstance(one, exp.DistStyleProperty):
            style = one.name.upper()
        elif isinstance(one, exp.DistKeyProperty):
            distkeys.append(fold(one.this.name))
        elif isinstance(one, exp.SortKeyProperty):
            sortkeys += [fold(c.name) for c in one.this]
        elif not isinstance(one, exp.TemporaryProperty) and one.name.upper() not in _WITHOUT_MEANING:
            raise ServerError(f'syntax error at or near "{one.sql(dialect="redshift")}"', "42601")
    temporary = [p for p in properties.expressions if isinstance(p, exp.TemporaryProperty)] if properties else []
    create.set("properties", exp.Properties(expressions=temporary) if temporary else None)
    encodings: list[tuple[str, str]] = []
    parent = None
    if isinstance(create.this, exp.Schema):
        _drop_table_constraints(create.this)
        for column in create.this.expressions:
            if isinstance(column, exp.LikeProperty):
                parent = column.this
            elif isinstance(column, exp.ColumnDef):
                given = _taken_from_column(column)
                name = fold(column.name)
                distkeys += [name] if "distkey" in given else []
                sortkeys += [name] if "sortkey" in given else []
                encodings += [(name, e) for e in given - {"distkey", "sortkey"}]
    design = TableDesign(style, tuple(distkeys), tuple(sortkeys), interleaved, tuple(encodings), parent)
    _check(design)
    return design


def _taken_from_column(column: exp.ColumnDef) -> set[str]:
    given = set()
    kept = []
    for constraint in column.args.get("constraints") or []:
        kind = constraint.args.get("kind")
        if isinstance(kind, exp.EncodeColumnConstraint):
            given.add(kind.name.lower())
        else:
            kept.append(constraint)
    column.set("constraints", kept)
    for encoding in given - {"distkey", "sortkey"}:
        _check_encoding(column, encoding)
    return given


def _check_encoding(column: exp.ColumnDef, encoding: str) -> None:
    if encoding not in ENCODINGS:
        raise ServerError(f'encoding type "{encoding}" does not exist', "42704")
    types = ENCODINGS[encoding]
    if types is not None and column.args["kind"].this not in types:
        kind = column.args["kind"].sql(dialect="redshift").lower()
        raise ServerError(f'invalid encoding type {encoding} specified for column "{column.name}" of {kind}', "42601")


def _check(design: TableDesign) -> None:
    given = design.style or design.distkeys or design.sortkeys
    if design.parent is not None and given:
        raise ServerError("CREATE TABLE LIKE takes distribution and sorting from the parent table", "42601")
    if design.style not in {"", "AUTO", "EVEN", "ALL", "KEY"}:
        raise ServerError(f'invalid DISTSTYLE "{design.style.lower()}"', "42601")
    if len(design.distkeys) > 1:
        raise ServerError("multiple columns cannot be defined as DISTKEY", "42601")
    if design.style == "KEY" and not design.distkeys:
        raise ServerError("DISTSTYLE KEY needs a DISTKEY column", "42601")
    if design.style not in {"", "KEY"} and design.distkeys:
        raise ServerError(f"DISTSTYLE {design.style} cannot be used with a DISTKEY", "42601")
    if len(set(design.sortkeys)) < len(design.sortkeys):
        raise ServerError("a column is named twice in SORTKEY", "42701")
    if len(design.sortkeys) > (MAX_INTERLEAVED if design.interleaved else MAX_SORTKEYS):
        raise ServerError(
            f"more than {MAX_INTERLEAVED if design.interleaved else MAX_SORTKEYS} SORTKEY columns", "54011"
        )


def _drop_table_constraints(schema: exp.Schema) -> None:
    """Removes keys, which are not enforced; the columns of a primary key become NOT NULL."""
    keys: set[str] = set()
    columns = []
    for one in schema.expressions:
        constraint = one.expressions[0] if isinstance(one, exp.Constraint) and one.expressions else one
        if isinstance(constraint, exp.PrimaryKey):
            keys |= {fold(column.name) for column in constraint.expressions}
        elif not isinstance(constraint, exp.UniqueColumnConstraint | exp.ForeignKey):
            columns.append(one)
    dropped = (exp.PrimaryKeyColumnConstraint, exp.UniqueColumnConstraint, exp.Reference)
    for column in columns:
        if not isinstance(column, exp.ColumnDef):
            continue
        constraints = column.args.get("constraints") or []
        primary = any(isinstance(c.args.get("kind"), exp.PrimaryKeyColumnConstraint) for c in constraints)
        kept = [c for c in constraints if not isinstance(c.args.get("kind"), dropped)]
        if primary or fold(column.name) in keys:
            kept.append(exp.ColumnConstraint(kind=exp.NotNullColumnConstraint()))
        column.set("constraints", kept)
    schema.set("expressions", columns)


def noted(design: TableDesign, table: str, short: Callable[[str], str], parent: str = "") -> str:
    """The statement that records the design of a new table; empty if it has none.

    `table` and `parent` are PostgreSQL's texts for the tables; `short` maps a column's name to PostgreSQL's name.
    """
    if parent:
        return f"SELECT redshift.design_like({literal(table)}, {literal(parent)})"
    if design == TableDesign():
        return ""
    distkey = literal(short(design.distkeys[0])) if design.distkeys else "NULL"
    style = design.style or ("KEY" if design.distkeys else "AUTO")
    columns, encodings = ([e[n] for e in design.encodings] for n in (0, 1))
    return (
        f"SELECT redshift.design({literal(table)}, {literal(style)}, {distkey}, {_array(map(short, design.sortkeys))}, "
        f"{design.interleaved}, {_array(map(short, columns))}, {_array(encodings)})"
    )


def _array(texts: Iterable[str]) -> str:
    return f"ARRAY[{', '.join(map(literal, texts))}]::text[]"


def altered(alter: exp.Alter, table: str, short: Callable[[str], str]) -> tuple[list[str], list[str]]:
    """The PostgreSQL statements to run before and after an ALTER TABLE, for its changes of the design.

    Removes these changes from it; nothing may be left. Raises ServerError for an invalid encoding.
    """
    before, after, kept = [], [], []
    for action in alter.args["actions"]:
        if isinstance(action, exp.AlterDistStyle):
            style = action.this.name if isinstance(action.this, exp.Var) else "KEY"
            key = "NULL" if isinstance(action.this, exp.Var) else literal(short(action.this.name))
            before.append(f"SELECT redshift.alter_distribution({literal(table)}, {literal(style)}, {key})")
            continue
        if isinstance(action, exp.AlterSortKey):
            names = _array([short(c.name) for c in action.expressions])
            how = literal(action.this.name if isinstance(action.this, exp.Var) else "KEYS")
            before.append(f"SELECT redshift.alter_sorting({literal(table)}, {how}, {names})")
            continue
        kept.append(action)
        if isinstance(action, exp.Drop) and action.args.get("kind") == "COLUMN":
            dropped = [literal(short(c.name)) for c in action.args["tables"]]
            before += [f"SELECT redshift.check_droppable({literal(table)}, {name})" for name in dropped]
        elif isinstance(action, exp.ColumnDef):
            column = literal(short(action.name))
            given = map(literal, _taken_from_column(action))
            after += [f"SELECT redshift.encode({literal(table)}, {column}, {encoding})" for encoding in given]
    alter.set("actions", kept)
    return before, after
