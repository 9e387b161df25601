"""`ddb_assets_alerts`: finds runs that failed and checks that began to fail, and sends a message for each.

It reads Dagster's log from where the last tick ended. The cursor moves when all messages of a tick have been sent, so none is
lost while SNS or Slack cannot be reached. Until then each tick sends all of them again, also to those that got them. Dagster's
own sensors of run failures continue after an error, so they would lose it.
"""

from collections.abc import Collection, Iterator

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from ddb_assets.alerts.message import Alert, limited
from ddb_assets.alerts.send import sender, targets
from ddb_assets.orchestration.event_log import after, newest
from ddb_assets.orchestration.log_place import LogPlace
from ddb_assets.resources.aws import AWSResource
from ddb_assets.settings import UI, optional
from ddb_assets.windows.automation import sensor_status

NAME = "ddb_assets_alerts"
EVERY_SECONDS = 60
AT_MOST = 500
"""Events that one tick reads. The others wait for the next."""
RUN_FAILURE, CHECKED = dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.ASSET_CHECK_EVALUATION
_PARTITION = "dagster/partition"
_OURS = ("ddb_assets.", "dagster._core.definitions.events.Failure")
"""How the messages of our errors begin, and of those that our steps raise in their place."""


class Place(LogPlace):
    """How far the log was read, and which checks failed then, each with its partition."""

    runs: int
    checks: int
    failing: frozenset[str] = frozenset()


def alert_sensor(own: Collection[dg.AssetKey]) -> dg.SensorDefinition:
    """The sensor for the runs and checks of these assets."""
    keys = frozenset(own)

    @dg.sensor(
        name=NAME,
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=sensor_status(),
        description="Sends a message for each run that fails, and for each check that begins to fail, or passes again.",
    )
    def alerts(context: dg.SensorEvaluationContext, ddb_aws: AWSResource) -> dg.SensorResult:
        if context.cursor is None:
            place = Place(runs=newest(context.instance, RUN_FAILURE), checks=newest(context.instance, CHECKED))
            return dg.SensorResult(
                cursor=place.model_dump_json(), skip_reason=dg.SkipReason("reports failures from now on")
            )
        place = Place.parse(context.cursor, NAME)
        runs, place = _failed_runs(context.instance, keys, place)
        checks, place = _failed_checks(context.instance, keys, place)
        found = limited([*runs, *checks])
        senders = [sender(target, ddb_aws.clients) for target in targets()] if found else []
        for send in senders:  # all are made before the first message is sent
            for alert in found:
                send(alert)
        said = f"messages sent: {len(found)}" if found else "nothing has failed"
        return dg.SensorResult(cursor=place.model_dump_json(), skip_reason=dg.SkipReason(said))

    return alerts


def _failed_runs(instance: dg.DagsterInstance, own: frozenset[dg.AssetKey], place: Place) -> tuple[list[Alert], Place]:
    alerts = []
    for record in after(instance, RUN_FAILURE, place.runs, AT_MOST):
        place = place.model_copy(update={"runs": record.storage_id})
        run_id = record.event_log_entry.run_id
        assets = own & instance.get_asset_keys_for_run(run_id)
        run = instance.get_run_by_id(run_id)
        if assets and run:
            alerts.append(
                Alert.of(
                    "run failed",
                    [key.to_user_string() for key in assets],
                    partition=run.tags.get(_PARTITION, ""),
                    reason="\n".join(_reasons(instance, run_id)) or record.event_log_entry.user_message,
                    link=_link(run_id),
                )
            )
    return alerts, place


def _reasons(instance: dg.DagsterInstance, run_id: str) -> Iterator[str]:
    """What each failed step says, without the stack. Dagster's own error is around the step's, which says what to do."""
    for record in instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records:
        event = record.event_log_entry.dagster_event
        error = event.step_failure_data.error if event else None
        if event and error:
            yield f"{event.step_key}: {_said(error)}"


def _said(error: SerializableErrorInfo) -> str:
    """What an error of ours says. The text of another one may have values of items, so only its type is named."""
    raised = error.cause or error
    if error.message.startswith(_OURS) or raised.message.startswith(_OURS):
        return raised.message.strip()
    return f"{raised.cls_name}. It was not expected, and its text may contain values of items: read it in Dagster's UI"


def _failed_checks(
    instance: dg.DagsterInstance, own: frozenset[dg.AssetKey], place: Place
) -> tuple[list[Alert], Place]:
    alerts, failing = [], set(place.failing)
    for record in after(instance, CHECKED, place.checks, AT_MOST):
        place = place.model_copy(update={"checks": record.storage_id})
        evaluation = record.event_log_entry.dagster_event.event_specific_data
        if evaluation.asset_key not in own:
            continue
        run_id = record.event_log_entry.run_id
        name = f"{evaluation.asset_key.to_user_string()}: {evaluation.check_name}"
        partition = evaluation.partition or ""
        known = f"{name} {partition}".strip()
        if evaluation.passed == (known not in failing):
            continue  # as it was: a check that runs each hour gives one message
        failing ^= {known}
        what = "check passes again" if evaluation.passed else f"check failed ({evaluation.severity.value})"
        reason = "" if evaluation.passed else evaluation.description or ""
        alerts.append(Alert.of(what, [name], partition=partition, reason=reason, link=_link(run_id)))
    return alerts, place.model_copy(update={"failing": frozenset(failing)})


def _link(run_id: str) -> str:
    base = optional(UI)
    return f"{base.rstrip('/')}/runs/{run_id}" if base else f"run {run_id}"
