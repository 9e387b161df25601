"""What retention deletes is not missed: a recovery into an empty warehouse works afterwards, and status finds nothing lost."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import time_machine

from ddb_assets.aws.storage import Storage, StorageError, split_s3
from ddb_assets.definitions import build_defs
from ddb_assets.sandbox import demo
from ddb_assets.settings import KEEP, LAKE_FORMAT
from ddb_assets.status.codes import Finding
from ddb_assets_tests.cli.test_commands import answer, call
from ddb_assets_tests.status.standing import DEFS, FULL, Standing, by_hand
from ddb_assets_tests.support.sandboxed import warehouse_file
from ddb_assets_tests.support.window_chain import BEGUN, Chain, hours_ago, loaded_orders, orders

ONE = ("--config", str(DEFS), "--table", "orders")
ALL = "10 days"


@contextmanager
def later(days: int = 20) -> Iterator[None]:
    """The time so many days after the loads."""
    with time_machine.travel(BEGUN + timedelta(days=days), tick=True):
        yield


@pytest.fixture(autouse=True)
def _keep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEEP, ALL)


def retention(*options: str, days: int = 20) -> dict[str, Any]:
    """What the command says of the table, so many days later."""
    with later(days):
        (said,) = answer("retention", *ONE, *options)["tables"]
    return dict(said)


def found(standing: Standing) -> dict[str, Finding]:
    """What needs a person. Dagster is not asked: it knows loads of other tests."""
    return standing.found(dagster=False)


def gone(said: dict[str, Any]) -> dict[str, int]:
    """How many things of each kind went."""
    kinds = [one["kind"] for one in said["deleted"]]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def is_recovered(standing: Standing) -> None:
    """An empty warehouse gets everything again; afterwards nothing needs a person."""
    warehouse_file().unlink()
    (done,) = answer("recover", *ONE, "--apply")["tables"]
    assert done["refused"] == done["error"] == ""
    assert loaded_orders() == orders(standing.chain.sandbox)
    assert found(standing) == {}


@pytest.fixture(scope="module")
def loaded_twice(made: Standing, tmp_path_factory: pytest.TempPathFactory) -> Standing:
    """The chain with a newer initial load, so that no recovery needs the loads before it."""
    late = tmp_path_factory.mktemp("newer") / "late.duckdb"
    as_of = hours_ago(0).start + timedelta(seconds=1)
    config = {"exports__orders_full_export": {"config": {"as_of": as_of.isoformat()}}}
    with made.whole():
        assert made.chain.run(*FULL, config=config).success
        shutil.copy(warehouse_file(), late)
        return Standing(made.chain, made.objects(), made.early, late)


@pytest.fixture
def newer(standing: Standing, loaded_twice: Standing) -> Standing:
    """The same, for a test that may wreck it. The fixture `standing` puts back what was there before."""
    loaded_twice.put_back()
    return loaded_twice


def test_nothing_is_deleted_without_apply(standing: Standing) -> None:
    before = standing.objects()
    said = retention()
    assert gone(said) == {"exports": 4}
    with later():
        text = call("retention", *ONE).output
    assert "nothing was changed: --apply deletes what is listed" in text
    assert standing.objects() == before


def test_what_is_young_stays(standing: Standing) -> None:
    before = standing.objects()
    with later(days=9):
        (said,) = answer("retention", *ONE, "--apply")["tables"]
    assert gone(said) == {}
    assert standing.objects() == before


def test_what_is_needed_stays_as_parquet(standing: Standing) -> None:
    said = retention("--apply")
    assert gone(said) == {"exports": 4}
    left = standing.objects()
    assert not [name for name in left if "/exports/" in name]
    assert said["kinds"]["exports"]["kept"] == {"files": 0, "bytes": 0}
    assert said["kinds"]["exports"]["deleted"]["files"] == len(standing.kept) - len(left)
    assert found(standing) == {}
    is_recovered(standing)


def test_what_is_needed_stays_as_parquet_although_the_export_stays(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DynamoDB lists exports for 90 days, so nothing but Parquet can be recovered from later."""
    monkeypatch.setenv(KEEP, "{parquet: 10 days}")
    before = standing.objects()
    assert gone(retention("--apply")) == {}
    assert standing.objects() == before


