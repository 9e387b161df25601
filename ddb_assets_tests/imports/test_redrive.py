"""What a redrive repeats of the import that rejected the rows, and what becomes of reject files that are there already."""

import json
import multiprocessing
import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddb_assets.aws.table import TableDescription
from ddb_assets.cli import main
from ddb_assets.imports import import_job
from ddb_assets.imports.account import Progress
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import STATE
from ddb_assets_tests.imports.importing import job
from ddb_assets_tests.imports.typed_items import state
from ddb_assets_tests.support.materializing import asset, materialized
from ddb_assets_tests.support.tables import client_of, items_of, new_table

Run = Callable[..., click.testing.Result]


@pytest.fixture
def run(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`ddb-assets import` in a folder of its own."""
    for name in ("AWS_PROFILE", "DDB_ASSETS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**sandbox.environment(), STATE: str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def call(*words: str, code: int = 0) -> click.testing.Result:
        done = click.testing.CliRunner().invoke(main, ["import", *words])
        assert done.exit_code == code, done.output
        return done

    return call


@pytest.fixture
def bucket(sandbox: Sandbox) -> str:
    name = f"b-{uuid.uuid4().hex}"
    sandbox.s3().create_bucket(Bucket=name)
    return name


def write(name: str, text: str) -> str:
    Path(name).write_text(text)
    return name


def mend(name: str, *pairs: tuple[str, str]) -> str:
    text = Path(name).read_text()
    for before, after in pairs:
        assert before in text
        text = text.replace(before, after)
    return write(name, text)


def test_the_mapping_the_dialect_and_what_is_excluded_are_those_of_the_import(sandbox: Sandbox, run: Run) -> None:
    target = new_table(sandbox)
    rules = "attributes: {pk: {template: 'U#${id}'}, zip: zip, n: {column: n, type: N}}\nrest: true\nexclude: [ssn]\n"
    dialect = "csv: {delimiter: ';', no_value: ['', 'NULL']}\ntypes: {zip: S}\nwrite_nulls: true\n"
    config = write("import.yaml", rules + dialect)
    write("a.csv", "id;zip;n;ssn;note\na;01;1;123-45;x\nb;02;one;123-45;NULL\n")
    run("a.csv", "--table", target.name, "--config", config, "--rejects", "r.jsonl", code=1)
    assert "123-45" not in Path("r.jsonl").read_text()
    mend("r.jsonl", ('"one"', '"2"'))
    run("--redrive", "r.jsonl")
    assert state(items_of(sandbox, target)) == state(
        [
            {"pk": {"S": "U#a"}, "zip": {"S": "01"}, "n": {"N": "1"}, "note": {"S": "x"}},
            {"pk": {"S": "U#b"}, "zip": {"S": "02"}, "n": {"N": "2"}, "note": {"NULL": True}},
        ]
    )


@pytest.mark.parametrize("kind", ["csv", "jsonl", "dynamodb-json"])
def test_no_excluded_value_gets_into_the_file_or_the_table(sandbox: Sandbox, run: Run, kind: str) -> None:
    target = new_table(sandbox)
    text = {
        "csv": 'pk,ssn,v\n,123-45,1\nb,123-45\n"c"d,123-45,1\n',
        "jsonl": '{"ssn": "123-45", "v": 1}\n{"pk": "b", "ssn": "123-45"\n',
        "dynamodb-json": '{"Item":{"ssn":{"S":"123-45"}}}\n{"Item":{"ssn":{"S":"123-45"}}\n'
        '{"Metadata":{},"Keys":{"q":{"S":"x"}},"OldImage":{"ssn":{"S":"123-45"}}}\n',
    }[kind]
    write("a", text)
    config = write("import.yaml", f"format: {kind}\nexclude: [ssn]\n")
    run("a", "--table", target.name, "--config", config, "--rejects", "r.jsonl", code=1)
    assert "123-45" not in Path("r.jsonl").read_text()
    done = run("--redrive", "r.jsonl", code=1)
    assert (
        "its text is not here because the import excludes columns, or masks them: write the mended text of a:"
        in done.stderr
    )
    heading, first, *_ = map(json.loads, Path("r.jsonl").read_text().splitlines())
    first["row"] |= {"pk": {"S": "mended"}, "ssn": {"S": "123-45"}}
    write("r.jsonl", json.dumps(heading) + "\n" + json.dumps(first) + "\n")
    run("--redrive", "r.jsonl", "--restart")
    assert [item.keys() - {"v"} for item in items_of(sandbox, target)] == [{"pk"}]


def test_deletes_stay_deletes(sandbox: Sandbox, run: Run) -> None:
    target = new_table(sandbox)
    write("a.jsonl", '{"pk": "a"}\n{"pk": "b"}\n')
    run("a.jsonl", "--table", target.name)
    write("gone.jsonl", '{"pk": ""}\n')
    run("gone.jsonl", "--table", target.name, "--mode", "delete", "--rejects", "r.jsonl", code=1)
    mend("r.jsonl", (r"\"\"", r"\"b\""))
    report = json.loads(run("--redrive", "r.jsonl", "--json").stdout)
    assert (report["mode"], report["deleted"], report["written"]) == ("delete", 1, 0)
    assert items_of(sandbox, target) == [{"pk": {"S": "a"}}]


@pytest.mark.parametrize("words", [("--mode", "put"), ("--format", "csv"), ("--config", "r.jsonl")])
def test_nothing_that_the_file_says_can_be_said_otherwise(run: Run, words: tuple[str, ...]) -> None:
    done = run("--redrive", "r.jsonl", *words, code=2)
    assert f"{words[0]} does nothing with --redrive: the reject file's first line says it" in done.stderr


def test_a_table_that_was_made_again_is_another_one(sandbox: Sandbox, run: Run) -> None:
    target = new_table(sandbox)
    write("a.jsonl", '{"v": 1}\n')
    run("a.jsonl", "--table", target.name, "--rejects", "r.jsonl", code=1)
    client = client_of(sandbox.endpoint_url)
    table = client.describe_table(TableName=target.name)["Table"]
    client.delete_table(TableName=target.name)
    again = {name: table[name] for name in ("TableName", "KeySchema", "AttributeDefinitions")}
    client.create_table(**again, BillingMode="PAY_PER_REQUEST")  # type: ignore[arg-type]
    mend("r.jsonl", (r"{\"v", r"{\"pk\": \"a\", \"v"))
    done = run("--redrive", "r.jsonl", code=1)
    assert "was deleted and made again since it rejected these rows" in done.stderr
    assert not items_of(sandbox, target)


def test_no_run_writes_into_the_file_of_another(sandbox: Sandbox, run: Run) -> None:
    target = new_table(sandbox)
    write("a.jsonl", '{"v": 1}\n')
    words = ("a.jsonl", "--table", target.name, "--rejects", "r.jsonl")
    run(*words, code=1)
    before = Path("r.jsonl").read_bytes()
    for text in ('{"v": 2}\n', '{"pk": "good"}\n'):
        write("a.jsonl", text)
        done = run(*words, code=1)
        assert "r.jsonl has rows that an earlier run could not write" in done.stderr
        done = run("--redrive", "r.jsonl", "--rejects", "r.jsonl", code=1)
        assert "r.jsonl has rows that an earlier run could not write" in done.stderr
        assert Path("r.jsonl").read_bytes() == before
    assert not items_of(sandbox, target)
    assert "name another reject file" in run(*words[:-1], "a.jsonl", code=1).stderr
    assert Path("a.jsonl").read_text() == '{"pk": "good"}\n'
    for text in ('{"v": 3}\n', '{"v": 4}\n'):  # without a name each run has a file of its own
        write("a.jsonl", text)
        run(*words[:3], code=1)
    kept = [path.read_text() for path in Path("state/imports").glob("*.rejects.jsonl")]
    assert sorted(r"\"v\": 3" in text for text in kept) == [False, True]


def test_a_run_that_was_killed_at_once_finds_its_file_again(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first of the checkpoints that are saved while it runs."""
    monkeypatch.setattr(import_job, "PROGRESS_SECONDS", 0.0)
    target, path, rejects = new_table(sandbox), tmp_path / "a.jsonl", tmp_path / "r.jsonl"
    path.write_text('{"v": 1}\n' * 200 + "".join(f'{{"pk": "k{n}"}}\n' for n in range(9)))
    how: dict[str, Any] = {"folder": tmp_path / "state", "rejects": str(rejects)}

    def kill(now: Progress) -> None:
        if now.rows == 205:
            os.kill(os.getpid(), signal.SIGKILL)

    killed = job(sandbox.endpoint_url, target, path, on_progress=kill, **how)
    process = multiprocessing.get_context("fork").Process(target=killed.run)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert rejects.stat().st_size
    report = job(sandbox.endpoint_url, target, path, **how).run()
    assert (report.written, report.rejected, report.reject_file) == (9, 200, str(rejects))
    assert len(rejects.read_text().splitlines()) == 201


def test_a_file_on_s3_is_written_and_redriven_there(sandbox: Sandbox, run: Run, bucket: str) -> None:
    target, uri = new_table(sandbox), f"s3://{bucket}/rejects.jsonl"
    write("a.jsonl", '{"v": 1}\n')
    done = run("a.jsonl", "--table", target.name, "--rejects", uri, code=1)
    assert uri in done.stdout
    body = sandbox.s3().get_object(Bucket=bucket, Key="rejects.jsonl")["Body"].read()
    sandbox.s3().put_object(Bucket=bucket, Key="rejects.jsonl", Body=body.replace(rb"{\"v", rb"{\"pk\": \"a\", \"v"))
    run("--redrive", uri)
    assert len(items_of(sandbox, target)) == 1
    assert not [path.name for path in Path().iterdir() if path.name.startswith("s3")]
    run("a.jsonl", "--table", target.name, "--rejects", uri, code=1)
    assert b"pk" in sandbox.s3().get_object(Bucket=bucket, Key="rejects.jsonl")["Body"].read()
    assert (
        "write s3://bucket/key" in run("a.jsonl", "--table", target.name, "--rejects", f"s3:/{bucket}/r", code=1).stderr
    )


@pytest.mark.usefixtures("run")
def test_the_asset_writes_them_to_s3_and_shows_where(sandbox: Sandbox, bucket: str) -> None:
    target = new_table(sandbox)
    write("a.jsonl", '{"v": 1}\n{"pk": "a"}\n')
    told = {
        "name": "it",
        "table": target.name,
        "source": "a.jsonl",
        "max_rejects": 1,
        "rejects": f"s3://{bucket}/rejects/",
    }
    result = materialized(asset("DynamoDBImport", ["imports", "it"], told))
    [event] = result.asset_materializations_for_node("imports__it")
    uri = str(event.metadata["reject_file"].value)
    assert uri.startswith(f"s3://{bucket}/rejects/{target.name}-")
    body = sandbox.s3().get_object(Bucket=bucket, Key=uri.removeprefix(f"s3://{bucket}/"))["Body"].read()
    assert len(body.splitlines()) == 2


def test_records_that_a_quote_had_made_one_are_redriven_as_what_they_are(sandbox: Sandbox, run: Run) -> None:
    target = new_table(sandbox)
    write("a.csv", 'pk,v\na,1\nb,"2\nc,3\nd,"4"\ne,5\n')
    run("a.csv", "--table", target.name, "--rejects", "r.jsonl", code=1)
    mend("r.jsonl", (r"b,\"2", "b,2"))
    run("--redrive", "r.jsonl")
    assert {item["pk"]["S"]: item["v"] for item in items_of(sandbox, target)} == {
        key: {"N": str(n)} for n, key in enumerate("abcde", 1)
    }


NAMES = st.sampled_from(["pk", "a", "b", "c"])
RULES = st.fixed_dictionaries(
    {},
    optional={
        "exclude": st.lists(st.sampled_from("abc"), max_size=2),
        "types": st.dictionaries(st.sampled_from("abc"), st.sampled_from("SN"), max_size=2),
        "write_nulls": st.booleans(),
        "rest": st.just(True),
        "mode": st.sampled_from(["put", "if-not-exists"]),
        "attributes": st.dictionaries(
            st.sampled_from("ad"),
            st.sampled_from(
                ["c", {"template": "$$${a}-${b}"}, {"constant": {"n": 1.5}}, {"column": "b", "default": 0}]
            ),
            max_size=2,
        ).map(lambda rules: {"pk": "pk", **rules}),
    },
)
CELL = st.sampled_from(["", "1", "x", "0.50", "NULL", "é", '"'])


@pytest.fixture(scope="module")
def both(sandbox: Sandbox) -> tuple[TableDescription, TableDescription]:
    return new_table(sandbox), new_table(sandbox)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(rules=RULES, cells=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=4))
