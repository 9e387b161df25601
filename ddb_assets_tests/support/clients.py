"""Clients that reach a server of the tests and nothing else. This module loads no server."""

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore import client as clients
from botocore import endpoint_provider, hooks
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def s3_client(endpoint_url: str) -> "S3Client":
    """A client that does not use this machine's AWS configuration, and gives up soon."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=5),
    )


def remember_handlers() -> None:
    """Lets all clients of this process share what botocore works out again for each of them, in half of a client's time: what
    its hundred events are called by now, which handlers take keyword arguments, and how a tree of handlers is copied."""
    botocore_hooks: Any = hooks
    aliaser = botocore_hooks.EventAliaser
    shared = cache(aliaser(None)._alias_event_name)
    aliaser._alias_event_name = lambda _, name: shared(name)
    worked_out = botocore_hooks.accepts_kwargs

    def accepts_kwargs(handler: Any) -> object:
        code = getattr(handler, "__code__", None)  # functions and methods have it
        return code.co_flags & inspect.CO_VARKEYWORDS if code else worked_out(handler)

    botocore_hooks.accepts_kwargs = accepts_kwargs
    botocore_hooks._PrefixTrie._recursive_copy = lambda _, whole: {name: _copied(node) for name, node in whole.items()}


def remember_classes() -> None:
    """Lets clients of one service share the functions of its operations, and the rules by which it finds its endpoint."""
    creator: Any = clients.ClientCreator
    create, made = creator._create_methods, dict[tuple[str, ...], dict[str, Any]]()

    def create_methods(self: Any, service_model: Any) -> dict[str, Any]:
        key = (service_model.service_name, service_model.api_version, *service_model.operation_names)
        if key not in made:
            made[key] = create(self, service_model)
        return dict(made[key])  # handlers of events add to it

    creator._create_methods = create_methods
    provider: Any = endpoint_provider
    read, known = provider.RuleSet, dict[int, tuple[Any, Any]]()

    def rule_set(*, rules: list[Any], **others: Any) -> Any:
        if id(rules) not in known:  # it is the loader's own list, one for each service
            known[id(rules)] = rules, read(rules=rules, **others)
        return known[id(rules)][1]

    provider.RuleSet = rule_set


def _copied(node: dict[str, Any]) -> dict[str, Any]:
    values = node["values"]
    return {
        "chunk": node["chunk"],
        "values": values and hooks.NodeList(values.first[:], values.middle[:], values.last[:]),
        "children": {name: _copied(child) for name, child in node["children"].items()},
    }
