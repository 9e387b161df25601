"""Lines of an export that are imported: all of a line is imported, or the line is rejected."""

import pytest

from ddb_assets.bulk.rows import BadRow, Row
from ddb_assets.imports.dynamodb_record import dynamodb_record

METADATA = '"Metadata":{"WriteTimestampMicros":{"N":"1"},"Region":"eu-west-1"},"Keys":{"pk":{"S":"a"}}'


@pytest.mark.parametrize(
    "text", ['{"Item":{"pk":{"S":"a"}},"NewThing":{"S":"x"}}', f'{{{METADATA},"NewThing":1}}', '{"Other":1}']
)
def test_a_line_with_members_that_are_not_known_is_rejected(text: str) -> None:
    assert isinstance(dynamodb_record(text, 1, 1), BadRow)


@pytest.mark.parametrize("text", ['{"Item":{"pk":{"S":"a"}}}', f"{{{METADATA}}}"])
def test_a_line_of_either_kind_of_export_is_a_row(text: str) -> None:
    row = dynamodb_record(text, 1, 1)
    assert isinstance(row, Row)
    assert row.deleted == ("Metadata" in text)
