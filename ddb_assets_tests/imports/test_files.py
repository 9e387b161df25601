"""Which files an import reads, however they are named, and the columns that stand in their paths."""

import gzip
import json
import uuid
from pathlib import Path
from typing import Any

import click.testing
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.aws.storage import Storage, StorageError
from ddb_assets.bulk.rows import SourceError
from ddb_assets.cli import main
from ddb_assets.imports.files.files import find_files
from ddb_assets.imports.files.source import open_source
from ddb_assets.imports.import_config import ImportConfig
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import STATE
from ddb_assets_tests.imports.importing import imported, job
from ddb_assets_tests.imports.typed_items import EXAMPLES
from ddb_assets_tests.support.tables import items_of, new_table

FILES = [
    "a.csv",
    "b.csv",
    "_data.csv",
    ".secret.csv",
    "data[1].csv",
    "data1.csv",
    "sub/c.csv",
    "sub/_temporary/0/part-0.csv",
    "sub/.ipynb_checkpoints/c-checkpoint.csv",
    "_day=1/d.csv",
    "with[1]/e.csv",
]
VISIBLE = {file for file in FILES if file not in FILES[2:4] and "temporary" not in file and "ipynb" not in file}
NAMED: dict[str, set[str]] = {
    "{}": VISIBLE,
    "{}/": VISIBLE,
    "{}/*.csv": VISIBLE,
    "{}/a.csv": {"a.csv"},
    "{}/_data.csv": {"_data.csv"},
    "{}/_*.csv": {"_data.csv", "_day=1/d.csv"},
    "{}/data[1].csv": {"data[1].csv"},
    "{}/data[12].csv": {"data1.csv"},
    "{}/with[1]": {"with[1]/e.csv"},
    "{}/sub/_temporary": {"sub/_temporary/0/part-0.csv"},
    "{}/s*": {"sub/c.csv"},
}
LOCALLY = {"./{}/*.csv": VISIBLE, "{}//a.csv": {"a.csv"}, "{}//sub//*": {"sub/c.csv"}, "./{}/./sub": {"sub/c.csv"}}


def _read(storage: Storage, uri: str, folder: str) -> set[str]:
    return {file.uri.removeprefix(folder) for file in open_source(storage, uri, ImportConfig()).inputs}


