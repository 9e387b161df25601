"""Statements of IAM policies: actions, resources and a condition, and policies made of them that fit IAM's limits.

Resources are written as CloudFormation's Fn::Sub takes them: `arn:${AWS::Partition}:s3:::bucket/key*`.
Facts: IAM quotas (a managed policy has at most 6,144 characters without whitespace).
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ddb_assets.infrastructure.errors import InfrastructureError

ANY = "*"
WITHOUT_RESOURCE: Mapping[str, str] = {
    "cloudwatch:PutMetricData": "has no resources; a condition says to which namespace",
    "dynamodb:ListBackups": "lists the backups of all tables",
    "dynamodb:ListBulkOperations": "lists the bulk operations of all tables",
    "dynamodb:ListExports": "lists the exports of all tables; AWS has not always taken its TableArn for a resource",
    "dynamodb:ListTables": "lists all tables",
    "kinesis:ListStreams": "lists all streams",
    "logs:DescribeLogGroups": "lists all log groups",
}
"""The only actions that may have the resource `*`, because IAM knows no narrower one, and why."""
MAX_CHARACTERS = 6144
LONGEST = {"AWS::Partition": "aws-us-gov", "AWS::Region": "ap-northeast-1", "AWS::AccountId": "123456789012"}
"""The most characters that CloudFormation puts in the place of its parameters."""
ATTRIBUTE = "x" * 120
"""The same for the attribute of a resource, which is an ARN."""

Condition = tuple[tuple[str, str, tuple[str, ...]], ...]
"""Operator, condition key and values, of each test."""


@dataclass(frozen=True)
class Statement:
    """Allows `actions` on `resources` when all tests of the condition hold."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: Condition = ()

    def __post_init__(self) -> None:
        for action in self.actions:
            if "*" in action or (ANY in self.resources and action not in WITHOUT_RESOURCE):
                raise ValueError(f"{action} on {self.resources} allows more than is needed")

    @property
    def document(self) -> dict[str, Any]:
        """As a policy has it, with the resources as they are."""
        found: dict[str, Any] = {"Effect": "Allow", "Action": _one_or_all(self.actions)}
        found["Resource"] = _one_or_all(self.resources)
        if self.condition:
            tests: dict[str, dict[str, Any]] = {}
            for operator, key, values in self.condition:
                tests.setdefault(operator, {})[key] = _one_or_all(values)
            found["Condition"] = tests
        return found

    @property
    def characters(self) -> int:
        """How long it is at most, when CloudFormation has filled in its parameters."""
        return len(filled_in(json.dumps(self.document, separators=(",", ":")), LONGEST)) + 1


def allow(actions: str, *resources: str, condition: Condition = ()) -> Statement:
    """A statement about actions of one service: `allow("dynamodb: Scan DescribeTable", arn)`."""
    service, _, names = actions.partition(":")
    return Statement(tuple(f"{service}:{name}" for name in names.split()), resources, condition)


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """The text with values instead of `${…}`; what has no value becomes something as long as an ARN."""
    return re.sub(r"\$\{([\w:.]+)\}", lambda found: values.get(found[1], ATTRIBUTE), text)


def merged(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """The same rights in few statements: one for each set of actions and condition, in a stable order."""
    actions: dict[tuple[Condition, str], set[str]] = {}
    for statement in statements:
        for resource in statement.resources:
            actions.setdefault((statement.condition, resource), set()).update(statement.actions)
    resources: dict[tuple[Condition, tuple[str, ...]], list[str]] = {}
    for (condition, resource), named in sorted(actions.items()):
        resources.setdefault((condition, tuple(sorted(named))), []).append(resource)
    found = [Statement(named, tuple(places), condition) for (condition, named), places in resources.items()]
    return tuple(sorted(found, key=lambda one: (one.actions, one.resources, one.condition)))


def packed(statements: Sequence[Statement], what: str, most: int) -> list[list[Statement]]:
    """The statements of each policy of a role; a statement with many resources is divided.

    Raises InfrastructureError when the role would need more policies than `most`.
    """
    policies: list[list[Statement]] = []
    left = 0
    for statement in _divided(statements):
        if statement.characters > left:
            policies.append([])
            left = MAX_CHARACTERS - len('{"Version":"2012-10-17","Statement":[]}')
        policies[-1].append(statement)
        left -= statement.characters
    if len(policies) > most:
        raise InfrastructureError(
            f"the rights of the role {what} fill {len(policies)} policies, and IAM takes {most} for one role: divide the "
            "tables among several projects, each with a stack of its own"
        )
    return policies


def _divided(statements: Sequence[Statement]) -> Iterator[Statement]:
    for statement in statements:
        if statement.characters <= MAX_CHARACTERS // 4 or len(statement.resources) == 1:
            yield statement
            continue
        middle = len(statement.resources) // 2
        halves = (statement.resources[:middle], statement.resources[middle:])
        yield from _divided([Statement(statement.actions, half, statement.condition) for half in halves])


def _one_or_all(values: Sequence[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)
