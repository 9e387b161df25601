"""The alarms of a stack on metrics that AWS publishes, the topic that all alarms go to, and a budget.

Facts: AgeOfOldestUnreplicatedRecord and its like have the dimensions TableName and DelegatedOperation (Amazon DynamoDB
Developer Guide, "Kinesis Data Streams metrics"). GetRecords.IteratorAgeMilliseconds is silent while nobody reads, so the alarm
takes silence for a breach. The metrics of a table or stream that is named by its ARN are elsewhere, with its account.
"""

from collections.abc import Iterator
from typing import Any

from ddb_assets.infrastructure.document import Function, attribute, ref
from ddb_assets.infrastructure.metric_alarms import above, metric_alarms
from ddb_assets.infrastructure.resources import Resources, grant, logical, policy, resource, tags
from ddb_assets.infrastructure.wanted import OWN_STREAM, Wanted

EMAIL, LIMIT = "AlarmEmail", "BudgetLimit"
HAS_EMAIL = "HasAlarmEmail"
HOUR_MILLIS = 3_600_000
PUT = [{"Name": "DelegatedOperation", "Value": "PutRecord"}]


def alarms(wanted: Wanted) -> Resources:
    """The topic, its subscription, an alarm for each thing that may go wrong unseen, and the budget."""
    found = {
        "AlarmTopic": resource("AWS::SNS::Topic", {"TopicName": f"{wanted.options.name}-alarms", "Tags": tags(wanted)}),
        "AlarmTopicPolicy": resource("AWS::SNS::TopicPolicy", _topic_policy(wanted)),
        "AlarmSubscription": resource(
            "AWS::SNS::Subscription",
            {"Protocol": "email", "TopicArn": ref("AlarmTopic"), "Endpoint": ref(EMAIL)},
            Condition=HAS_EMAIL,
        ),
    }
    for name, properties in (*_alarms(wanted), *metric_alarms(wanted)):
        prefix = {"AlarmName": f"{wanted.options.name}: {name}", "AlarmActions": [ref("AlarmTopic")]}
        found[logical("Alarm", name)] = resource("AWS::CloudWatch::Alarm", prefix | properties | {"Tags": tags(wanted)})
    if wanted.options.budget:
        found["Budget"] = resource("AWS::Budgets::Budget", _budget(wanted))
    return found


def parameters(wanted: Wanted) -> dict[str, Any]:
    """Who hears of alarms, and how much may be spent."""
    found: dict[str, Any] = {
        EMAIL: {"Type": "String", "Default": "", "Description": "E-mail address for alarms; none if empty"}
    }
    if wanted.options.budget:
        found[LIMIT] = {
            "Type": "Number",
            "MinValue": 1,
            "Description": "US dollars that the whole account may cost in a month",
        }
    return found


CONDITIONS = {HAS_EMAIL: Function("Not", [Function("Equals", [ref(EMAIL), ""])])}


def _alarms(wanted: Wanted) -> Iterator[tuple[str, dict[str, Any]]]:
    failed = [{"Name": "QueueName", "Value": attribute("ExportEventsFailed.QueueName")}]
    waiting = [{"Name": "QueueName", "Value": attribute("ExportEvents.QueueName")}]
    yield (
        "an export was put aside",
        above(0, "AWS/SQS", "ApproximateNumberOfMessagesVisible", failed, "Maximum", "the sensor could not read it"),
    )
    yield (
        "exports wait",
        above(
            3600, "AWS/SQS", "ApproximateAgeOfOldestMessage", waiting, "Maximum", "the sensor has not run for an hour"
        ),
    )
    for table in wanted.streamed:
        name = table.table
        if table.stream == OWN_STREAM or name.startswith("arn:"):
            continue
        place = [{"Name": "TableName", "Value": name}, *PUT]
        yield (
            f"changes of {name} are late",
            above(HOUR_MILLIS // 4, "AWS/DynamoDB", "AgeOfOldestUnreplicatedRecord", place, "Maximum", "in Kinesis")
            | {"EvaluationPeriods": 3},
        )
        yield (
            f"changes of {name} are lost",
            above(0, "AWS/DynamoDB", "FailedToReplicateRecordCount", place, "Sum", "until a window brings them")
            | {"Period": 60},
        )
        yield (
            f"changes of {name} are throttled",
            above(0, "AWS/DynamoDB", "ThrottledPutRecordCount", place, "Maximum", "Kinesis takes them too slowly")
            | {"Period": 60, "EvaluationPeriods": 10},
        )
    for name in wanted.kinesis_streams:
        if name.startswith("arn:"):
            continue
        place = [{"Name": "StreamName", "Value": name}]
        yield (
            f"nobody reads {name}",
            above(HOUR_MILLIS, "AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", place, "Maximum", "for an hour")
            | {"Period": 3600, "TreatMissingData": "breaching"},
        )
        yield (
            f"readers of {name} are throttled",
            above(0, "AWS/Kinesis", "ReadProvisionedThroughputExceeded", place, "Average", "more than two read it")
            | {"EvaluationPeriods": 6},
        )


def _topic_policy(wanted: Wanted) -> dict[str, Any]:
    services = ["cloudwatch.amazonaws.com", *(["budgets.amazonaws.com"] if wanted.options.budget else [])]
    here = {"StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")}}
    published = grant({"Service": services}, "sns:Publish", Resource=ref("AlarmTopic"), Condition=here)
    return {"Topics": [ref("AlarmTopic")], "PolicyDocument": policy({"Sid": "AlarmsOfThisAccount"} | published)}


def _budget(wanted: Wanted) -> dict[str, Any]:
    def notice(kind: str, percent: int) -> dict[str, Any]:
        return {
            "Notification": {
                "NotificationType": kind,
                "ComparisonOperator": "GREATER_THAN",
                "Threshold": percent,
                "ThresholdType": "PERCENTAGE",
            },
            "Subscribers": [{"SubscriptionType": "SNS", "Address": ref("AlarmTopic")}],
        }

    return {
        "Budget": {
            "BudgetName": wanted.options.name,
            "BudgetType": "COST",
            "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": ref(LIMIT), "Unit": "USD"},
        },
        "NotificationsWithSubscribers": [notice("ACTUAL", 80), notice("FORECASTED", 100)],
    }