@pytest.mark.parametrize(("named", "expected"), {**NAMED, **LOCALLY}.items())
def test_local_files_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, expected: set[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for file in FILES:
        Storage().write(f"d/{file}", b"pk\na\n")
    assert _read(Storage(), named.format("d"), "d/") == expected


@pytest.fixture(scope="module")
def bucket(sandbox: Sandbox) -> str:
    """A bucket with the same files in its root and in a folder, each with folder markers."""
    s3, name = sandbox.s3(), f"files-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    for place in ("", "m/"):
        for file in FILES:
            s3.put_object(Bucket=name, Key=f"{place}{file}", Body=b"pk\na\n")
    for marker in ("m/", "sub/", "m/sub/"):
        s3.put_object(Bucket=name, Key=marker, Body=b"")
    return f"s3://{name}"


@pytest.mark.parametrize(("named", "expected"), NAMED.items())
def test_files_on_s3_are_found(sandbox: Sandbox, bucket: str, named: str, expected: set[str]) -> None:
    storage = Storage(sandbox.s3())
    assert _read(storage, named.format(f"{bucket}/m"), f"{bucket}/m/") == expected
    if named.startswith(("{}/s", "{}/d", "{}/w")):
        assert _read(storage, named.format(bucket), f"{bucket}/") == expected


@pytest.mark.parametrize("named", ["{}", "{}/"])
def test_a_bucket_is_a_folder(sandbox: Sandbox, bucket: str, named: str) -> None:
    found = _read(Storage(sandbox.s3()), named.format(bucket), f"{bucket}/")
    assert found == VISIBLE | {f"m/{file}" for file in VISIBLE}


names = st.text("ab[]*?=_.-", min_size=1, max_size=4).filter(lambda name: name not in {".", ".."})
paths = st.lists(names, min_size=1, max_size=3).map("/".join)


@EXAMPLES
@given(found=st.lists(paths, min_size=1, max_size=5), data=st.data())
def test_a_file_is_found_by_its_own_path_whatever_its_name(tmp_path: Path, found: list[str], data: Any) -> None:
    folder = tmp_path / uuid.uuid4().hex
    made = []
    for path in found:
        try:
            Storage().write(str(folder / path), b"x")
        except StorageError:  # another file is in the place of its folder
            continue
        made.append(path)
    path = data.draw(st.sampled_from(made))
    slashes = data.draw(st.sampled_from(["/", "//", "/./"]))
    assert [file.uri for file in find_files(Storage(), f"{folder}{slashes}{path}")] == [str(folder / path)]
    below = {file.uri for file in find_files(Storage(), f"{folder}/")}
    assert below == {str(folder / p) for p in made if not any(n[0] in "_." and "=" not in n for n in p.split("/"))}


def test_links_are_followed_but_not_in_a_circle(tmp_path: Path) -> None:
    for path in ("d/a.csv", "elsewhere/b.csv", "elsewhere/deep/c.csv"):
        Storage().write(str(tmp_path / path), b"pk\na\n")
    (tmp_path / "d/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "d/file.csv").symlink_to(tmp_path / "elsewhere/b.csv")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "d")
    (tmp_path / "elsewhere/self").symlink_to(tmp_path / "elsewhere")
    names = ["a.csv", "file.csv", "linked/b.csv", "linked/deep/c.csv"]
    assert [file.uri for file in find_files(Storage(), str(tmp_path / "d"))] == [str(tmp_path / "d" / n) for n in names]
    (tmp_path / "whole").symlink_to(tmp_path / "d")
    assert len(find_files(Storage(), str(tmp_path / "whole"))) == 4
    (tmp_path / "d/gone.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(StorageError, match=r"d/gone\.csv is a link to something that is not there: mend or delete it"):
        find_files(Storage(), str(tmp_path / "d"))


def test_a_compressed_file_without_lines_is_no_other_format(sandbox: Sandbox, tmp_path: Path) -> None:
    for name, text in {"0.json.gz": b"", "1.json.gz": b'{"Item": {"pk": {"S": "a"}}}\n', "2.json.gz": b"\n \n"}.items():
        (tmp_path / name).write_bytes(gzip.compress(text))
    target = new_table(sandbox)
    assert imported(sandbox.endpoint_url, target, tmp_path).format == "dynamodb-json"
    assert items_of(sandbox, target) == [{"pk": {"S": "a"}}]
    (tmp_path / "1.json.gz").unlink()
    with pytest.raises(SourceError, match="has no rows"):
        job(sandbox.endpoint_url, target, tmp_path)


def test_tsv_files_have_tabs_also_when_they_are_redriven(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox)
    source = tmp_path / "d"
    source.mkdir()
    (source / "a.TSV").write_text("pk\tn\na,b\t1\nbad\n")
    (source / "b.csv").write_text("pk,n\nc,2\n")
    report = job(sandbox.endpoint_url, target, source, folder=tmp_path).run()
    assert (report.written, report.rejected) == (2, 1)
    assert report.reject_file
    mended = Path(report.reject_file)
    mended.write_text(mended.read_text().replace(r"bad\n", r"d,e\t3\n"))
    imported(sandbox.endpoint_url, target, mended, folder=tmp_path / "again", redrive=True)
    assert {item["pk"]["S"]: item["n"]["N"] for item in items_of(sandbox, target)} == {"a,b": "1", "c": "2", "d,e": "3"}


def test_columns_in_the_path_become_attributes(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox)
    rows = {
        "year=2024/city=S%C3%A3o Paulo/a.csv": "pk,n\na,1\n",
        "year=2025/city=__HIVE_DEFAULT_PARTITION__/b.csv": "pk,n\nb,2\nbad,,\n",
        "year=2025/city=Bern/c.csv": "pk,n,city\nc,3,Bern\nd,4,Genf\n",
    }
    for path, text in rows.items():
        Storage().write(str(tmp_path / "d" / path), text.encode())
    report = job(sandbox.endpoint_url, target, tmp_path / "d", {"types": {"year": "N"}}, folder=tmp_path).run()
    assert {row.reason for row in report.rejects} == {
        "3 fields, but there are 2 columns",
        "city: the file says 'Genf', its path 'Bern'",
    }
    assert report.reject_file
    mended = Path(report.reject_file)
    heading, refused, bad = mended.read_text().splitlines()
    refused = json.dumps({**json.loads(refused), "row": {"pk": "d", "year": "2025", "city": "Bern"}})
    mended.write_text("\n".join([heading, refused, bad.replace("bad,,", "e,5")]))
    imported(sandbox.endpoint_url, target, mended, {"types": {"year": "N"}}, folder=tmp_path / "again", redrive=True)
    found = {item["pk"]["S"]: (item["year"], item.get("city")) for item in items_of(sandbox, target)}
    assert found == {
        "a": ({"N": "2024"}, {"S": "São Paulo"}),
        "b": ({"N": "2025"}, None),
        "c": ({"N": "2025"}, {"S": "Bern"}),
        "d": ({"N": "2025"}, {"S": "Bern"}),
        "e": ({"N": "2025"}, None),
    }


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("a.jsonl", '{"pk": "a"}', '{"n": 7}'),
        ("a.jsonl", '{"pk": "a"}', '{"pk": '),
        ("a.tsv", "pk\tn\na\t1", "b\t1\tc,d"),
    ],
)
def test_a_row_that_a_redrive_rejects_again_keeps_what_its_files_name_says(
    sandbox: Sandbox, tmp_path: Path, name: str, good: str, bad: str
) -> None:
    """The columns of the path, and the delimiter."""
    target = new_table(sandbox)
    Storage().write(str(tmp_path / "year=2024" / name), f"{good}\n{bad}\n".encode())
    source: Path = tmp_path / "year=2024"
    for number in range(3):
        rejects = tmp_path / f"{number}.rejects.jsonl"
        report = job(sandbox.endpoint_url, target, source, rejects=str(rejects), redrive=number > 0).run()
        assert report.rejected == 1
        source = rejects
    mended = {'{"n": 7}': '{"pk": "b"}', '{"pk": ': '{"pk": "b"}', "b\t1\tc,d": "b\t1"}[bad]
    heading, *lines = map(json.loads, source.read_text().splitlines())
    [line] = [{**line, "text": mended} if "text" in line else {**line, "row": {"pk": "b"}} for line in lines]
    source.write_text(f"{json.dumps(heading)}\n{json.dumps(line)}\n")
    imported(sandbox.endpoint_url, target, source, redrive=True)
    assert {item["pk"]["S"]: item.get("year") for item in items_of(sandbox, target)} == {
        "a": {"S": "2024"},
        "b": {"S": "2024"},
    }


@pytest.mark.parametrize("text", ['{"pk": "a"}\n', '{"pk": "a", "month": 1}\n'])
def test_a_column_in_the_path_is_a_text_unless_the_file_has_it(sandbox: Sandbox, tmp_path: Path, text: str) -> None:
    target = new_table(sandbox)
    Storage().write(str(tmp_path / "month=01/a.jsonl"), text.encode())
    imported(sandbox.endpoint_url, target, tmp_path / "month=01")
    [item] = items_of(sandbox, target)
    assert item["month"] == ({"N": "1"} if "month" in text else {"S": "01"})


def test_columns_in_the_path_of_parquet_files_are_added_too(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox, ("pk", "S"), ("year", "N"))
    table = pa.table({"pk": ["a", "b"], "year": [2024, 2025]})
    ds.write_dataset(table, tmp_path, format="parquet", partitioning=["year"], partitioning_flavor="hive")
    imported(sandbox.endpoint_url, target, tmp_path)
    assert {item["pk"]["S"]: item["year"] for item in items_of(sandbox, target)} == {
        "a": {"N": "2024"},
        "b": {"N": "2025"},
    }


def test_stdin_is_read_and_leaves_nothing(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**sandbox.environment(), STATE: str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    target = new_table(sandbox)
    words = ["import", "-", "--table", target.name, "--format", "csv", "--json"]
    done = click.testing.CliRunner().invoke(main, words, input=gzip.compress(b"pk,n\na,1\nb,x\n", mtime=0))
    assert done.exit_code == 0, done.output
    assert {item["pk"]["S"]: item["n"] for item in items_of(sandbox, target)} == {"a": {"S": "1"}, "b": {"S": "x"}}
    assert not [path for path in (tmp_path / "imports").iterdir() if "stdin" in path.name]
    again = click.testing.CliRunner().invoke(main, words, input=gzip.compress(b"pk,n\na,1\nb,x\n", mtime=0))
    other = click.testing.CliRunner().invoke(main, words, input=gzip.compress(b"pk,n\na,1\nb,y\n", mtime=0))
    one, same, another = (json.loads(run.stdout)["source"] for run in (done, again, other))
    assert one == same != another
    nothing = click.testing.CliRunner().invoke(main, words, input=b"")
    assert nothing.exit_code == 1
    assert "no file with content" in nothing.output
