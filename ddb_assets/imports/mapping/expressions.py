"""Values that are computed from the columns of a row, by expressions of Jinja, the language of the project's YAML templates.

Pure. They run in Jinja's sandbox, with exact numbers, and with functions that give the same result whenever the row is read
again: no clock, no random numbers. A column without a value makes the whole expression have no value, unless it says what
counts instead (`note | default("")`), so that no text ever has the word None in it.
"""

import base64
import hashlib
import hmac
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from typing import Any

from jinja2 import StrictUndefined, nodes
from jinja2.environment import TemplateExpression
from jinja2.exceptions import TemplateError, UndefinedError
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ddb_assets.aws.storage import is_s3
from ddb_assets.bulk.rows import Origin
from ddb_assets.dynamodb.attribute_value import AttributeValueError, number_text

FILTERS = ("abs", "default", "first", "last", "length", "max", "min", "reverse", "round", "sort", "sum", "unique")
"""Those of Jinja's that give the same exact result every time. Those of texts are in `TEXT_FILTERS`."""
MASKS = ("sha256", "hmac")
FUNCTIONS = ("uuid", "row_number", "file", *MASKS)
ROW = "row"
NAMESPACE = uuid.UUID("7f0c5f5e-4a0b-5d0e-9d8e-2b5a3c0d6a11")
DIGITS = 200  # more than any sum or product of a few numbers has; DynamoDB's limit is checked with the item
Value = dict[str, Any]


class ExpressionError(ValueError):
    """The expression cannot be read, or has no result for this row."""


@dataclass(frozen=True)
class Expression:
    """`columns` are those that it reads, `masked` those of them that only its masks read, `functions` what it calls."""

    text: str
    columns: frozenset[str]
    masked: frozenset[str]
    functions: frozenset[str]
    _run: TemplateExpression = field(repr=False, compare=False)

    @classmethod
    def of(cls, text: str) -> "Expression":
        """Raises ExpressionError for what is no expression, and for columns and functions that it cannot have."""
        try:
            parser = Parser(_ENVIRONMENT, text, state="variable")
            tree = parser.parse_expression()
            if not parser.stream.eos:
                raise ExpressionError(f"here is more than one expression, from {str(parser.stream.current.value)!r} on")
            _check_literals(text)
            open_, masked, functions = _uses(tree)
            body: list[nodes.Node] = [nodes.Assign(nodes.Name("result", "store"), _exact(tree), lineno=1)]
            whole = nodes.Template(body, lineno=1)
            whole.set_environment(_ENVIRONMENT)
            template = _ENVIRONMENT.from_string(whole)
        except TemplateError as error:
            raise ExpressionError(error.message or "it cannot be read") from None
        except RecursionError:
            raise ExpressionError("nested too deeply") from None
        run = TemplateExpression(template, undefined_to_none=True)
        return cls(text, open_ | masked, masked - open_, functions, run)

    def value(self, cells: Mapping[str, Value | None], origin: Origin, secret: bytes | None = None) -> Value | None:
        """The result in DynamoDB JSON; None when it has no value. `cells` has every column of `columns`.

        Raises ExpressionError for a result that is no attribute, and for an operation that the values do not allow.
        """
        row = {name: _python(cell) for name, cell in cells.items() if cell is not None and "NULL" not in cell}
        known = {name: value for name, value in row.items() if name not in {*FUNCTIONS, ROW}}
        try:
            with localcontext(Context(prec=DIGITS)):
                return _dynamodb(self._run({**known, ROW: row, **_functions(origin, secret)}))
        except UndefinedError:
            return None
        except ExpressionError:
            raise
        except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError, AttributeError) as error:
            raise ExpressionError(_said(error)) from None


def _said(error: Exception) -> str:
    if isinstance(error, ZeroDivisionError):
        return "a division by zero"
    return f"no exact result ({type(error).__name__})" if isinstance(error, ArithmeticError) else str(error)


def _functions(origin: Origin, secret: bytes | None) -> dict[str, Callable[..., Any]]:
    place = origin.file if is_s3(origin.file) else os.path.abspath(origin.file)  # wherever the import is called

    def row_number() -> int:
        if origin.part:
            raise ExpressionError("row_number() is not known for a row that was redriven as a part of another one")
        return origin.number + 1

    def masked(value: object) -> str:
        return hmac.new(secret or b"", _text(value).encode(), "sha256").hexdigest()

    return {
        "uuid": lambda: str(uuid.uuid5(NAMESPACE, f"{place}\n{origin.number}.{origin.part}")),
        "row_number": row_number,
        "file": lambda: origin.file,
        "sha256": lambda value: hashlib.sha256(_text(value).encode()).hexdigest(),
        "hmac": masked,
    }


