"""The settings of AWS clients as a Dagster resource. The clients are `aws/clients.py`."""

import dagster as dg
from pydantic import Field, PrivateAttr

from ddb_assets.aws.clients import AWS
from ddb_assets.settings import ROLE


class AWSResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Clients for DynamoDB, S3 and other services; an empty field leaves the matter to boto3."""

    region: str = Field(
        default="", description="of the tables and the bucket; else AWS_DEFAULT_REGION or the profile's"
    )
    profile: str = Field(default="", description="profile of the AWS configuration; else AWS_PROFILE")
    endpoint: str = Field(default="", description="URL of a service other than AWS; else AWS_ENDPOINT_URL")
    role_arn: str = Field(default="", description=f"role to assume; else {ROLE}, else none")
    _clients: AWS | None = PrivateAttr(default=None)

    @property
    def clients(self) -> AWS:
        """The clients with these settings; they share one session."""
        if self._clients is None:
            self._clients = AWS(self.region, self.profile, self.endpoint, self.role_arn)
        return self._clients
