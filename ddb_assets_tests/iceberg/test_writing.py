"""Transactions of Iceberg tables: what they know of their own changes."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.table import Table, update

from ddb_assets.iceberg.catalog import open_catalog
from ddb_assets.iceberg.writing import commit, transaction, writing

SCHEMA = pa.schema([("n", pa.int64())])


def test_a_transaction_works_its_metadata_out_once_for_each_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_catalog(f"iceberg:///{tmp_path}/c?namespace=main") as catalog:
        table: Table = catalog.create_table(("main", "t"), SCHEMA)
        works_out, worked_out = update.update_table_metadata, list[int]()

        def counted(before: object, changes: tuple[object, ...], **more: object) -> object:
            worked_out.append(len(changes))
            return works_out(before, changes, **more)  # type: ignore[arg-type]

        monkeypatch.setattr("pyiceberg.table.update_table_metadata", counted)
        staged = transaction(table)
        assert [staged.table_metadata.properties.get("a") for _ in range(3)] == [None] * 3
        staged.set_properties(a="1")
        assert [staged.table_metadata.properties.get("a") for _ in range(3)] == ["1"] * 3
        with writing(table, staged) as writer:
            writer.add(pa.record_batch([[1, 2]], SCHEMA))
            commit(staged, writer.finish())
            assert staged.table_metadata.current_snapshot_id is not None
        assert worked_out == sorted(set(worked_out))
        assert table.properties["a"] == "1"
        assert table.scan().to_arrow().column("n").to_pylist() == [1, 2]