def _uses(tree: nodes.Node) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The columns that are read outside of masks and inside, and the functions that are called. Raises ExpressionError."""
    found: dict[str, set[str]] = {"open": set(), "masked": set(), "functions": set()}

    def visit(node: nodes.Node, where: str) -> None:
        match node:
            case nodes.Call(node=nodes.Name(name=name)) if name in FUNCTIONS:
                found["functions"].add(name)
                for child in node.iter_child_nodes(exclude=("node",)):
                    visit(child, "masked" if name in MASKS else where)
            case nodes.Getitem(node=nodes.Name(name="row"), arg=nodes.Const(value=str(column))):
                found[where].add(column)
            case nodes.Getattr(node=nodes.Name(name="row"), attr=column):
                found[where].add(column)
            case nodes.Call(node=nodes.Name(name=name)):
                raise ExpressionError(f"there is no function {name!r}; there are {', '.join(FUNCTIONS)}")
            case nodes.Name(name=name) if name == ROW or name in FUNCTIONS:
                written = 'row["a column"]' if name == ROW else f'{name}(), or row["{name}"] for a column of this name'
                raise ExpressionError(f"write {written}")
            case nodes.Name(name=name):
                found[where].add(name)
            case nodes.Filter(name=name) if name not in _ENVIRONMENT.filters:
                raise ExpressionError(
                    f"there is no filter {name!r}; there are {', '.join(sorted(_ENVIRONMENT.filters))}"
                )
            case _:
                pass
        for child in () if _is_own(node) else node.iter_child_nodes():
            visit(child, where)

    visit(tree, "open")
    return frozenset(found["open"]), frozenset(found["masked"]), frozenset(found["functions"])


def _is_own(node: nodes.Node) -> bool:
    """Whether it is a call of one of the functions, or a column of `row`."""
    match node:
        case nodes.Call(node=nodes.Name()) | nodes.Getattr(node=nodes.Name(name="row")):
            return True
        case nodes.Getitem(node=nodes.Name(name="row"), arg=nodes.Const(value=str())):
            return True
    return False


def _exact(node: Any) -> Any:
    """The tree with exact numbers, and with texts as DynamoDB has them where values are joined by `~`."""
    for name, child in node.iter_fields():
        if isinstance(child, list):
            setattr(node, name, [_exact(one) if isinstance(one, nodes.Node) else one for one in child])
        elif isinstance(child, nodes.Node):
            setattr(node, name, _exact(child))
    if isinstance(node, nodes.Const) and isinstance(node.value, float):
        return _filtered(nodes.Const(repr(node.value)), "number")
    if isinstance(node, nodes.Concat):
        node.nodes = [_filtered(one, "text") for one in node.nodes]
    return node


def _filtered(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=1)


def _check_literals(text: str) -> None:
    """Raises ExpressionError for a number with more digits than Jinja keeps."""
    for _, kind, literal in _ENVIRONMENT.lex("{{" + text + "}}"):
        if kind == "float" and Decimal(literal) != Decimal(repr(float(literal))):
            raise ExpressionError(f'{literal} has too many digits: write it as a text, "{literal}" | number')


def _python(value: Value) -> Any:
    ((kind, payload),) = value.items()
    match kind:
        case "N":
            return Decimal(payload)
        case "B":
            return base64.b64decode(payload)
        case "SS" | "NS" | "BS":
            return [_python({kind[0]: member}) for member in payload]
        case "L":
            return [_python(member) for member in payload]
        case "M":
            return {name: _python(member) for name, member in payload.items()}
        case "NULL":
            return None
    return payload


def _dynamodb(value: object) -> Value | None:
    match value:
        case None:
            return None
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": str(value)}
        case int() | Decimal():
            return {"N": _text(value)}
        case bytes():
            return {"B": base64.b64encode(value).decode()}
        case list() | tuple():
            return {"L": [_dynamodb(member) or {"NULL": True} for member in value]}
        case dict():
            return {"M": {str(name): _dynamodb(member) or {"NULL": True} for name, member in value.items()}}
        case float():
            raise ExpressionError(f'{value} is not exact: write one of the numbers as a text, such as "1" | number')
    raise ExpressionError(f"the result is a {type(value).__name__}, which is no type of DynamoDB")


def _text(value: object) -> str:
    """As a mask or a column of texts has the value. Raises UndefinedError when there is none."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | Decimal():
            return _canonical(str(value))
        case bytes():
            return base64.b64encode(value).decode()
        case str() | StrictUndefined():
            return str(value)
    raise ExpressionError(f"a {type(value).__name__} is no text")


def _canonical(text: str) -> str:
    try:
        return number_text(text)
    except AttributeValueError as error:
        raise ExpressionError(str(error).removeprefix("(item): ")) from None


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        value = str(value).strip()
    return Decimal(_canonical(str(value)))


def _of_text(change: Callable[..., str]) -> Callable[..., str]:
    return lambda value, *more: change(_text(value), *more)


TEXT_FILTERS: dict[str, Callable[..., Any]] = {
    "capitalize": _of_text(str.capitalize),
    "join": lambda values, separator="": separator.join(map(_text, values)),
    "lower": _of_text(str.lower),
    "number": _number,
    "replace": _of_text(str.replace),
    "text": _text,
    "title": _of_text(str.title),
    "trim": _of_text(str.strip),
    "upper": _of_text(str.upper),
}
_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
_ENVIRONMENT.globals.clear()
_ENVIRONMENT.filters = {name: _ENVIRONMENT.filters[name] for name in FILTERS} | TEXT_FILTERS
