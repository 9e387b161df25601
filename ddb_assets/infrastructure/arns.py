"""The ARNs of what policies allow, as CloudFormation's Fn::Sub takes them.

A name of ours is part of a pattern there, so a name with `*`, `?` or `${` would allow more than it says. It is refused.
"""

from ddb_assets.infrastructure.errors import InfrastructureError

HERE = "${AWS::Region}:${AWS::AccountId}"
ARN = "arn:${AWS::Partition}"


def literal(text: str) -> str:
    """The text, if it means itself in a policy. Raises InfrastructureError."""
    if found := next((sign for sign in ("*", "?", "${") if sign in text), None):
        raise InfrastructureError(
            f"{text!r} has {found!r}, which a policy would read as a pattern: rename it, or write the policies by hand"
        )
    return text


def table_arn(table: str, region: str = "") -> str:
    """The ARN of a table that is given by its name or ARN; in this Region of the stack's account, by default the stack's."""
    return _arn("dynamodb", table, "table", region)


def stream_arn(stream: str) -> str:
    """The ARN of a Kinesis stream that is given by its name or ARN."""
    return _arn("kinesis", stream, "stream")


def secret_arn(secret: str) -> str:
    """The ARN of a secret. A name gets the six characters that Secrets Manager adds to it."""
    if literal(secret).startswith("arn:"):
        return secret
    return f"{ARN}:secretsmanager:{HERE}:secret:{secret}-??????"


def redshift_arn(place: str) -> str:
    """The ARN of a cluster, or of a user or database of one: `cluster:main`, `dbuser:main/loader`."""
    return f"{ARN}:redshift:{HERE}:{literal(place)}"


def bucket_arn(bucket: str) -> str:
    """The ARN of a bucket."""
    return f"{ARN}:s3:::{literal(bucket)}"


def objects_arn(bucket: str, key: str) -> str:
    """The ARN of all objects whose keys begin so."""
    return f"{bucket_arn(bucket)}/{literal(key)}*"


def objects_at(uri: str) -> str | None:
    """The ARN of the objects at an S3 URI; the text before a `*` of a glob counts. None for a place that is not on S3."""
    if not uri.startswith("s3://"):
        return None
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return objects_arn(bucket, key.partition("*")[0].partition("?")[0].partition("[")[0])


def bucket_at(uri: str) -> str | None:
    """The ARN of the bucket of an S3 URI; None for a place that is not on S3."""
    return bucket_arn(uri.removeprefix("s3://").partition("/")[0]) if uri.startswith("s3://") else None


def _arn(service: str, named: str, kind: str, region: str = "") -> str:
    if literal(named).startswith("arn:"):
        return named
    home = f"{region}:${{AWS::AccountId}}" if region else HERE
    return f"{ARN}:{service}:{home}:{kind}/{named}"
