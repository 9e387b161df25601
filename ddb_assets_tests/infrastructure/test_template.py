"""The template of any project: it can be deployed, it is closed to the public, and it keeps the data."""

import graphlib
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from hypothesis import HealthCheck, Phase, example, given, settings

from ddb_assets.alerts.metrics.data import Datum
from ddb_assets.contract.metrics import NAMESPACE, UNITS, Metric
from ddb_assets.contract.table import Table
from ddb_assets.infrastructure.document import plain, yaml_text
from ddb_assets.infrastructure.errors import InfrastructureError
from ddb_assets.infrastructure.resources import KEPT, logical
from ddb_assets.infrastructure.statement import LONGEST, MAX_CHARACTERS, WITHOUT_RESOURCE, filled_in
from ddb_assets.infrastructure.storage import REPLACED_DAYS
from ddb_assets.infrastructure.template import template
from ddb_assets.infrastructure.wanted import Catalog, DeclaredImport, Lake, Login, Options, OwnedTable, Wanted
from ddb_assets_tests.infrastructure.read_template import listed, read, statements, targets
from ddb_assets_tests.infrastructure.wanted import projects

DATA = {
    "AWS::S3::Bucket": "BucketName",
    "AWS::KMS::Key": "",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::Kinesis::Stream": "Name",
    "AWS::RedshiftServerless::Namespace": "NamespaceName",
    "AWS::Glue::Database": "DatabaseName",
}
"""What has data, or without which data cannot be read, and the property that identifies it."""
NAMED = (
    "BucketName",
    "QueueName",
    "RoleName",
    "ManagedPolicyName",
    "AlarmName",
    "TopicName",
    "TableName",
    "AliasName",
    "Name",
)
NEWER = ("startbulkputitems", "describebulkoperation", "listbulkoperations")
"""Actions that cfn-lint does not know yet."""
LAKE = Lake("lake-bucket", "dynamodb")


def findings(text: str) -> list[str]:
    """What cfn-lint finds in a template, with its advice. I4010 is about descriptions for machines."""
    told = ManualArgs(regions=["us-east-1", "eu-west-1"], include_checks=["I"], ignore_checks=["I4010"])
    found = [f"{one.rule.id}: {one.message}"[:200] for one in lint(text, config=told)]
    return [one for one in found if not any(f"'{action}' is not one of" in one for action in NEWER)]


@pytest.mark.slow
@settings(
    max_examples=3, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)  # it is slow to shrink
@given(projects())
@example(Wanted(LAKE, [Table.model_validate({"table": name, "engine": name}) for name in ("glue", "emr_serverless")]))
@example(Wanted(LAKE, [], options=Options("x-1", redshift=True, budget=True)))
def test_cfn_lint_finds_nothing(wanted: Wanted) -> None:
    assert findings(yaml_text(template(wanted))) == []


@settings(max_examples=25)
@given(projects())
def test_a_template_of_any_project(wanted: Wanted) -> None:
    made = template(wanted)
    text = yaml_text(made)
    found = read(text)
    assert found == json.loads(json.dumps(plain(made)))
    assert text == yaml_text(template(wanted))
    _refers_to_what_is_there(found)
    _allows_no_more_than_it_names(found)
    _is_closed_to_the_public(found, wanted)
    _keeps_the_data(found)
    _has_names_of_its_own(found)
    _fits_the_quotas(found)
    _looks_at_what_is_sent(found, wanted)


def _looks_at_what_is_sent(found: Any, wanted: Wanted) -> None:
    """The alarms on our own metrics look at what the sensor sends: a wrong name would never go off."""
    alarms = [one["Properties"] for one in found["Resources"].values() if one["Type"] == "AWS::CloudWatch::Alarm"]
    own = [one for one in alarms if one["Namespace"] == NAMESPACE]
    for table in wanted.tables:
        age: Metric = "StreamLagMillis" if table.source == "stream" else "WindowAgeSeconds"
        for metric in UNITS:
            sent = Datum(metric, table.name, 1.0, datetime.now(UTC)).document(wanted.warehouse)
            of = [one for one in own if (one["MetricName"], one["Dimensions"]) == (metric, sent["Dimensions"])]
            alarming = metric in {age, "LoadFailures", "RowsQuarantined", "UnexplainedRows"}
            assert len(of) == (alarming and metric in wanted.options.metrics)
            for one in of:
                assert one["Statistic"] == "Maximum", "which a datum that comes twice does not change"
                assert one["TreatMissingData"] == ("breaching" if metric == age else "notBreaching")
                own.remove(one)
    assert own == []


def _refers_to_what_is_there(found: Any) -> None:
    resources, parameters = found["Resources"], found["Parameters"]
    assert targets(found) <= {*resources, *parameters}
    assert set(parameters) <= targets(found)
    assert {one["Condition"] for one in resources.values() if "Condition" in one} <= set(found["Conditions"])
    needs = {
        name: {*(targets(one) & {*resources}), *listed(one.get("DependsOn", []))} for name, one in resources.items()
    }
    order = [*graphlib.TopologicalSorter(needs).static_order()]
    assert len(order) == len(resources)
    if "Lake" in resources:
        assert order.index("ExportEventsPolicy") < order.index("Lake")


