"""Whether a table writes its changes to the stream that its contract names."""

from typing import TYPE_CHECKING

from ddb_assets.streams.calls import StreamCalls
from ddb_assets.streams.destination import DestinationError, destination
from ddb_assets.streams.own_stream import OWN_STREAM, check_images, own_stream

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS


def check_written(aws: "AWS", table: str, stream: str) -> None:
    """Raises DestinationError unless every change of the table goes to the stream from now on; AwsError."""
    advice = f"so writes during a scan would be lost; run: ddb-assets stream enable {table} {stream}"
    if stream == OWN_STREAM:
        own = own_stream(aws.dynamodb(table), table)
        if own is None or own.view is None:
            raise DestinationError(f"table {table} has no stream of its own that is enabled, {advice}")
        check_images(table, own.view)
        return
    arn = StreamCalls(aws.kinesis(stream), stream).describe().arn
    found = destination(aws.dynamodb(table), table, arn)
    if found is None or found.status not in {"ACTIVE", "UPDATING"}:
        status = found.status if found else "not enabled"
        raise DestinationError(f"table {table} does not write to the stream {stream} ({status}), {advice}")
