"""`ddb-assets stream`."""

import click


@click.group("stream")
def command() -> None:
    """The streams that tables write their changes to."""


@command.command("enable")
@click.argument("table")
@click.argument("stream")
def enable(table: str, stream: str) -> None:
    """Have TABLE write its changes to STREAM, with the time of each write in microseconds; both are names or ARNs.

    STREAM may be `dynamodb`: the stream that the table has of its own, with the item after each write.

    It does nothing if the table does so already. From then on AWS charges for each change.
    """
    from ddb_assets.cli.stream import enable as run

    run(table, stream)
