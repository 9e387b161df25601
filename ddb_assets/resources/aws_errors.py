"""Says in our words what AWS, or the way to it, refused.

`explained` wraps one API call and turns botocore's exceptions into `AwsError`. Meanings that only one caller knows,
such as a table without point-in-time recovery, are that caller's to say; S3's answers are `storage.py`'s.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from ddb_assets.errors import DdbAssetsError

_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
_BAD_LOGIN = {"ExpiredToken", "ExpiredTokenException", "InvalidSignatureException", "UnrecognizedClientException"}
_BUSY = {"ThrottlingException", "Throttling", "RequestLimitExceeded", "ProvisionedThroughputExceededException"}


class AwsError(DdbAssetsError):
    """AWS refused a call; `code` is its error code, or None when no answer came."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class AwsUnavailableError(AwsError):
    """AWS was out of reach, busy or failing by itself: the same call may work a moment later."""


@contextmanager
def explained(action: str, subject: str) -> Iterator[None]:
    """Around the call that IAM calls `action` (`dynamodb:ListExports`), on `subject` (a table or an ARN)."""
    try:
        yield
    except ClientError as error:
        raise _answered(action, subject, error) from error
    except (NoConnectionError, HTTPClientError) as error:
        raise AwsUnavailableError(f"{action} on {subject}: AWS cannot be reached: {error}") from error
    except BotoCoreError as error:
        raise AwsError(f"{action} on {subject}: {error}; check the AWS credentials and the Region") from error


def _answered(action: str, subject: str, error: ClientError) -> AwsError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    message = str(error.response.get("Error", {}).get("Message", ""))
    if code in _DENIED:
        return AwsError(f"AWS refuses {action} on {subject}: allow this action in IAM ({message})", code)
    if code in _BAD_LOGIN:
        return AwsError(f"AWS does not accept the credentials ({code}) for {action} on {subject}: log in again", code)
    if code in _BUSY or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
        return AwsUnavailableError(f"{action} on {subject}: AWS is busy ({code}: {message}); try again later", code)
    if code in {"ResourceNotFoundException", "TableNotFoundException"}:
        return AwsError(f"{action}: there is no {subject} in this account and Region ({message})", code)
    return AwsError(f"{action} on {subject}: {code}: {message}", code)