def test_everything_before_a_newer_full_export_goes(newer: Standing) -> None:
    said = retention("--apply")
    assert gone(said) == {"exports": 5, "parquet": 4}
    assert sum(name.endswith("/report.json") for name in newer.objects("parquet")) == 1
    is_recovered(newer)


def test_without_keep_nothing_is_ever_deleted(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEEP)
    before = standing.objects()
    with later():
        assert "nothing is ever deleted" in call("retention", "--config", str(DEFS), "--apply").output
        assert "neither its contract nor DDB_ASSETS_KEEP" in call("retention", *ONE, "--apply", code=1).output
    assert standing.objects() == before


def test_the_contract_counts_before_the_setting(
    newer: Standing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "defs.yaml"
    config.write_text(DEFS.read_text().replace("attributes:", "attributes:\n  keep: {exports: forever}", 1))
    with later():
        (said,) = answer("retention", "--config", str(config), "--apply")["tables"]
    assert gone(said) == {"parquet": 4}
    monkeypatch.setenv(KEEP, "ten days")
    assert "DDB_ASSETS_KEEP is 'ten days'" in call("retention", *ONE, code=1).output


def _refused(*options: str) -> str:
    with later():
        said = json.loads(call("retention", *ONE, *options, "--apply", "--json", code=1).stdout)["tables"][0]
    return str(said.get("refused") or said["error"])


def test_nothing_goes_while_the_warehouse_has_lost_something(newer: Standing) -> None:
    """Rows, a table, its ledger; loads that a restored backup lacks; all of it; or nobody knows, as it does not answer."""
    before, whole = newer.objects(), warehouse_file().read_bytes()
    for statement, code in (
        ("DELETE FROM orders", "rows_changed"),
        ("DROP TABLE orders__items", "table_dropped"),
        ("DELETE FROM _ddb_loads__orders", "ledger_lost"),
    ):
        by_hand(statement)
        assert code in _refused()
        warehouse_file().write_bytes(whole)
    shutil.copy(newer.early, warehouse_file())
    assert "warehouse_restored" in _refused()
    warehouse_file().unlink()
    assert "warehouse_lost" in _refused()
    assert "warehouse_unreachable" in _refused("--warehouse", "redshift://nobody@127.0.0.1:9/dev?sslmode=disable")
    assert newer.objects() == before


def test_nothing_goes_that_cannot_be_listed(newer: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    before = newer.objects()
    listed = Storage.list

    def refuse(self: Storage, uri: str) -> Any:
        if "/exports/" in uri:
            raise StorageError(f"{uri}: access denied")
        return listed(self, uri)

    monkeypatch.setattr(Storage, "list", refuse)
    assert "access denied" in _refused()
    monkeypatch.undo()
    assert newer.objects() == before


class _KilledError(BaseException):
    """The process ends."""


def killed(standing: Standing, monkeypatch: pytest.MonkeyPatch, after: int) -> dict[str, bytes]:
    """A run that ends after so many deletions; what is left."""
    real, done = Storage.delete, count()

    def delete(self: Storage, uris: Any) -> None:
        if next(done) == after:
            raise _KilledError
        real(self, uris)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "delete", delete)
        with pytest.raises(_KilledError):
            retention("--apply")
    return standing.objects()


def is_nothing_half(left: dict[str, bytes]) -> None:
    """Every report that is left has its parts, every manifest its data."""
    for name, data in left.items():
        if name.endswith("/report.json"):
            parts = [part["uri"] for relation in json.loads(data)["schema"] for part in relation["parts"]]
            assert {split_s3(uri)[1] for uri in parts} <= left.keys()
        if name.endswith("/manifest-summary.json"):
            prefix = name.partition("AWSDynamoDB/")[0]
            lines = left[name.replace("summary", "files")].splitlines()
            keys = [json.loads(line)["dataFileS3Key"] for line in lines]
            assert {key if key in left else f"{prefix}{key}" for key in keys} <= left.keys()


def test_a_run_that_is_killed_leaves_nothing_half_and_the_next_one_goes_on(
    newer: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    for after in (1, 2, 3, 4 * 3 + 1):  # within the first folders of Parquet; within the first export
        left = killed(newer, monkeypatch, after)
        is_nothing_half(left)
        assert found(newer) == {}
    assert [name for name in left if "/retention/orders/unfinished-" in name]
    said = retention("--apply", days=22)
    assert said["unfinished"] > 0
    now = newer.objects()
    assert not [name for name in now if "/exports/" in name or "/retention/orders/unfinished-" in name]
    assert len({re.findall("/parquet/orders/[^/]*/[^/]*", name)[0] for name in now if "/parquet/" in name}) == 1
    is_recovered(newer)


def test_what_is_not_ours_stays(newer: Standing) -> None:
    folder = f"{newer.chain.prefix}/parquet/orders/full"
    export = next(name for name in newer.kept if name.endswith("/manifest-summary.json")).rpartition("/")[0]
    ours = next(name for name in newer.kept if name.startswith(folder) and name.endswith("/report.json"))
    foreign = {
        f"{ours.rpartition('/')[0]}/notes.txt": b"mine",
        f"{export}/notes.txt": b"mine",
        f"{newer.chain.folder}elsewhere/manifest-summary.json": b"{}",
        f"{newer.chain.folder}data/other.json.gz": b"mine",
        f"{newer.chain.prefix}/schemas/orders/notes.txt": b"mine",
    }
    newer.chain.put(foreign)
    said = retention("--apply")
    now = newer.objects()
    assert foreign.items() <= now.items()
    assert ours in now
    assert any("files that its report does not list" in remark for remark in said["remarks"])
    assert gone(said) == {"exports": 5, "parquet": 3}


def test_what_the_warehouse_has_not_loaded_stays(newer: Standing) -> None:
    """Exports that nobody loaded, and an export whose manifest is not that of the ledger."""
    other = newer.chain.export(hours_ago(5))
    unloaded = newer.chain.objects(other)
    name = next(name for name in newer.kept if name.endswith("/manifest-files.json"))
    changed = newer.kept[name].replace(b'"itemCount":', b'"itemCount": ')
    lines = [json.loads(line) for line in changed.splitlines()]
    lines[0]["md5Checksum"] = "1B2M2Y8AsgTpgAmY7PhCfg=="
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    newer.chain.put({name: data})
    newer.chain.delete(name.replace(".json", ".md5"), name.replace(".json", ".checksum"))
    said = retention("--apply")
    assert any("cannot be shown to be the one that the warehouse has loaded" in remark for remark in said["remarks"])
    now = newer.objects()
    assert {*unloaded, name} <= now.keys()
    assert gone(said) == {"exports": 4, "parquet": 4}


def test_an_export_stays_that_another_contract_keeps(newer: Standing, tmp_path: Path) -> None:
    config = tmp_path / "defs.yaml"
    text = DEFS.read_text()
    config.write_text(text + "---\n" + text.replace("attributes:", "attributes:\n  name: again\n  keep: forever", 1))
    with later():
        (said,) = answer("retention", "--config", str(config), "--table", "orders", "--apply")["tables"]
    assert gone(said) == {"parquet": 4}
    assert any("that other contracts of Orders keep: again" in remark for remark in said["remarks"])


def test_an_export_stays_that_a_contract_elsewhere_was_loaded_from(newer: Standing) -> None:
    name, data = next((name, data) for name, data in newer.kept.items() if name.endswith("/receipt.json"))
    elsewhere = name.replace("/receipts/orders/", "/receipts/again/")
    for before, expected in ((1, {"parquet": 4}), (40, {"exports": 5, "parquet": 4})):
        at = BEGUN + timedelta(days=20 - before)
        receipt = json.loads(data) | {"table": "again", "loaded_at": at.isoformat()}
        newer.chain.put({elsewhere: json.dumps(receipt).encode()})
        said = retention()
        assert gone(said) == expected
        stays = [remark for remark in said["remarks"] if "that other contracts of Orders keep: again" in remark]
        assert bool(stays) == ("exports" not in expected)


def test_landings_stay_that_the_table_of_changes_lacks(newer: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LAKE_FORMAT, "iceberg")
    said = retention("--apply")
    assert gone(said) == {}
    assert any("5 landings are not in orders__changes yet" in remark for remark in said["remarks"])


def test_what_lies_beside_parquet_goes_alone(
    standing: Standing, loaded_twice: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines in quarantine that a report lists, and a spilled text whose rows a newer full export has replaced."""
    monkeypatch.setenv(KEEP, "{quarantine: 10 days, spill: 10 days}")
    name = next(name for name in standing.kept if "/full/" in name and name.endswith("/report.json"))
    folder = name.rpartition("/")[0]
    lines, text = f"{folder}/_quarantine/lines-{'0' * 12}.jsonl", f"{folder}/_spill/{'0' * 64}.txt"
    report = json.loads(standing.kept[name]) | {"quarantine": [f"s3://{demo.BUCKET}/{lines}"]}
    beside = {name: json.dumps(report).encode(), lines: b"{}", text: b"long"}
    standing.chain.put(beside)
    assert gone(retention()) == {"quarantine": 1}  # rows of the newest full export name the text
    loaded_twice.put_back()
    standing.chain.put(beside)
    before = standing.objects()
    said = retention("--apply")
    assert gone(said) == {"quarantine": 1, "spill": 1}
    assert before.keys() - standing.objects().keys() == {lines, text}
    assert said["kinds"]["spill"]["deleted"] == {"files": 1, "bytes": 4}
    assert found(standing) == {}


def test_nothing_goes_while_another_warehouse_loads_from_the_lake(standing: Standing) -> None:
    name, data = next((name, data) for name, data in standing.kept.items() if name.endswith("/receipt.json"))
    other = {"ledger_id": "f" * 16, "warehouse": "redshift://elsewhere/dev"}
    folder = name.partition("/receipts/orders/")[0] + "/receipts/orders"
    there = f"{folder}/{'f' * 16}/{name.rpartition(f'{folder}/')[2].partition('/')[2]}"
    standing.chain.put({there: json.dumps(json.loads(data) | other).encode()})
    before = standing.objects()
    assert "into another warehouse, redshift://elsewhere/dev" in _refused()
    assert standing.objects() == before


def test_what_no_full_export_brings_back_stays(newer: Standing, tmp_path: Path) -> None:
    config = tmp_path / "defs.yaml"
    for option in ("history: true", "soft_delete: true"):
        config.write_text(DEFS.read_text().replace("attributes:", f"attributes:\n  {option}", 1))
        with later():
            (said,) = answer("retention", "--config", str(config))["tables"]
        assert gone(said) == {"exports": 5}


def test_the_asset_plots_sizes_and_deletes_when_the_contract_says_so(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEEP, "{exports: 10 days, dry_run: false}")
    chain = Chain(standing.chain.sandbox, standing.chain.instance, build_defs(), standing.chain.prefix)
    before = standing.objects()
    asked = {"ddb_assets__retention": {"config": {"dry_run": True}}}
    with later():
        dry = _facts(chain.run("retention/orders_retention", config=asked))
        assert standing.objects() == before
        done = _facts(chain.run("retention/orders_retention"))
        again = _facts(chain.run("retention/orders_retention"))
    assert (dry["dry_run"], done["dry_run"]) == (True, False)
    exports = [data for name, data in before.items() if "/exports/" in name]
    for facts in (dry, done):
        assert (facts["exports_deleted_files"], facts["exports_kept_files"]) == (len(exports), 0)
        assert facts["exports_deleted_bytes"] == facts["deleted_bytes"] == sum(map(len, exports))
        assert facts["parquet_kept_bytes"] > 0
    assert again["exports_deleted_files"] == 0
    assert not [name for name in standing.objects() if "/exports/" in name]


def _facts(result: Any) -> dict[str, Any]:
    assert result.success
    (made,) = result.asset_materializations_for_node("ddb_assets__retention")
    return {name: value.value for name, value in made.metadata.items()}
