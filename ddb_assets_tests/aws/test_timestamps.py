"""Times in answers are those that botocore reads."""

from datetime import UTC
from typing import Any

import botocore.session
import pytest
from botocore.utils import parse_timestamp
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.aws.service_models import boto3_session
from ddb_assets.aws.timestamps import HEADER, read_timestamp
from ddb_assets.microseconds import from_micros

FORMS = (HEADER, "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y%m%dT%H%M%SZ", "%Y-%m-%dT%H:%M:%S+00:00")


@given(micros=st.integers(10**12, 4 * 10**15), form=st.sampled_from(FORMS))
def test_texts_are_read_as_by_botocore(micros: int, form: str) -> None:
    text = from_micros(micros).strftime(form)
    assert read_timestamp(text) == parse_timestamp(text)
    assert read_timestamp(text).utcoffset() == parse_timestamp(text).utcoffset()


@pytest.mark.parametrize(
    "value", [1695056400, 1695056400.25, "1695056400", "2024-05-14T11:14:20+02:00", "Tue, 14 May 2024 11:14:20 +0200"]
)
def test_all_else_is_read_by_botocore(value: Any) -> None:
    assert read_timestamp(value) == parse_timestamp(value)


def test_what_is_no_time_is_refused_as_by_botocore() -> None:
    for text in ("Tue, 14 May 2024 GMT or so GMT", "Today it isZ"):
        with pytest.raises(ValueError, match="Invalid timestamp"):
            read_timestamp(text)


def test_every_session_reads_times_so() -> None:
    core = botocore.session.Session()
    boto3_session(core)
    parser: Any = core.get_component("response_parser_factory").create_parser("rest-xml")
    assert parser._timestamp_parser is read_timestamp
    assert read_timestamp("2024-05-14T11:14:20Z").tzinfo == UTC
