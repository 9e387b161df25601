"""Exports that DynamoDB did not make, or describes differently from their manifest, are never loaded."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.errors import AwsError, AwsUnavailableError
from ddb_assets.contract.table import Table
from ddb_assets.exports.follow import describe
from ddb_assets.exports.manifest import read_export
from ddb_assets.exports.trust import UntrustedExportError, confirm, differences
from ddb_assets.sandbox import demo, export_api
from ddb_assets.windows import tick
from ddb_assets_tests.support.window_chain import (
    ORDERS,
    Chain,
    Ticks,
    asset,
    checks,
    hours_ago,
    key_of,
    materializations,
)

pytestmark = pytest.mark.loaded_initially


def forged(chain: Chain) -> tuple[str, dict[str, bytes]]:
    """A copy of a real export under an id that DynamoDB never assigned, with the real ARN and id of the table."""
    real = chain.export(hours_ago(5))
    other = real.id[:-8] + ("0" * 8 if real.id[-8:] != "0" * 8 else "1" * 8)
    objects = {
        key.replace(real.id, other): body.replace(real.id.encode(), other.encode())
        for key, body in chain.objects(real).items()
        if not key.endswith(".md5")
    }
    chain.delete(*chain.objects(real))
    chain.put(objects)
    return other, objects


def test_a_forged_export_with_the_real_arn_fails_the_check_and_is_not_loaded(chain: Chain, ticks: Ticks) -> None:
    export_id, objects = forged(chain)
    result = ticks.tick()
    assert checks(result) == [(key_of(hours_ago(5)), False)]
    assert not materializations(result)
    assert not result.run_requests
    summary = next(key for key in objects if key.endswith("summary.json"))
    export = read_export(AWS().storage(), f"s3://{demo.BUCKET}/{summary}")
    assert export.id == export_id
    with pytest.raises(UntrustedExportError, match="which DynamoDB does not know"):
        confirm(chain.sandbox.dynamodb(), ORDERS, export)
    confirm(chain.sandbox.dynamodb(), Table(table="Orders", trust="lake"), export)


def test_a_manifest_that_was_changed_is_not_believed(chain: Chain, ticks: Ticks) -> None:
    real = chain.export(hours_ago(5))
    summary = chain.summary_key(real)
    original = json.loads(chain.objects(real)[summary])
    chain.delete(summary.replace(".json", ".md5"))
    chain.put({summary: json.dumps(original | {"billedSizeBytes": original["billedSizeBytes"] + 1}).encode()})
    result = ticks.tick()
    assert checks(result) == [(key_of(hours_ago(5)), False)]
    assert not result.run_requests


def test_a_run_does_not_believe_a_manifest_that_was_changed_after_the_export(chain: Chain) -> None:
    window = hours_ago(5)
    real = chain.export(window)
    summary = chain.summary_key(real)
    original = json.loads(chain.objects(real)[summary])
    chain.delete(summary.replace(".json", ".md5"))
    chain.put({summary: json.dumps(original | {"tableId": "11111111-2222-3333-4444-555555555555"}).encode()})
    assert not chain.run("exports/orders_window_export", partitions=[key_of(window)]).success
    assert not chain.instance.get_materialized_partitions(asset("exports/orders_window_export"))


def test_an_export_with_a_filter_is_not_loaded(chain: Chain, ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest does not mention the filter, and a botocore before 1.43.106 drops it from DynamoDB's answer."""
    window = hours_ago(5)
    chain.export(window)
    described = export_api._description
    specification = {"FilterSpecification": {"FilterExpression": "attribute_exists(paid)"}}
    monkeypatch.setattr(export_api, "_description", lambda export: described(export) | specification)
    result = ticks.tick()
    assert checks(result) == [(key_of(window), False)]
    assert not result.run_requests
    assert not chain.run("exports/orders_window_export", partitions=[key_of(window)]).success
    assert not chain.materialized()


def test_every_member_is_compared(chain: Chain) -> None:
    real = chain.export(hours_ago(5))
    export = read_export(AWS().storage(), real.summary_uri)
    original: Any = describe(chain.sandbox.dynamodb(), real.arn)
    assert differences(export, original) == []
    for name, value in {
        "ExportStatus": "FAILED",
        "TableArn": "other",
        "TableId": "other",
        "S3Bucket": "other",
        "ExportManifest": "other",
        "ExportFormat": "ION",
        "ExportType": "FULL_EXPORT",
        "ItemCount": -1,
        "BilledSizeBytes": -1,
        "IncrementalExportSpecification": {},
        "FilterSpecification": {"FilterExpression": "a = :b"},
    }.items():
        assert differences(export, original | {name: value}), name
    assert differences(replace(export, to_time=hours_ago(4).end), original)


def test_an_old_export_is_not_forgotten_while_dynamodb_cannot_be_asked(
    chain: Chain, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = chain.export(hours_ago(5))
    monkeypatch.setattr(tick, "GIVEN_UP", timedelta(0))

    def refusing(error: AwsError) -> Callable[..., None]:
        def describe(*_: object) -> None:
            raise error

        return describe

    with monkeypatch.context() as patch:
        patch.setattr("ddb_assets.exports.trust.describe", refusing(AwsUnavailableError("AWS is busy")))
        for _ in range(2):
            result = ticks.tick()
            assert not result.asset_events
            assert "AWS is busy" in str(result.skip_reason)
    assert materializations(ticks.tick()) == [(key_of(hours_ago(5)), real.id)]
    other = chain.export(hours_ago(4))
    monkeypatch.setattr(
        "ddb_assets.exports.trust.describe", refusing(AwsError("AWS refuses it", "AccessDeniedException"))
    )
    (observation,) = ticks.tick().asset_events
    assert isinstance(observation, dg.AssetObservation)
    assert observation.metadata["export_id"].value == other.id
    assert "AWS refuses it" in str(observation.metadata["reason"].value)


def test_a_refusal_names_the_option(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    real = chain.export(hours_ago(5))
    export = read_export(AWS().storage(), real.summary_uri)

    def refused(*_: object) -> None:
        raise AwsError("AWS refuses dynamodb:DescribeExport", "AccessDeniedException")

    monkeypatch.setattr("ddb_assets.exports.trust.describe", refused)
    with pytest.raises(AwsError, match=re.escape("`trust: lake`")):
        confirm(chain.sandbox.dynamodb(), ORDERS, export)
