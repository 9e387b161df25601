"""The stream that a table writes its changes to, as its contract names it: a name or ARN, or both that and how it is read."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from ddb_assets.contract.model import ContractModel

STREAM = re.compile(r"(arn:aws[a-z-]*:kinesis:[a-z0-9-]+:[0-9]{12}:stream/)?[A-Za-z0-9_.-]{1,128}")
Tail = Literal["table", "materialized_view"]
"""Where changes are until exports cover them: in a table that drains fill, or in Redshift's own view of the stream."""


def _stream(text: str) -> str:
    if text and not STREAM.fullmatch(text):
        raise ValueError(
            f"{text!r} is neither the name of a Kinesis data stream (up to 128 letters, digits, _, . and -) nor its ARN"
        )
    return text


class StreamOptions(ContractModel):
    """A stream, and what keeps its changes until exports cover them; no stream without a name."""

    name: Annotated[str, AfterValidator(_stream), Field(description="name or ARN of the Kinesis data stream")] = ""
    tail: Annotated[
        Tail, Field(description="table: drains fill a tail; materialized_view: Redshift reads the stream itself")
    ] = "table"


def _options(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


StreamText = Annotated[StreamOptions, BeforeValidator(_options, json_schema_input_type=StreamOptions | str)]
"""A stream; may be written as its name or ARN alone."""