def test_mended_rows_end_as_if_they_had_been_good(
    sandbox: Sandbox,
    both: tuple[TableDescription, TableDescription],
    tmp_path_factory: pytest.TempPathFactory,
    rules: dict[str, Any],
    cells: list[tuple[str, str, str]],
) -> None:
    """Rows are rejected for their empty key, get one in the reject file, and are redriven; or have it from the beginning."""
    folder = tmp_path_factory.mktemp("redriven")

    def quoted(fields: tuple[str, ...]) -> str:
        return ",".join('"' + field.replace('"', '""') + '"' for field in fields) + "\n"

    for name, key in (("good", "k{}"), ("bad", "")):
        rows = [quoted((key.format(n), *row)) for n, row in enumerate(cells)]
        (folder / f"{name}.csv").write_text("pk,a,b,c\n" + "".join(rows))
    one, other = both
    good = job(sandbox.endpoint_url, one, folder / "good.csv", rules).run()
    bad = job(sandbox.endpoint_url, other, folder / "bad.csv", rules).run()
    assert bad.rejected == len(cells)
    assert bad.reject_file
    heading, *lines = map(json.loads, Path(bad.reject_file).read_text().splitlines())
    for n, line in enumerate(lines):
        line["row"]["pk"] = f"k{n}"
    mended = folder / "mended.jsonl"
    mended.write_text("".join(json.dumps(line) + "\n" for line in [heading, *lines]))
    again = job(sandbox.endpoint_url, other, mended, redrive=True).run()
    assert (again.written, again.rejected) == (good.written, good.rejected)
    assert state(items_of(sandbox, one)) == state(items_of(sandbox, other))
    for target in both:
        for item in items_of(sandbox, target):
            client_of(sandbox.endpoint_url).delete_item(TableName=target.name, Key={"pk": item["pk"]})
