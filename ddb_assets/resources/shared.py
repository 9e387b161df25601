"""The resources that come with the components, under names that no other project has.

Dagster refuses two resources of one name unless they are the same object, and each component brings them along. So there
is one of each in a process.
"""

from collections.abc import Mapping

from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.iceberg import IcebergTarget
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget

LAKE, WAREHOUSE = Lake(), WarehouseTarget()
"""As the settings have them, for definitions too: a resource takes a hundred times longer to make than to ask."""
RESOURCES: Mapping[str, object] = {
    "ddb_aws": AWSResource(),
    "ddb_iceberg": IcebergTarget(),
    "ddb_lake": LAKE,
    "ddb_warehouse": WAREHOUSE,
}
