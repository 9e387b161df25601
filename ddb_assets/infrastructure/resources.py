"""What all resources of a template share: their form, their tags, their logical ids, and which of them outlive the stack."""

import hashlib
import re
from typing import Any

from ddb_assets.infrastructure.wanted import Wanted

Resources = dict[str, dict[str, Any]]
TAG = "ddb-assets"
KEPT = "RetainExceptOnCreate"
"""Stays when the stack is deleted. When the stack could not be made, nothing stays, so that it can be made again."""


def resource(kind: str, properties: dict[str, Any], *, kept: bool | None = None, **more: Any) -> dict[str, Any]:
    """A resource. One that is `kept` stays when the stack is deleted, or would replace it; False says that its content goes."""
    found: dict[str, Any] = {"Type": kind}
    if kept is not None:
        found["DeletionPolicy"] = KEPT if kept else "Delete"
        found["UpdateReplacePolicy"] = "Retain" if kept else "Delete"
    return found | more | {"Properties": properties}


def tags(wanted: Wanted) -> list[dict[str, str]]:
    """The tags of a resource of this stack."""
    return [{"Key": TAG, "Value": wanted.options.name}]


def logical(kind: str, name: str) -> str:
    """The logical id of a resource by its name, which stays the same when other resources come and go.

    Only letters and digits are allowed there, so a name with others gets a hash of itself: `a-b` is not `ab`.
    """
    letters = "".join(f"{word[:1].upper()}{word[1:]}" for word in re.findall(r"[A-Za-z0-9]+", name))
    if re.fullmatch(r"[A-Za-z0-9]+", name):
        return f"{kind}{letters}"
    return f"{kind}{letters}{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def grant(principal: dict[str, Any], actions: str | list[str], **more: Any) -> dict[str, Any]:
    """A statement of a policy that belongs to a resource, or of a role's trust."""
    return {"Effect": "Allow", "Principal": principal, "Action": actions} | more


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    """A policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}
