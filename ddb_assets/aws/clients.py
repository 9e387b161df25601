"""AWS clients, configured in one place.

boto3 finds Region, profile, credentials and AWS_ENDPOINT_URL. This module adds a role to assume and the Region in a table's
ARN. The stages make the calls; files go through `storage.py`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError

from ddb_assets.aws.errors import explained, only_aws_answers
from ddb_assets.aws.retries import try_again
from ddb_assets.aws.s3_requests import S3Count
from ddb_assets.aws.service_models import boto3_session
from ddb_assets.aws.storage import Storage
from ddb_assets.settings import ROLE, SettingError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

CLIENT = Config(
    retries={"mode": "standard", "total_max_attempts": 1},  # `retries.py` tries again
    max_pool_connections=32,  # data files are read and parts written by several threads of one client
)


class AWS:
    """Clients for DynamoDB, S3 and other services. Each is made once: that takes as long as several requests, and its
    connections stay open.

    boto3 finds what is not given; without `role_arn` the setting counts. The methods raise SettingError for what is missing.
    """

    def __init__(self, region: str = "", profile: str = "", endpoint: str = "", role_arn: str = "") -> None:
        self.region, self.profile, self.endpoint, self.role_arn = region, profile, endpoint, role_arn
        self.s3_count = S3Count()
        self._session: boto3.Session | None = None
        self._made: dict[tuple[str, str | None, Config], Any] = {}

    def dynamodb(self, table: str = "", config: Config = CLIENT) -> "DynamoDBClient":
        """A client for the Region of this table's ARN, or for the configured one when it is a name."""
        client: DynamoDBClient = self._client("dynamodb", _region_of(table), config)
        return client

    def s3(self) -> "S3Client":
        """The client for S3."""
        client: S3Client = self._client("s3")
        return client

    def kinesis(self, stream: str = "", config: Config = CLIENT) -> Any:
        """A client for the Region of this stream's ARN, or for the configured one when it is a name."""
        return self._client("kinesis", _region_of(stream), config)

    def dynamodb_streams(self, stream: str, config: Config = CLIENT) -> Any:
        """A client of DynamoDB Streams for the Region of this stream's ARN."""
        return self._client("dynamodbstreams", _region_of(stream), config)

    def logs(self) -> Any:
        """A client for CloudWatch Logs."""
        return self._client("logs")

    def glue(self) -> Any:
        """A client for Glue: its Data Catalog and its jobs."""
        return self._client("glue")

    def sns(self, topic: str) -> Any:
        """A client of SNS for the Region of this topic's ARN."""
        return self._client("sns", _region_of(topic))

    def cloudwatch(self) -> Any:
        """A client for the metrics of CloudWatch."""
        return self._client("cloudwatch")

    def sqs(self) -> Any:
        """A client for SQS."""
        return self._client("sqs")

    def emr_serverless(self) -> Any:
        """A client for EMR Serverless."""
        return self._client("emr-serverless")

    @property
    def job_region(self) -> str:
        """The Region that calls without an ARN go to."""
        return str(self.s3().meta.region_name)

    def secret(self, name: str) -> str:
        """The text of a secret of Secrets Manager, by its name or ARN. Raises AwsError when it cannot be read."""
        client = self._client("secretsmanager")
        with explained("secretsmanager:GetSecretValue", f"secret {name!r}"):
            found = client.get_secret_value(SecretId=name)
            if "SecretBinary" not in found:
                return str(found["SecretString"])
        raise SettingError(f"secret {name!r} of Secrets Manager is binary: store it as text")

    def access_keys(self) -> dict[str, str]:
        """Access key, secret key and session token, by the names that redshift_connector has for them."""
        with _explained():
            found = self._boto3().get_credentials()
        if found is None:
            raise SettingError("there are no AWS credentials: set AWS_PROFILE or the variables of an access key")
        with explained("sts:AssumeRole", self.role_arn or "the configured role"):
            frozen = found.get_frozen_credentials()
        given = {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "session_token": frozen.token,
        }
        return {name: value for name, value in given.items() if value}

    def storage(self) -> Storage:
        """Files on S3 and in local folders."""
        return Storage(self.s3())

    def _client(self, service: Any, region: str | None = None, config: Config = CLIENT) -> Any:
        found = self._made.get((service, region, config))
        if found is None:
            found = self._made[service, region, config] = self._new(service, region, config)
        return found

    def _new(self, service: Any, region: str | None, config: Config) -> Any:
        with _explained():
            client = self._boto3().client(
                service, region_name=region, endpoint_url=self.endpoint or None, config=config
            )
        if config is CLIENT:
            try_again(client)
        return client

    def _boto3(self) -> boto3.Session:
        if self._session is None:
            core = botocore.session.Session(profile=self.profile or None)
            only_aws_answers(core.get_component("event_emitter"))
            self.s3_count.listen(core.get_component("event_emitter"))
            if self.region:
                core.set_config_variable("region", self.region)
            if role := self.role_arn or os.environ.get(ROLE, ""):
                resolver = core.get_component("credential_provider")
                resolver.providers.insert(0, _AssumedRole(core, role, self.endpoint))
            self._session = boto3_session(core)
        return self._session


def _region_of(named: str) -> str | None:
    """The Region in an ARN; None for a name."""
    return named.split(":")[3] if named.startswith("arn:") else None


class _AssumedRole:
    """A credential provider for botocore: a role's credentials, fetched when needed and again before they expire."""

    METHOD = CANONICAL_NAME = "ddb-assets-role"

    def __init__(self, core: botocore.session.Session, role_arn: str, endpoint: str) -> None:
        self._core, self._role_arn, self._endpoint = core, role_arn, endpoint

    def load(self) -> DeferredRefreshableCredentials:
        own = botocore.session.Session(profile=self._core.profile)
        region = self._core.get_config_variable("region")
        fetcher = AssumeRoleCredentialFetcher(
            client_creator=partial(own.create_client, region_name=region, endpoint_url=self._endpoint or None),
            source_credentials=own.get_credentials(),
            role_arn=self._role_arn,
            extra_args={"RoleSessionName": "ddb-assets"},
        )
        return DeferredRefreshableCredentials(method=self.METHOD, refresh_using=fetcher.fetch_credentials)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except BotoCoreError as error:
        raise SettingError(
            f"AWS access is not set up: {error} (Region: AWS_DEFAULT_REGION, profile: AWS_PROFILE)"
        ) from error
