"""The identity: it covers everything that decides rows and keys, and rows of two identities never share a table."""

import json
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.contract import identity as identities
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.flatten import Flattened, flatten
from ddb_assets.flatten.schema import SchemaError
from ddb_assets.flatten.schema_store import HeldSchemas, SchemaStore, SchemaStoreError
from ddb_assets_tests.support.written_export import write_export

STORAGE = Storage()
LINES = [[b'{"Item":{"id":{"S":"a"},"at":{"N":"1"},"mail":{"S":"x@y"}}}']]
SECRET = "DDB_ASSETS_MASK_SECRET"
HMAC = {"mail": {"mask": "hmac"}}


def made(
    folder: Path, *, key: str = "id", export: int = 0, restart: bool = False, store: str = "schemas", **contract: Any
) -> Flattened:
    export_id = f"0169509721800{export}-d6299cbd"
    source = write_export(STORAGE, str(folder / "bucket"), lines=LINES, export_id=export_id)
    return flatten(
        STORAGE,
        read_export(STORAGE, source),
        table=Table.model_validate({"table": "Orders", **contract}),
        key=KeySchema.of(key.split(",")),
        out=str(folder / "out" / str(export)),
        schemas=SchemaStore(STORAGE, str(folder / store)),
        restart=restart,
    )


def test_the_same_again_has_the_same_digest(tmp_path: Path) -> None:
    first, second = made(tmp_path), made(tmp_path)
    assert first.report.digest == second.report.digest
    assert second.schema.version == 1
    assert second.report.identity == second.schema.identity


@pytest.mark.parametrize(
    "change",
    [
        {"key": "id,at", "restart": True},
        {"columns": {"mail": {"oversize": "truncate"}}},
        {"columns": {"id": {"mask": "sha256"}}, "restart": True},
        {"store": "other"},
        {"timestamps": False},
        {"export": 1},
    ],
    ids=str,
)
def test_every_input_is_in_the_digest(tmp_path: Path, change: dict[str, Any]) -> None:
    assert made(tmp_path).report.digest != made(tmp_path, **change).report.digest


def test_the_secret_and_the_format_are_in_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET, "one")
    first = made(tmp_path, columns=HMAC)
    monkeypatch.setenv(SECRET, "two")
    assert made(tmp_path, columns=HMAC, restart=True).report.digest != first.report.digest
    monkeypatch.setattr(identities, "FORMAT", 99)
    monkeypatch.setenv(SECRET, "one")
    assert made(tmp_path, columns=HMAC, restart=True).report.digest != first.report.digest


def test_the_owner_is_not_in_the_digest(tmp_path: Path) -> None:
    assert made(tmp_path).report.digest == made(tmp_path, owners=["team:a"], cadence="daily").report.digest


def test_the_fingerprint_does_not_reveal_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET, "correct horse")
    shown = made(tmp_path, columns=HMAC).report.model_dump_json()
    assert "correct horse" not in shown
    assert len(json.loads(shown)["identity"]["mask_secret"]) == 16


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"key": "id,at"}, "its key was id, now it is id, at"),
        ({"key": "at"}, "its key was id, now it is at"),
        ({"columns": {"id": {"mask": "sha256"}}}, "'id' had no mask, now it has mask: sha256: one item would have two"),
    ],
    ids=str,
)
def test_a_change_of_identity_is_refused_without_restart(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    made(tmp_path)
    document = tmp_path / "schemas" / "orders" / "000001.json"
    with pytest.raises(SchemaError, match=said) as refused:
        made(tmp_path, **change)
    assert "restart: true" in str(refused.value)
    assert [path.name for path in document.parent.glob("0*.json")] == ["000001.json"]
    begun = made(tmp_path, restart=True, **change)
    assert begun.schema.version == 2
    assert begun.schema.id != json.loads(document.read_text())["id"]


@pytest.mark.parametrize("restart", [False, True])
def test_another_dynamodb_table_is_refused_with_and_without_restart(tmp_path: Path, *, restart: bool) -> None:
    made(tmp_path)
    document = tmp_path / "schemas" / "orders" / "000001.json"
    document.write_text(json.dumps({**json.loads(document.read_text()), "table_arn": "other"}))
    with pytest.raises(SchemaError, match=r"is of other, but this export is of arn:aws.* another name$"):
        made(tmp_path, restart=restart)


def test_a_rotated_secret_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET, "one")
    made(tmp_path, columns=HMAC)
    monkeypatch.setenv(SECRET, "two")
    with pytest.raises(SchemaError, match="the secret of mask: hmac has changed"):
        made(tmp_path, columns=HMAC)
    made(tmp_path)  # without an hmac column the secret has no effect


def test_a_first_hmac_column_records_its_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path)
    monkeypatch.setenv(SECRET, "one")
    made(tmp_path, columns=HMAC)
    monkeypatch.setenv(SECRET, "two")
    with pytest.raises(SchemaError, match="the secret of mask: hmac has changed"):
        made(tmp_path, columns=HMAC)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"table": "../../evil"}, "is version 1 of '../../evil'"),
        ({"table": "customers"}, "is version 1 of 'customers'"),
        ({"version": 7}, "is version 7"),
        ({"id": "x", "shape": "new"}, "shape: Extra inputs are not permitted"),
        (b"", "cannot be read: the document"),
        (b'{"table": "orders", "ver', "cannot be read: the document"),
    ],
    ids=str,
)
def test_a_document_of_another_table_is_refused(tmp_path: Path, change: dict[str, Any] | bytes, said: str) -> None:
    made(tmp_path)
    document = tmp_path / "schemas" / "orders" / "000001.json"
    content = document.read_text()
    document.write_bytes(
        change if isinstance(change, bytes) else json.dumps({**json.loads(content), **change}).encode()
    )
    with pytest.raises(SchemaStoreError, match=said):
        made(tmp_path)
    assert not list(tmp_path.rglob("evil*"))


def test_held_documents_are_published_when_they_are_released_and_only_once(tmp_path: Path) -> None:
    made(tmp_path)
    held = HeldSchemas(STORAGE, str(tmp_path / "held"))
    schema = made(tmp_path, store="other").schema
    assert held.publish(schema)
    assert held.latest("orders") is None
    held.release()
    held.release()
    assert held.latest("orders") == schema
    held.publish(schema)
    with pytest.raises(SchemaStoreError, match="stored by another run"):
        held.release()
