"""Turns refusals of AWS, and of the network before it, into our own errors.

`explained` wraps one API call and turns botocore's exceptions into `AwsError`. A caller that knows more, such as a missing
point-in-time recovery, says so itself. `s3_files.py` explains S3's answers and asks `remedy` for what all services have in
common. `only_aws_answers` refuses the web pages of proxies.
Facts: error codes in the S3 API Reference, "Common errors" of the other services; each has its own name for the same.
DynamoDB API reference, "Error handling" (LimitExceededException may be tried again).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.parsers import ResponseParserError

from ddb_assets.errors import DdbAssetsError, RetryableError

Meaning = Literal[
    "throttled", "failing", "expired", "clock", "unknown key", "wrong secret", "denied", "missing", "invalid"
]
"""What a refusal means. `throttled` and `failing` pass by themselves; `invalid`: AWS refuses what the request says."""
_CODES: dict[Meaning, tuple[str, ...]] = {
    "throttled": (
        *("ThrottlingException", "Throttling", "RequestLimitExceeded", "ProvisionedThroughputExceededException"),
        *("LimitExceededException", "KMSThrottlingException", "SlowDown", "TooManyRequestsException"),
        *("ThrottledException", "RequestThrottled", "RequestThrottledException", "BandwidthLimitExceeded"),
    ),
    "failing": (
        *("InternalError", "InternalServerError", "ServiceUnavailable", "RequestTimeout", "RequestTimeoutException"),
        *("ReplicatedWriteConflictException", "TransactionConflictException"),
    ),
    "expired": ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"),
    "clock": ("RequestTimeTooSkewed", "RequestInTheFuture"),
    "unknown key": ("InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidToken"),
    "wrong secret": ("SignatureDoesNotMatch", "InvalidSignatureException"),
    "denied": ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation"),
    "missing": ("ResourceNotFoundException", "TableNotFoundException"),
    "invalid": ("ValidationException", "ItemCollectionSizeLimitExceededException", "SerializationException"),
}
_MEANINGS = {code: meaning for meaning, codes in _CODES.items() for code in codes}
_SKEWED = re.compile(r"Signature expired|Signature not yet current|time.*too (large|skewed)", re.IGNORECASE)
_KMS = re.compile(r"\bkms:\w+|^KMS\.", re.IGNORECASE)
ODD_ANSWER = "does not come from AWS: look for a proxy on the way, and check AWS_ENDPOINT_URL"


class AwsError(DdbAssetsError):
    """AWS refused a call; `code` is its error code, or None when no answer came."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class AwsUnavailableError(AwsError, RetryableError):
    """AWS was out of reach, busy or failing by itself: the same call may work a moment later."""


class WebPageError(BotoCoreError):
    """The answer is not from AWS."""

    fmt = "the answer (HTTP {status}) is a web page, not from AWS: look for a proxy or a login page on the way"


UNREACHABLE = (NoConnectionError, HTTPClientError, WebPageError)
"""No answer came, or one of another server: the same request may work a moment later."""


def only_aws_answers(events: Any) -> None:
    """Makes a client (or session) raise WebPageError where botocore would read a proxy's page as an empty answer."""
    events.register("after-call", _refuse_web_page, unique_id="ddb-assets-web-page")


def _refuse_web_page(http_response: Any, **_: object) -> None:
    headers = {name.lower(): value for name, value in http_response.headers.items()}
    by_aws = headers.keys() & {"x-amz-request-id", "x-amzn-requestid", "x-amz-id-2"}
    if "text/html" in headers.get("content-type", "") and not by_aws:
        raise WebPageError(status=http_response.status_code)


def code_and_message(error: ClientError) -> tuple[str, str]:
    """AWS's code and what it says."""
    found = error.response.get("Error", {})
    return str(found.get("Code", "")), str(found.get("Message", ""))


def meaning(code: str | None, status: int = 0) -> Meaning | None:
    """What AWS means by this code. With an unknown code and an HTTP status of 500 or more, AWS is failing."""
    return _MEANINGS.get(code or "") or ("failing" if status >= 500 else None)


def http_status(error: ClientError) -> int:
    """The answer's HTTP status; 0 when it is not known."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def remedy(code: str, message: str) -> str | None:
    """What to do about a refusal that is common to all services; None for others."""
    meant = meaning(code)
    if meant == "expired":
        return "the AWS credentials have expired: log in again"
    if meant == "clock" or (meant == "wrong secret" and _SKEWED.search(message)):
        return "this machine's clock is wrong: set it, AWS refuses requests that are 15 minutes off"
    if meant == "unknown key":
        return (
            "AWS does not know this access key or session token: check AWS_ACCESS_KEY_ID, AWS_SESSION_TOKEN or the "
            "profile, or log in again"
        )
    if meant == "wrong secret":
        return "the secret key does not belong to the access key: check AWS_SECRET_ACCESS_KEY or the profile"
    if meant == "denied" and "sts:AssumeRole" in message:
        return "let these credentials assume the role: allow sts:AssumeRole in IAM and in the role's trust policy"
    if found := _KMS.search(f"{code} {message}" if code.startswith("KMS.") else message):
        if meant == "denied":
            return f"allow {found[0]} with the key that encrypts it, in IAM and in the key's own policy"
        return "look at the KMS key that encrypts it: it must exist, be enabled and be in the same Region"
    return None


@contextmanager
def explained(action: str, subject: str) -> Iterator[None]:
    """Around the call that IAM calls `action` (`dynamodb:ListExports`), on `subject` (a table or an ARN).

    Put only the call and the reading of its answer into the block: an answer that cannot be read is not from AWS.
    """
    try:
        yield
    except ClientError as error:
        raise _answered(action, subject, error) from error
    except UNREACHABLE as error:
        raise AwsUnavailableError(f"{action} on {subject}: AWS cannot be reached: {error}") from error
    except BotoCoreError as error:
        raise AwsError(f"{action} on {subject}: {error}; check the AWS credentials and the Region") from error
    except (ResponseParserError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise AwsUnavailableError(f"{action} on {subject}: the answer {ODD_ANSWER} ({error!r})") from error


def _answered(action: str, subject: str, error: ClientError) -> AwsError:
    code, message = code_and_message(error)
    if advice := remedy(code, message):
        return AwsError(f"AWS refuses {action} on {subject}: {advice} ({code}: {message})", code)
    meant = meaning(code, http_status(error))
    if meant == "denied":
        return AwsError(f"AWS refuses {action} on {subject}: allow this action in IAM ({message})", code)
    if meant in ("throttled", "failing"):
        return AwsUnavailableError(f"{action} on {subject}: AWS is busy ({code}: {message}); try again later", code)
    if meant == "missing":
        return AwsError(f"{action}: there is no {subject} in this account and Region ({message})", code)
    return AwsError(f"{action} on {subject}: {code}: {message}", code)
