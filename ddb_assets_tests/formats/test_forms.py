"""A form does not change without a new version, and nothing that is kept is read past the check of its version."""

import ast
import importlib
import json
from pathlib import Path
from typing import get_args

import pytest

import ddb_assets
from ddb_assets.flatten import profile
from ddb_assets.iceberg import properties as iceberg
from ddb_assets_tests.formats.forms import DOCUMENTS, FILES, RECORD, TABLES, forms

ROOM = Path(ddb_assets.__file__).parent
WITHOUT_A_VERSION = {
    "contract/durable.py": "checks the version",
    "exports/manifest.py": "DynamoDB's own documents; it says their version",
    "exports/arrivals.py": "a cursor: if it cannot be read, all exports are examined again",
    "orchestration/log_place.py": "a cursor: one with fields that are not known is refused",
    "warehouse/sql/streams.py": "a column; the ledger's version is checked before",
    "warehouse/sql/read_history.py": "a column; the ledger's version is checked before",
    "warehouse/clickhouse/known.py": "a column; the ledger's version is checked before",
    "warehouse/clickhouse/settling.py": "a column; the ledger's version is checked before",
    "retention/found.py": "a column; the ledger's version is checked before",
    "changes/tables.py": "a property; the version of the Iceberg table is checked before",
}
"""The modules that validate texts themselves, and why they need no version."""
NOT_RECORDED = {
    "contract/identity.py": "a number in other documents",
    "spark/job.py": "both sides run the same code",
}
"""The modules whose forms `forms.py` does not record, and why."""


def test_a_form_that_changes_gets_a_new_version() -> None:
    assert forms() == json.loads(RECORD.read_text()), (
        "a form has changed: raise the version of its DurableFormat, write the migration, keep an example by "
        "`python -m ddb_assets_tests.formats.writing vN`, then `python -m ddb_assets_tests.formats.forms`"
    )


def test_every_form_is_recorded_and_explained() -> None:
    modules = {path.relative_to(ROOM).as_posix() for path in ROOM.rglob("*.py") if "DurableFormat(" in path.read_text()}
    recorded = [form for form, _ in (*DOCUMENTS.values(), *TABLES.values(), *FILES.values())]
    recorded += [iceberg.FORMAT, profile.FORMAT]
    names = {name: f"ddb_assets.{name.removesuffix('.py').replace('/', '.')}" for name in modules - set(NOT_RECORDED)}
    lost = [
        name for name, module in names.items() if not any(importlib.import_module(module).FORMAT is f for f in recorded)
    ]
    assert lost == []
    assert set(NOT_RECORDED) < modules
    explained = (ROOM.parent / "docs" / "versions.md").read_text()
    assert [form.key for form in recorded if f"`{form.key}`" not in explained] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_says_the_version_of_its_form(name: str) -> None:
    form, model = DOCUMENTS[name]
    field = model.model_fields[form.key]
    assert (get_args(field.annotation), field.default) == ((form.version,), form.version)
    assert model.model_config["extra"] == "forbid"
    assert next(iter(model.model_fields)) == form.key  # a person sees it at once


def test_every_document_is_read_by_its_format() -> None:
    """Code that validates a text itself would take a newer document for a damaged one."""
    found = set()
    for path in ROOM.rglob("*.py"):
        tree = ast.parse(path.read_text())
        if any(isinstance(node, ast.Attribute) and node.attr == "model_validate_json" for node in ast.walk(tree)):
            found.add(path.relative_to(ROOM).as_posix())
    assert found == set(WITHOUT_A_VERSION)
