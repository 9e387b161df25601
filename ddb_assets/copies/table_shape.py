"""How a table was made, so that another can be made in the same way: key, indexes, billing, table class, encryption.

Pure. Facts: API reference, CreateTable and TableDescription (a description has more than a request may have; on-demand maxima
of -1 mean none; KMSMasterKeyId is only for a key that is not alias/aws/dynamodb).
"""

from collections.abc import Mapping
from typing import Any

from ddb_assets.copies.attribute_mapping import CopyRefusedError

AWS_KEY = "alias/aws/dynamodb"
INDEXES = {"GlobalSecondaryIndexes": True, "LocalSecondaryIndexes": False}
"""The kinds of indexes, and whether they have a capacity of their own."""
UNITS = ("ReadCapacityUnits", "WriteCapacityUnits")
MAXIMA = ("MaxReadRequestUnits", "MaxWriteRequestUnits")


def table_shape(table: Mapping[str, Any]) -> dict[str, Any]:
    """CreateTable's parameters for the `Table` of DescribeTable, without its name, tags, encryption and stream.

    They are the same for two tables that are alike. An index that is being deleted is left out.
    """
    indexes_of = {
        kind: [index for index in table.get(kind) or () if index.get("IndexStatus") != "DELETING"] for kind in INDEXES
    }
    keys = [table["KeySchema"], *(index["KeySchema"] for found in indexes_of.values() for index in found)]
    used = {element["AttributeName"] for key in keys for element in key}
    on_demand = table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED") == "PAY_PER_REQUEST"
    shape: dict[str, Any] = {
        "AttributeDefinitions": sorted(
            (
                {name: one[name] for name in ("AttributeName", "AttributeType")}
                for one in table["AttributeDefinitions"]
                if one["AttributeName"] in used
            ),
            key=lambda one: str(one["AttributeName"]),
        ),
        "KeySchema": table["KeySchema"],
        "BillingMode": "PAY_PER_REQUEST" if on_demand else "PROVISIONED",
        **_capacity(table, on_demand=on_demand),
    }
    for kind, own_capacity in INDEXES.items():
        indexes = [
            {name: index[name] for name in ("IndexName", "KeySchema", "Projection")}
            | (_capacity(index, on_demand=on_demand) if own_capacity else {})
            for index in indexes_of[kind]
        ]
        if indexes:
            shape[kind] = sorted(indexes, key=lambda index: str(index["IndexName"]))
    if table_class := table.get("TableClassSummary", {}).get("TableClass"):
        shape |= {"TableClass": table_class} if table_class != "STANDARD" else {}
    return shape


def _capacity(described: Mapping[str, Any], *, on_demand: bool) -> dict[str, Any]:
    if not on_demand:
        return {"ProvisionedThroughput": {name: described["ProvisionedThroughput"][name] for name in UNITS}}
    found = described.get("OnDemandThroughput", {})
    most = {name: found[name] for name in MAXIMA if found.get(name, -1) > 0}
    return {"OnDemandThroughput": most} if most else {}


def encryption(table: Mapping[str, Any], kms_key: str) -> dict[str, Any]:
    """CreateTable's parameter for the encryption of a clone, with this KMS key. Raises CopyRefusedError if it must be named."""
    key = table.get("SSEDescription", {}).get("KMSMasterKeyArn")
    if not kms_key:
        if key is None:
            return {}
        raise CopyRefusedError(
            f"{table['TableName']} is encrypted with the KMS key {key}: say with which key its clone shall be encrypted, "
            f"--kms-key KEY; {AWS_KEY} is the one that AWS manages"
        )
    found = {"Enabled": True, "SSEType": "KMS"}
    return {"SSESpecification": found if kms_key == AWS_KEY else found | {"KMSMasterKeyId": kms_key}}