def _allows_no_more_than_it_names(found: Any) -> None:
    for name, statement in statements(found):
        actions, places = listed(statement["Action"]), listed(statement.get("Resource", []))
        if statement["Effect"] == "Deny":
            assert statement["Condition"]
            continue
        assert statement.get("Principal") != "*"
        assert not [action for action in actions if "*" in action or ":" not in action], name
        if "*" in places and name != "LakeKey":  # in the policy of a key it means this key
            assert set(actions) <= set(WITHOUT_RESOURCE), name
        if "cloudwatch:PutMetricData" in actions:
            assert statement["Condition"] == {"StringEquals": {"cloudwatch:namespace": NAMESPACE}}


def _is_closed_to_the_public(found: Any, wanted: Wanted) -> None:
    of_type: dict[str, list[Any]] = {}
    for one in found["Resources"].values():
        of_type.setdefault(one["Type"], []).append(one["Properties"])
    assert len(of_type.get("AWS::S3::Bucket", [])) == (not wanted.options.existing_bucket)
    for bucket in of_type.get("AWS::S3::Bucket", []):
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
        (told,) = bucket["NotificationConfiguration"]["QueueConfigurations"]
        assert told["Filter"]["S3Key"]["Rules"][0]["Value"] == f"{wanted.lake.key('exports')}AWSDynamoDB/"
    for queue in of_type["AWS::SQS::Queue"]:
        assert queue["SqsManagedSseEnabled"]
    for stream in of_type.get("AWS::Kinesis::Stream", []):
        assert stream["StreamEncryption"]["EncryptionType"] == "KMS"
    for workgroup in of_type.get("AWS::RedshiftServerless::Workgroup", []):
        assert workgroup["PubliclyAccessible"] is False
    for table in of_type.get("AWS::DynamoDB::Table", []):
        assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
        assert table["DeletionProtectionEnabled"]


def _keeps_the_data(found: Any) -> None:
    """What a stack leaves behind has a name that is a text, by which CloudFormation can import it again; a key has none."""
    for one in found["Resources"].values():
        kept = (one.get("DeletionPolicy"), one.get("UpdateReplacePolicy"))
        assert (kept == (KEPT, "Retain")) == (one["Type"] in DATA)
        if one["Type"] in DATA and DATA[one["Type"]]:
            assert isinstance(one["Properties"][DATA[one["Type"]]], str)
        for rule in one["Properties"].get("LifecycleConfiguration", {}).get("Rules", []):
            # only retention knows what is loaded and not needed; what it deletes is an old version then, in any folder
            assert (
                not {"Expiration", "ExpirationInDays", "ExpirationDate", "Transitions", "Prefix", "TagFilters"}
                & rule.keys()
            )
            assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": REPLACED_DAYS}
            assert rule["ExpiredObjectDeleteMarker"] is True


def _has_names_of_its_own(found: Any) -> None:
    for kind in {one["Type"] for one in found["Resources"].values()}:
        properties = [one["Properties"] for one in found["Resources"].values() if one["Type"] == kind]
        for name in NAMED:
            names = [one[name] for one in properties if name in one]
            assert len(set(names)) == len(names)


def _fits_the_quotas(found: Any) -> None:
    for one in found["Resources"].values():
        if one["Type"] == "AWS::IAM::ManagedPolicy":
            document = json.dumps(one["Properties"]["PolicyDocument"], separators=(",", ":"))
            assert len(filled_in(re.sub(r'\{"Fn::Sub":("[^"]*")\}', r"\1", document), LONGEST)) <= MAX_CHARACTERS
        if one["Type"] == "AWS::IAM::Role":
            assert 1 <= len(one["Properties"]["ManagedPolicyArns"]) <= 10
            assert len(one["Properties"]["RoleName"]) <= 64


def test_the_page_says_when_what_retention_deletes_is_gone_for_good(pytestconfig: pytest.Config) -> None:
    page = (pytestconfig.rootpath / "docs/retention.md").read_text()
    assert f"the template deletes old versions after {REPLACED_DAYS} days" in " ".join(page.split())


def test_a_finding_of_cfn_lint_would_be_seen() -> None:
    text = yaml_text(template(Wanted(LAKE, [Table(table="Orders")])))
    assert findings(text.replace("QueueName:", "QueuName:"))


