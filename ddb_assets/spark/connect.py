"""How the driver and the tasks of a Spark job reach S3."""

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage


def from_environment() -> Storage:
    """A Storage by this machine's AWS settings: on a cluster, those of the job's role. Local files work as well."""
    return AWS().storage()
