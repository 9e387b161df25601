"""Which exports an S3 event notification announces, in each of its forms, and which messages announce none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.exports.notifications import ids_of_notification

BUCKET, PREFIX, ID = "lake", "a b/exports/AWSDynamoDB", "01695097218000-d6299cbd"
KEY = f"{PREFIX}/{ID}/manifest-summary.json"


def s3(key: str = KEY, bucket: str = BUCKET) -> dict[str, Any]:
    """A notification as S3 sends it: keys are URL-encoded."""
    return {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}]}


def event_bridge(key: str = KEY, bucket: str = BUCKET) -> dict[str, Any]:
    """A notification as EventBridge sends it: keys are not encoded."""
    detail = {"bucket": {"name": bucket}, "object": {"key": key}}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def sns(message: dict[str, Any]) -> dict[str, Any]:
    return {"Type": "Notification", "Message": json.dumps(message)}


@pytest.mark.parametrize(
    "message",
    [s3(KEY.replace(" ", "+")), s3(KEY.replace(" ", "%20")), sns(s3(KEY.replace(" ", "+"))), event_bridge()],
    ids=["S3", "S3, percent-encoded", "S3 by SNS", "EventBridge"],
)
def test_every_form_announces_a_manifest(message: dict[str, Any]) -> None:
    assert ids_of_notification(json.dumps(message), BUCKET, PREFIX) == [ID]


@pytest.mark.parametrize("form", [s3, event_bridge])
@pytest.mark.parametrize(
    "key",
    [
        f"{PREFIX}/{ID}/manifest-files.json",
        f"{PREFIX}/{ID}/data/x.json.gz",
        f"{PREFIX}/data/manifest-summary.json",
        f"elsewhere/{ID}/manifest-summary.json",
        f"{PREFIX}/deeper/{ID}/manifest-summary.json",
    ],
)
def test_other_objects_are_not_exports(form: Any, key: str) -> None:
    assert ids_of_notification(json.dumps(form(key)), BUCKET, PREFIX) == []


@pytest.mark.parametrize("form", [s3, event_bridge])
def test_another_bucket_is_ignored(form: Any) -> None:
    assert ids_of_notification(json.dumps(form(bucket="another")), BUCKET, PREFIX) == []


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Records", "s3", "bucket", "name", "object", "key", "detail", "Message"]), inner
        )
    ),
)


@pytest.mark.slow
@given(st.text() | _json.map(json.dumps))
def test_other_messages_do_no_harm(body: str) -> None:
    assert ids_of_notification(body, BUCKET, PREFIX) == []
