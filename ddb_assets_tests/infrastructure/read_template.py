"""A template as CloudFormation reads it: YAML with its short tags, as full functions; and what refers to what."""

import re
from collections.abc import Iterator
from typing import Any

import yaml

PSEUDO = {"AWS::AccountId", "AWS::Partition", "AWS::Region"}


class _Loader(yaml.CSafeLoader):
    """Knows the short tags."""


def _function(loader: Any, suffix: str, node: yaml.Node) -> Any:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.ScalarNode)
    return {name: loader.construct_scalar(node)}


_Loader.add_multi_constructor("!", _function)


def read(text: str) -> Any:
    """The template. A key that is there twice is an error, which PyYAML does not see."""
    found = yaml.load(text, Loader=_Loader)
    keys = re.findall(r"^  (\w+):$", text.partition("\nResources:\n")[2].partition("\nOutputs:\n")[0], re.MULTILINE)
    assert len(keys) == len(set(keys)) == len(found["Resources"])
    return found


def walk(value: Any) -> Iterator[Any]:
    """The value and all that is in it."""
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from walk(one)


def targets(value: Any) -> set[str]:
    """The parameters and resources that a part of a template refers to."""
    found: set[str] = set()
    for one in walk(value):
        if isinstance(one, dict) and len(one) == 1:
            ((name, target),) = one.items()
            if name == "Ref":
                found.add(target)
            elif name == "Fn::GetAtt":
                found.add(target.partition(".")[0])
            elif name == "Fn::Sub":
                found |= {named.partition(".")[0] for named in re.findall(r"\$\{([^}]+)\}", target)}
    return found - PSEUDO


def statements(template: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement of every policy, with the logical id of its resource."""
    for name, resource in template["Resources"].items():
        for one in walk(resource):
            if isinstance(one, dict) and "Statement" in one:
                for statement in one["Statement"]:
                    yield name, statement


def listed(value: Any) -> list[Any]:
    """One value or several."""
    return value if isinstance(value, list) else [value]
