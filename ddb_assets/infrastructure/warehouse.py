"""Redshift Serverless, if the stack shall make it: a namespace, which keeps the data, and a workgroup, which computes.

And the database of Glue that knows the Iceberg tables of changes.
"""

from typing import Any

from ddb_assets.infrastructure.document import attribute, ref
from ddb_assets.infrastructure.policies import COPY
from ddb_assets.infrastructure.resources import Resources, resource, tags
from ddb_assets.infrastructure.roles import role_id
from ddb_assets.infrastructure.wanted import Wanted

DATABASE = "warehouse"
SUBNETS, SECURITY_GROUPS, CAPACITY = "SubnetIds", "SecurityGroupIds", "BaseCapacity"


def new_workgroup_url(workgroup: str) -> str:
    """The URL of the warehouse that the stack makes, with the workgroup of this name."""
    return f"redshift:///{DATABASE}?workgroup={workgroup}&region=${{AWS::Region}}&iam_role=default"


def warehouse(wanted: Wanted) -> Resources:
    """The namespace and the workgroup, and the database."""
    found = _database(wanted)
    if not wanted.options.redshift:
        return found
    name = wanted.options.name
    copy = attribute(f"{role_id(COPY)}.Arn")
    namespace = {
        "NamespaceName": name,
        "DbName": DATABASE,
        "AdminUsername": "ddb_admin",
        "ManageAdminPassword": True,
        "DefaultIamRoleArn": copy,
        "IamRoles": [copy],
        "LogExports": ["connectionlog", "userlog"],
        "Tags": tags(wanted),
    }
    workgroup = {
        "WorkgroupName": name,
        "NamespaceName": ref("WarehouseNamespace"),
        "BaseCapacity": ref(CAPACITY),
        "PubliclyAccessible": False,
        "SubnetIds": ref(SUBNETS),
        "SecurityGroupIds": ref(SECURITY_GROUPS),
        "ConfigParameters": [{"ParameterKey": "require_ssl", "ParameterValue": "true"}],
        "Tags": tags(wanted),
    }
    return found | {
        "WarehouseNamespace": resource("AWS::RedshiftServerless::Namespace", namespace, kept=True),
        "Warehouse": resource("AWS::RedshiftServerless::Workgroup", workgroup),
    }


def _database(wanted: Wanted) -> Resources:
    catalog = wanted.catalog
    if catalog is None or not wanted.options.own_database:
        return {}
    database = {"Name": catalog.namespace, "LocationUri": f"{catalog.location}/{catalog.namespace}"}
    home = {"CatalogId": catalog.account or ref("AWS::AccountId"), "DatabaseName": catalog.namespace}
    properties = home | {"DatabaseInput": database}
    return {"IcebergDatabase": resource("AWS::Glue::Database", properties, kept=True)}


def parameters(wanted: Wanted) -> dict[str, Any]:
    """What only the account knows of its network, and how much the workgroup may compute at once."""
    if not wanted.options.redshift:
        return {}
    return {
        SUBNETS: {
            "Type": "List<AWS::EC2::Subnet::Id>",
            "Description": "Subnets of the Redshift workgroup, in three Availability Zones",
        },
        SECURITY_GROUPS: {
            "Type": "List<AWS::EC2::SecurityGroup::Id>",
            "Description": "Security groups of the Redshift workgroup, which let Dagster in at port 5439",
        },
        CAPACITY: {
            "Type": "Number",
            "Default": 8,
            "MinValue": 4,
            "MaxValue": 512,
            "Description": "RPUs of the Redshift workgroup, which AWS bills while it computes",
        },
    }
