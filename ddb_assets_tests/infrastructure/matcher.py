"""Whether a policy allows a call: the action by its name, the resource by IAM's patterns.

Conditions are ignored: they are about calls that S3 makes itself (`kms:ViaService`), which nobody can record.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from ddb_assets.infrastructure.statement import Statement, filled_in
from ddb_assets_tests.infrastructure.actions import ACCOUNT, REGION, Asked

STACK: Mapping[str, str] = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "ExportEvents.Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:ddb-assets-exports",
    "AlarmTopic": f"arn:aws:sns:{REGION}:{ACCOUNT}:ddb-assets-alarms",
    "RoleJob.Arn": f"arn:aws:iam::{ACCOUNT}:role/job",
    "LakeKey.Arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/lake",
}
"""What CloudFormation puts in the place of the parameters."""


def rights(statements: Iterable[Statement], **more: str) -> Iterator[Asked]:
    """Each action on each pattern of resources that the statements allow; `more` is what else CloudFormation puts in."""
    for statement in statements:
        for action in statement.actions:
            for resource in statement.resources:
                yield Asked(action, filled_in(resource, {**STACK, **more}))


def allows(right: Asked, call: Asked) -> bool:
    """Whether the right is enough for the call."""
    return right.action == call.action and _pattern(right.resource).fullmatch(call.resource) is not None


def _pattern(resource: str) -> re.Pattern[str]:
    signs = {"*": ".*", "?": "."}
    return re.compile("".join(signs.get(sign, re.escape(sign)) for sign in resource), re.DOTALL)
