"""The statements of streaming ingestion, word by word: no parser of Redshift's SQL knows them all."""

import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.column_type import SqlType
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.settings import RedshiftSettings
from ddb_assets.warehouse.redshift.streaming.records import StreamRecords
from ddb_assets.warehouse.redshift.streaming.typed import value

ROLE = "arn:aws:iam::123456789012:role/read"


def records(stream: str, more: str = "") -> StreamRecords:
    settings = RedshiftSettings.parse(f"redshift://u@host:5439/dev?schema=shop{more}")
    return StreamRecords(RedshiftEngine(settings, storage=Storage()), "shop", stream)


def test_the_external_schema_has_the_role_of_copy_and_the_region_of_an_arn() -> None:
    assert records("orders-cdc").external_schema().text == (
        'CREATE EXTERNAL SCHEMA "_ddb_kinesis__shop" FROM KINESIS IAM_ROLE default'
    )
    arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders-cdc"
    assert records(arn, f"&iam_role={ROLE}").external_schema().text == (
        f"CREATE EXTERNAL SCHEMA \"_ddb_kinesis__shop__eu_west_1\" FROM KINESIS REGION 'eu-west-1' IAM_ROLE '{ROLE}'"
    )


def test_the_view_keeps_each_record_and_is_not_refreshed_by_itself() -> None:
    assert records("Orders-CDC").created().text == (
        'CREATE MATERIALIZED VIEW "shop"."_ddb_records__orders_cdc" AUTO REFRESH NO AS SELECT approximate_arrival_timestamp, '
        "refresh_time, shard_id, sequence_number, CASE WHEN CAN_JSON_PARSE(kinesis_data) THEN JSON_PARSE(kinesis_data) END AS "
        "record, CASE WHEN NOT CAN_JSON_PARSE(kinesis_data) THEN kinesis_data END AS unparsed "
        'FROM "_ddb_kinesis__shop"."Orders-CDC"'
    )


def test_names_fit() -> None:
    assert len(records("x" * 128).view.name.encode()) <= 127


@pytest.mark.parametrize(
    ("kind", "accepts", "form"),
    [
        ("SUPER", ("L",), None),
        ("VARBYTE(64)", ("B",), None),
        ("BIGINT", ("S",), None),
        ("TIMESTAMPTZ", ("S",), None),
        ("TIMESTAMPTZ", ("N",), "ms"),
        ("TIMESTAMP", ("S",), "T.3Z"),
        ("DATE", ("S",), "T.3"),
    ],
)
def test_what_sql_does_not_type(kind: str, accepts: tuple[str, ...], form: str | None) -> None:
    assert value("x", accepts, form, SqlType.parse(kind)) is None
