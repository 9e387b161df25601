"""The rows of a reject file that was mended, to be imported like any others."""

import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from ddb_assets.bulk.reject_file import read_heading
from ddb_assets.bulk.rows import BadRow, Row, SourceError
from ddb_assets.imports.csv_rows import CsvFormat, csv_record
from ddb_assets.imports.json_rows import dynamodb_record, json_lines, plain_record


def redriven_rows(stream: BinaryIO, uri: str, format_: str, csv: CsvFormat) -> Iterator[Row | BadRow]:
    """The rows of an exceptions file that was mended. Raises SourceError for a line that is none of ours."""
    read_heading(stream, uri)
    for number, line, data in json_lines(stream, uri, first_line=2):
        try:
            entry: dict[str, Any] = json.loads(data)
            if isinstance(entry.get("row"), dict):
                yield Row(number, line, entry["row"])
                continue
            text = entry["text"]
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise SourceError(f"{uri}:{line}: no line of an exceptions file, which has `row` or `text`") from error
        if format_ == "csv":
            yield csv_record(str(text), tuple(entry.get("columns") or ()), number, line, csv)
        else:
            record: Callable[[str, int, int], Row | BadRow] = (
                dynamodb_record if format_ == "dynamodb-json" else plain_record
            )
            yield record(str(text), number, line)
