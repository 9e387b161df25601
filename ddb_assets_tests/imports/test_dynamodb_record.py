"""Lines of an export that are imported: all of a line is imported, or the line is rejected."""

import json

import pytest

from ddb_assets.bulk.rows import BadRow, Row
from ddb_assets.imports.formats.dynamodb_record import dynamodb_record

METADATA = '"Metadata":{"WriteTimestampMicros":{"N":"1"},"Region":"eu-west-1"},"Keys":{"pk":{"S":"a"}}'


@pytest.mark.parametrize(
    "text", ['{"Item":{"pk":{"S":"a"}},"NewThing":{"S":"x"}}', f'{{{METADATA},"NewThing":1}}', '{"Other":1}']
)
def test_a_line_with_members_that_are_not_known_is_rejected(text: str) -> None:
    assert isinstance(dynamodb_record(text, 1, 1), BadRow)


@pytest.mark.parametrize(
    "text",
    [
        '{"pk":{"S":"a"},"Keys":{"S":"x"},"Metadata":{"M":{}}}',
        '{"pk":{"S":"a"},"Item":{"M":{}},"NewImage":{"BOOL":true}}',
        '{"PutRequest":{"M":{"Item":{"S":"x"}}}}',
        '{"PutRequest":{"Item":{"pk":{"S":"a"}}}}',
    ],
)
def test_an_item_may_have_the_names_of_an_export_or_a_request(text: str) -> None:
    row = dynamodb_record(text, 1, 1)
    assert isinstance(row, Row)
    loaded = json.loads(text)
    assert row.cells == (loaded if "M" in text else loaded["PutRequest"]["Item"])
    assert not row.deleted


@pytest.mark.parametrize("text", ['{"Item":{"pk":{"S":"a"}}}', f"{{{METADATA}}}"])
def test_a_line_of_either_kind_of_export_is_a_row(text: str) -> None:
    row = dynamodb_record(text, 1, 1)
    assert isinstance(row, Row)
    assert row.deleted == ("Metadata" in text)
