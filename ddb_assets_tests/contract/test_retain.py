"""`warehouse.retain`: how it is written, and what it cannot be combined with."""

from typing import Any

import pytest
from pydantic import ValidationError

from ddb_assets.contract.retain import Retain
from ddb_assets.contract.table import Table


def retain(value: object, **more: Any) -> Retain | None:
    contract = {"table": "Events", "warehouse": {"retain": value}, **more}
    return Table.model_validate(contract).warehouse.retain


@pytest.mark.parametrize(
    "written", [{"days": 400, "by": "created_at"}, "400 days by created_at", " 400 days by created_at "]
)
def test_it_is_written_as_a_text_or_in_parts(written: object) -> None:
    assert retain(written) == Retain(days=400, by="created_at")
    assert retain(None) is None


@pytest.mark.parametrize(
    "written", ["400 days", "by created_at", "0 days by x", "400 weeks by x", {"days": 0, "by": "x"}, 400]
)
def test_anything_else_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        retain(written)


@pytest.mark.parametrize(
    ("more", "named"),
    [({"load": "replace"}, "load: replace"), ({"soft_delete": True}, "soft_delete"), ({"stream": "events"}, "stream")],
)
def test_it_cannot_be_combined_with(more: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=f"`warehouse.retain` cannot be combined with `{named}`"):
        retain("1 day by x", **more)