def test_a_hundred_tables_get_several_policies_and_a_thousand_are_refused() -> None:
    tables = [Table(table=f"a-table-with-a-long-name-{number:04}") for number in range(1000)]
    found = read(yaml_text(template(Wanted(LAKE, tables[:100]))))
    assert len(found["Resources"]["RoleExport"]["Properties"]["ManagedPolicyArns"]) > 1
    _fits_the_quotas(found)
    named = {
        place["Fn::Sub"].rpartition("/")[2]
        for name, statement in statements(found)
        if name.startswith("PolicyExport") and "dynamodb:ExportTableToPointInTime" in statement["Action"]
        for place in statement["Resource"]
    }
    assert named == {table.table for table in tables[:100]}
    with pytest.raises(InfrastructureError, match="divide the tables among several projects"):
        template(Wanted(LAKE, tables))
    with pytest.raises(InfrastructureError, match=r"500: divide the tables among .*, or name fewer metrics"):
        template(Wanted(LAKE, tables[:200], options=Options(metrics=tuple(UNITS))))


ELSEWHERE = "arn:aws:iam::123456789012:role/jobs"


@pytest.mark.parametrize(
    ("engine", "made", "trusted"),
    [
        ("in_process", set(), None),
        ("local[2]", set(), None),
        ("glue", {"FlattenJob", "RoleJob"}, ["glue.amazonaws.com"]),
        ({"name": "glue", "job": "theirs"}, set(), None),
        ("emr_serverless", {"JobApplication", "RoleJob"}, ["emr-serverless.amazonaws.com"]),
        ({"name": "emr_serverless", "role": ELSEWHERE}, {"JobApplication"}, None),
        ({"name": "emr_serverless", "application": "00f1"}, {"RoleJob"}, ["emr-serverless.amazonaws.com"]),
        ({"name": "emr_serverless", "application": "00f1", "role": ELSEWHERE}, set(), None),
    ],
)
def test_what_runs_jobs_is_made_for_tables_that_name_no_other(engine: Any, made: set[str], trusted: Any) -> None:
    tables = [Table.model_validate({"table": "Orders", "engine": engine}), Table(table="Others")]
    found = read(yaml_text(template(Wanted(LAKE, tables))))
    assert found["Resources"].keys() & {"FlattenJob", "JobApplication", "RoleJob"} == made
    assert found["Outputs"].keys() & {"GlueJobName", "EmrApplicationId", "RoleJobArn"} == {
        {"FlattenJob": "GlueJobName", "JobApplication": "EmrApplicationId", "RoleJob": "RoleJobArn"}[one]
        for one in made
    }
    if trusted:
        (trust,) = found["Resources"]["RoleJob"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": trusted}
        written = {
            str(place)
            for name, statement in statements(found)
            if name.startswith("PolicyJob") and "s3:PutObject" in listed(statement["Action"])
            for place in listed(statement["Resource"])
        }
        assert len(written) == 2
        assert all("/parquet/orders/" in place or "/jobs/messages/" in place for place in written)


def test_ids_of_resources_stay_apart_and_stay_the_same() -> None:
    names = ["Orders", "a-b", "ab", "a.b", "A-b", "aB"]
    ids = [logical("Table", name) for name in names]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9]+", one) for one in ids)
    assert logical("Table", "Orders") == "TableOrders"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (lambda: Lake("My_Bucket"), "'My_Bucket' cannot be the name of a bucket"),
        (lambda: Wanted(LAKE, options=Options("Ddb")), "'Ddb' cannot be the name of the stack's resources"),
        (lambda: Wanted(LAKE, options=Options("x1")), "'x1' cannot be the name of the stack's resources: 3 to 31"),
        (
            lambda: Wanted(LAKE, [Table(table="Orders")], options=Options(own_tables=(OwnedTable("Order", ()),))),
            "no YAML of the project names the table 'Order'",
        ),
        (
            lambda: Wanted(LAKE, [Table(table="O")], options=Options(own_tables=(OwnedTable("O", ()),) * 2)),
            "a table is to be owned twice: O, O",
        ),
        (
            lambda: Wanted(LAKE, login=Login(secret="s"), options=Options(redshift=True)),
            "names one that exists: leave one of the two out",
        ),
        (
            lambda: Wanted(LAKE, store=Catalog("glue", "shop", "s3://b/t"), options=Options(redshift=True)),
            "names one that exists: leave one of the two out",
        ),
        (lambda: Lake("lake-bucket", "a*b"), "'a[*]b' has '[*]', which a policy would read as a pattern"),
        (
            lambda: template(Wanted(LAKE, imports=[DeclaredImport("i", "${T}", "/files")])),
            r"'\$\{T\}' has '\$\{', which a policy",
        ),
        (
            lambda: template(
                Wanted(
                    LAKE,
                    [Table.model_validate({"table": "Orders", "stream": "changes"})],
                    options=Options(own_tables=(OwnedTable("Orders", (("pk", "S"),)),)),
                )
            ),
            "writes to the stream 'changes', which it neither owns nor knows by its ARN: give --own-streams",
        ),
    ],
)
def test_what_cannot_be_made_is_refused(wanted: Any, said: str) -> None:
    with pytest.raises(InfrastructureError, match=said):
        wanted()
