"""The text of a template: CloudFormation's functions as short tags in YAML, or by their full names in JSON."""

from dataclasses import dataclass
from typing import Any

import yaml

WIDTH = 120


@dataclass(frozen=True)
class Function:
    """A call of one of CloudFormation's functions: `!Ref Lake`."""

    name: str
    value: Any

    @property
    def full(self) -> dict[str, Any]:
        """As JSON has it."""
        return {self.name if self.name in {"Ref", "Condition"} else f"Fn::{self.name}": plain(self.value)}


def ref(name: str) -> Function:
    """The value of a parameter, or what identifies a resource."""
    return Function("Ref", name)


def attribute(name: str) -> Function:
    """An attribute of a resource: `Lake.Arn`."""
    return Function("GetAtt", name)


def sub(text: str) -> Any:
    """The text with values for its `${…}`; a text without one is itself."""
    return Function("Sub", text) if "${" in text else text


def yaml_text(template: Any) -> str:
    """As YAML, in the order of the template."""
    return yaml.dump(template, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)


def plain(value: Any) -> Any:
    """The same without Functions: dictionaries, lists and scalars."""
    if isinstance(value, Function):
        return value.full
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


class _Dumper(yaml.SafeDumper):
    """Writes no aliases, which CloudFormation does not read everywhere, and indents lists."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 -- PyYAML's signature
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 -- PyYAML's signature
        super().increase_indent(flow, False)


def _function(dumper: yaml.SafeDumper, function: Function) -> yaml.Node:
    if isinstance(function.value, str):
        return dumper.represent_scalar(f"!{function.name}", function.value)
    return dumper.represent_sequence(f"!{function.name}", function.value, flow_style=True)


_Dumper.add_representer(Function, _function)
_Dumper.add_representer(tuple, yaml.SafeDumper.represent_list)
