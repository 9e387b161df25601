"""The template of a stack: everything that a project needs on AWS, from what it declares."""

from typing import Any

from ddb_assets.infrastructure import alarms, engines, warehouse
from ddb_assets.infrastructure.document import attribute, ref, sub
from ddb_assets.infrastructure.errors import InfrastructureError
from ddb_assets.infrastructure.job_rights import JOB
from ddb_assets.infrastructure.lake_rights import OWN_KEY, key_of
from ddb_assets.infrastructure.policies import COPY, DAGSTER, WORKGROUP_PARAMETER, policies
from ddb_assets.infrastructure.roles import PRINCIPALS, role_id, roles
from ddb_assets.infrastructure.storage import storage
from ddb_assets.infrastructure.tables import tables
from ddb_assets.infrastructure.wanted import Wanted

MAX_RESOURCES = 500  # CloudFormation's quota
MAX_BODY = 51_200
"""The bytes of a template that CloudFormation takes in a call. A longer one is read from S3."""


def template(wanted: Wanted) -> dict[str, Any]:
    """The template. Raises InfrastructureError for what does not fit in one stack."""
    groups = (
        storage(wanted),
        tables(wanted),
        roles(wanted),
        warehouse.warehouse(wanted),
        engines.engines(wanted),
        alarms.alarms(wanted),
    )
    resources = {name: one for group in groups for name, one in group.items()}
    if len(resources) != sum(map(len, groups)):
        raise InfrastructureError("two names become the same resource of the stack: rename a table or a stream")
    if len(resources) > MAX_RESOURCES:
        fewer = ", or name fewer metrics" if wanted.options.metrics else ""
        raise InfrastructureError(
            f"the stack would have {len(resources)} resources, and CloudFormation takes {MAX_RESOURCES}: divide the tables "
            f"among several projects, each with a stack of its own{fewer}"
        )
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"{wanted.options.name}, made by ddb-assets infra from the YAML of the project; change that instead",
        "Parameters": _parameters(wanted),
        "Conditions": dict(alarms.CONDITIONS),
        "Resources": resources,
        "Outputs": _outputs(wanted),
    }


def _parameters(wanted: Wanted) -> dict[str, Any]:
    found: dict[str, Any] = {
        PRINCIPALS: {
            "Type": "CommaDelimitedList",
            "Description": "ARNs of the roles or users that may assume the roles of this stack",
        }
    }
    if wanted.login and wanted.login.workgroup:
        found[WORKGROUP_PARAMETER] = {
            "Type": "String",
            "AllowedPattern": "arn:aws[a-z-]*:redshift-serverless:[a-z0-9-]+:[0-9]{12}:workgroup/.+",
            "Description": f"ARN of the Redshift workgroup {wanted.login.workgroup}",
        }
    return found | warehouse.parameters(wanted) | engines.parameters(wanted) | alarms.parameters(wanted)


def _outputs(wanted: Wanted) -> dict[str, Any]:
    """The settings of the process, and the roles."""
    found = {
        "Lake": _output("DDB_ASSETS_LAKE", wanted.lake.uri),
        "ExportEventsUrl": _output("DDB_ASSETS_EXPORT_EVENTS", ref("ExportEvents")),
    }
    found["AlarmTopicArn"] = _output("DDB_ASSETS_ALERTS", ref("AlarmTopic"))
    if wanted.options.redshift:
        found["WarehouseUrl"] = _output("DDB_ASSETS_WAREHOUSE", sub(warehouse.new_workgroup_url("${Warehouse}")))
    if wanted.in_own_job:
        found["GlueJobName"] = _output("DDB_ASSETS_GLUE_JOB", ref("FlattenJob"))
    if wanted.in_own_application:
        found["EmrApplicationId"] = _output("DDB_ASSETS_EMR_APPLICATION", ref("JobApplication"))
    for role in policies(wanted):
        said = _ROLES.get(role, f"The role {role}")
        found[f"{role_id(role)}Arn"] = _output(said, attribute(f"{role_id(role)}.Arn"))
    if key_of(wanted) == OWN_KEY:
        found["LakeKeyArn"] = _output("The key of the lake, which outlives the stack", attribute("LakeKey.Arn"))
    return found


_ROLES = {
    DAGSTER: "DDB_ASSETS_ROLE_ARN of a process that runs all stages",
    JOB: "The role of jobs: DDB_ASSETS_EMR_ROLE",
    COPY: "The role of COPY: iam_role in the warehouse's URL",
}


def _output(description: str, value: Any) -> dict[str, Any]:
    return {"Description": description, "Value": value}
