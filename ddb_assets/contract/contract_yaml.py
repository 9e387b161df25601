"""Reads a table's contract from its `defs.yaml` without Dagster, for the command line.

It is the same file that the Dagster component reads; only its `attributes` are used here. `table.py` defines them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from ddb_assets.contract.table import Table
from ddb_assets.contract.templates import fill_in
from ddb_assets.errors import DdbAssetsError

TYPE_SUFFIX = ".DynamoDBTable"
TRANSLATION = "translation"
"""The attribute that configures how Dagster shows the assets. It is not part of the contract."""

M = TypeVar("M", bound=BaseModel)


class ConfigError(DdbAssetsError):
    """The file is missing, is not valid YAML, or does not declare a valid contract."""


def read_tables(path: Path) -> list[Table]:
    """Every table that the file declares, in order. A file may have several YAML documents.

    Raises ConfigError with the file, the line and what is allowed there.
    """
    return [_table(path, document) for document in read_documents(path)]


def read_documents(path: Path) -> list[yaml.Node]:
    """The YAML documents of a file, without empty ones. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
        return [document for document in yaml.compose_all(text, Loader=yaml.SafeLoader) if document is not None]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: this is not YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        raise ConfigError(f"{path}:{line}: this is not YAML: {error.reason}") from error


def read_table(path: Path, table: str | None = None) -> Table:
    """The only table of the file, or the one with this name or ARN if there are several. Raises ConfigError."""
    tables = read_tables(path)
    named = [t for t in tables if table in {t.table, t.table.rpartition("/")[2], t.name}]
    if len(chosen := named or tables) == 1:
        return chosen[0]
    raise ConfigError(f"{path} declares {len(tables)} tables ({', '.join(t.name for t in tables)}), one is needed")


def _table(path: Path, document: yaml.Node) -> Table:
    type_, attributes = (_child(document, key) for key in ("type", "attributes"))
    if not isinstance(attributes, yaml.MappingNode):
        raise ConfigError(f"{path}:{_line(document)}: a table's file has `type` and below `attributes` its `table`")
    if isinstance(type_, yaml.ScalarNode) and not type_.value.endswith(TYPE_SUFFIX):
        raise ConfigError(
            f"{path}:{_line(type_)}: type {type_.value} is not a table's type; it must end in {TYPE_SUFFIX}"
        )
    attributes.value = [(key, value) for key, value in attributes.value if key.value != TRANSLATION]
    return validated(path, attributes, Table, "attributes")


def validated(path: Path, node: yaml.Node, model: type[M], whole: str) -> M:
    """A node as an instance of the model, its templates filled in; `whole` names the node.

    Raises ConfigError with the line of every mistake, and TemplateError.
    """
    fill_in(path, node)
    try:
        return model.model_validate(yaml.SafeLoader("").construct_document(node))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: this is not YAML: {error.problem}") from error
    except ValidationError as error:
        said = problems(error, lambda place: f"{path}:{_line(_closest(node, place))}", whole)
        raise ConfigError("\n".join(said)) from error


def problems(
    error: ValidationError,
    where: Callable[[tuple[str | int, ...]], str],
    whole: str,
    more: Callable[[tuple[str | int, ...]], str] = lambda _: "",
) -> list[str]:
    """Each mistake as `file:line: key: what is wrong`; `where` and `more` are asked about a place in the YAML.

    `whole` names the node that all places are in.
    """
    return [
        f"{where(found['loc'])}: {'.'.join(map(str, found['loc'])) or whole}: "
        f"{found['msg'].removeprefix('Value error, ')}{more(found['loc'])}"
        for found in error.errors(include_url=False)
    ]


def _child(node: yaml.Node | None, key: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for name, value in node.value if name.value == key), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        member: yaml.Node = node.value[key]
        return member
    return None


def _closest(node: yaml.Node, location: Sequence[str | int]) -> yaml.Node:
    """The node at the location, or the last one on the way: pydantic's locations may end inside its own types."""
    for key in location:
        node = _child(node, key) or node
    return node


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
