"""The parts of a relation on this machine. `conformance/` has damaged ones."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ddb_assets.warehouse.local_part import BATCH_BYTES, batches


def test_rows_of_400_kb_are_not_read_by_the_thousand(tmp_path: Path) -> None:
    large = pa.table({"text": [f"{number:09}" * 45_000 for number in range(250)]})
    pq.write_table(large, tmp_path / "large.parquet", compression="zstd", use_dictionary=False)
    small = pa.table({"number": range(50_000)})
    pq.write_table(small, tmp_path / "small.parquet")
    with pq.ParquetFile(tmp_path / "large.parquet") as file:
        found = list(batches(file))
        assert max(batch.nbytes for batch in found) < 2 * BATCH_BYTES
        assert pa.Table.from_batches(found) == large
    with pq.ParquetFile(tmp_path / "small.parquet") as file:
        assert len(list(batches(file))) == 3
    pq.write_table(small.slice(0, 0), tmp_path / "empty.parquet")
    with pq.ParquetFile(tmp_path / "empty.parquet") as file:
        assert sum(batch.num_rows for batch in batches(file)) == 0
