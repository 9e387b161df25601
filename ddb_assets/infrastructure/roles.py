"""The roles of a stack and their policies. `policies.py` says what they may do; here they become resources."""

from typing import Any

from ddb_assets.contract.engine import EmrServerlessEngine, GlueEngine
from ddb_assets.infrastructure.document import Function, ref, sub
from ddb_assets.infrastructure.job_rights import JOB
from ddb_assets.infrastructure.policies import COPY, policies
from ddb_assets.infrastructure.resources import Resources, grant, policy, resource, tags
from ddb_assets.infrastructure.statement import Statement, packed
from ddb_assets.infrastructure.wanted import Wanted

MOST_POLICIES = 10
"""How many managed policies IAM takes for a role, unless AWS has raised the quota."""
JOB_SERVICES = {GlueEngine: "glue.amazonaws.com", EmrServerlessEngine: "emr-serverless.amazonaws.com"}
PRINCIPALS = "Principals"
"""The parameter for who may assume the roles."""


def role_id(role: str) -> str:
    """The logical id of a role."""
    return "Role" + "".join(word.capitalize() for word in role.split("-"))


def roles(wanted: Wanted) -> Resources:
    """A role and its policies for each stage. Raises InfrastructureError for rights that do not fit in one role."""
    found: Resources = {}
    for role, statements in policies(wanted).items():
        name = f"{wanted.options.name}-{role}"
        attached = []
        for number, part in enumerate(packed(statements, role, MOST_POLICIES), 1):
            logical = f"{role_id(role).replace('Role', 'Policy')}{number}"
            found[logical] = resource(
                "AWS::IAM::ManagedPolicy",
                {"ManagedPolicyName": f"{name}-{number}", "PolicyDocument": policy(*map(document, part))},
            )
            attached.append(ref(logical))
        found[role_id(role)] = resource(
            "AWS::IAM::Role",
            {
                "RoleName": name,
                "AssumeRolePolicyDocument": policy(grant(_trusted(wanted, role), "sts:AssumeRole")),
                "ManagedPolicyArns": attached,
                "Tags": tags(wanted),
            },
        )
    return found


def document(statement: Statement) -> dict[str, Any]:
    """The statement with CloudFormation's functions for what only the stack knows."""
    return {key: _sub(value) for key, value in statement.document.items()}


def _trusted(wanted: Wanted, role: str) -> dict[str, Any]:
    if role == JOB:
        kinds = {type(table.engine) for table in wanted.in_own_role}
        return {"Service": [service for kind, service in JOB_SERVICES.items() if kind in kinds]}
    if role == COPY:
        return {"Service": ["redshift.amazonaws.com", "redshift-serverless.amazonaws.com"]}
    return {"AWS": Function("Ref", PRINCIPALS)}


def _sub(value: Any) -> Any:
    if isinstance(value, str):
        return sub(value)
    if isinstance(value, list):
        return [_sub(one) for one in value]
    return {key: _sub(one) for key, one in value.items()}
