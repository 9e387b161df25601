"""Where alerts go: SNS topics, and channels of Slack by dagster-slack. `DDB_ASSETS_ALERTS` names them.

An SNS topic sends e-mail, SMS, or calls a web hook. Facts: SNS API reference, Publish (a subject has at most 100 characters of
ASCII); Slack, "Formatting text for app surfaces" (`&`, `<` and `>` are escaped).
"""

import os
import re
from collections.abc import Callable
from typing import Any

from ddb_assets.alerts.message import Alert
from ddb_assets.aws.clients import AWS
from ddb_assets.aws.errors import explained
from ddb_assets.errors import DdbAssetsError
from ddb_assets.settings import ALERTS, SLACK_TOKEN, SettingError, setting

Send = Callable[[Alert], None]
_TOPIC = re.compile(r"arn:[\w-]+:sns:[\w-]+:\d{12}:[\w-]+")
_CHANNEL = re.compile(r"slack:(#?[\w-]+)")
_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class NotSentError(DdbAssetsError):
    """An alert could not be sent. It is sent again in the next tick."""


def targets() -> tuple[str, ...]:
    """The entries of DDB_ASSETS_ALERTS, which are separated by commas. Raises SettingError for one of another form."""
    written = [entry.strip() for entry in os.environ.get(ALERTS, "").split(",")]
    for entry in filter(None, written):
        if not (_TOPIC.fullmatch(entry) or _CHANNEL.fullmatch(entry)):
            raise SettingError(
                f"{ALERTS} has {entry!r}: write ARNs of standard SNS topics, or slack:#channel, separated by commas"
            )
    return tuple(filter(None, written))


def sender(target: str, aws: AWS) -> Send:
    """What sends to one of `targets`. Raises SettingError if a token or a package for it is missing."""
    return _to_slack(target) if target.startswith("slack:") else _to_sns(target, aws)


def _to_sns(topic: str, aws: AWS) -> Send:
    client = aws.sns(topic)

    def send(alert: Alert) -> None:
        with explained("sns:Publish", topic):
            client.publish(TopicArn=topic, Subject=alert.subject, Message=alert.text)

    return send


def _to_slack(target: str) -> Send:
    try:
        from dagster_slack import SlackResource
        from slack_sdk.errors import SlackClientError
    except ModuleNotFoundError:
        raise SettingError(
            f"{ALERTS} has {target}, which needs dagster-slack: pip install 'ddb-assets[slack]'"
        ) from None
    client: Any = SlackResource(
        token=setting(SLACK_TOKEN, "the token of your Slack app, which may chat:write")
    ).get_client()
    channel = target.removeprefix("slack:")

    def send(alert: Alert) -> None:
        text = "".join(_ESCAPED.get(character, character) for character in alert.text)
        try:
            client.chat_postMessage(channel=channel, text=text, unfurl_links=False)
        except (SlackClientError, OSError) as error:
            raise NotSentError(f"Slack does not take the message for {channel}: {error}") from None

    return send
