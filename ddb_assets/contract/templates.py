"""`{{ env.NAME }}` in a contract's YAML, filled in for the command line as Dagster fills it in.

Dagster's templates know more, such as variables of a project; the command line knows the environment only.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import yaml

from ddb_assets.errors import DdbAssetsError

KNOWN = "the command line knows only env.NAME and env('NAME', 'default')"
_TAGS = {str: "str", bool: "bool", type(None): "null"}


class TemplateError(DdbAssetsError):
    """A template in a YAML file cannot be filled in; names file and line."""


class _Environment:
    """`env.NAME`, None when it is not set, and `env('NAME', 'default')`."""

    def __call__(self, name: str, default: str | None = None) -> str:
        value = os.environ.get(name, default)
        if value is None:
            raise TemplateError(f"{name} is not set; set it, or give a default: env('{name}', '…')")
        return value

    def __getattr__(self, name: str) -> str | None:
        if name.startswith("jinja"):  # jinja2 asks every object for marks of its own
            raise AttributeError(name)
        return os.environ.get(name)


def is_template(text: str) -> bool:
    """Whether there is something to fill in. Other texts stay as they are: "123456789012" is an account, not a number."""
    return any(mark in text for mark in ("{{", "{%", "{#"))


def as_text(value: object) -> object:
    """What a template gives, with numbers as text: an account must stay a text, and a setting that is a number reads it."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def fill_in(path: Path, node: yaml.Node) -> None:
    """Replaces every template below a node by its value. Raises TemplateError."""
    for scalar in _scalars(node):
        if is_template(scalar.value):
            value = as_text(_rendered(path, scalar))
            if type(value) not in _TAGS:
                raise TemplateError(
                    f"{_place(path, scalar)}: {scalar.value} gives a {type(value).__name__}, not one value"
                )
            scalar.tag = f"tag:yaml.org,2002:{_TAGS[type(value)]}"
            scalar.value = "" if value is None else str(value)


def _rendered(path: Path, scalar: yaml.ScalarNode) -> object:
    from jinja2 import Undefined
    from jinja2.exceptions import TemplateError as JinjaError
    from jinja2.exceptions import UndefinedError
    from jinja2.nativetypes import NativeEnvironment
    from jinja2.sandbox import SandboxedEnvironment

    class Environment(SandboxedEnvironment, NativeEnvironment):
        pass

    try:
        value: object = Environment().from_string(scalar.value).render(env=_Environment())
        if isinstance(value, Undefined):
            raise UndefinedError(value._undefined_message)
    except UndefinedError as error:
        raise TemplateError(f"{_place(path, scalar)}: {scalar.value}: {error}; {KNOWN}") from error
    except (JinjaError, TemplateError) as error:
        raise TemplateError(f"{_place(path, scalar)}: {scalar.value}: {error}") from error
    return value


def _scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.SequenceNode):
        for member in node.value:
            yield from _scalars(member)
    elif isinstance(node, yaml.MappingNode):
        for _, member in node.value:
            yield from _scalars(member)


def _place(path: Path, node: yaml.Node) -> str:
    return f"{path}:{node.start_mark.line + 1}"
