"""Files as other tools write them, into a table: what they hold is in it afterwards, or the error says what to set."""

import gzip
import io
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.aws.storage import Storage
from ddb_assets.bulk.rows import SourceError
from ddb_assets.dynamodb.item import Item
from ddb_assets.imports.files.source import open_source
from ddb_assets.imports.formats import json_layout
from ddb_assets.imports.formats.dynamodb_record import dynamodb_record
from ddb_assets.imports.formats.json_layout import layout_of
from ddb_assets.imports.formats.json_rows import json_rows, plain_record
from ddb_assets.imports.import_config import ImportConfig
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.flatten.items import attributes
from ddb_assets_tests.imports.importing import imported, job
from ddb_assets_tests.imports.typed_items import EXAMPLES, state
from ddb_assets_tests.support.tables import items_of, new_table

BIG = "12345678901234567890123456789012345678"
ITEMS: list[Item] = [
    {"pk": {"S": "a"}, "n": {"N": BIG}, "b": {"B": "AAEC"}, "l": {"L": [{"NULL": True}, {"M": {"x": {"NS": ["1"]}}}]}},
    {"pk": {"S": "b"}, "é": {"S": "\U0001f600\n"}},
]
PLAIN: list[dict[str, Any]] = [{"pk": "a", "n": 1.5, "l": [None, {"x": True}]}, {"pk": "b", "Items": [{"y": 1}]}]
PLAIN_ITEMS: list[Item] = [
    {"pk": {"S": "a"}, "n": {"N": "1.5"}, "l": {"L": [{"NULL": True}, {"M": {"x": {"BOOL": True}}}]}},
    {"pk": {"S": "b"}, "Items": {"L": [{"M": {"y": {"N": "1"}}}]}},
]


def page(items: list[Any], **more: Any) -> dict[str, Any]:
    """As Scan answers and `aws dynamodb scan` prints it."""
    return {"Items": items, "Count": len(items), "ScannedCount": len(items), "ConsumedCapacity": None, **more}


def puts(items: list[Item]) -> list[Any]:
    return [{"PutRequest": {"Item": item}} for item in items]


def model(*tables: tuple[str, list[Item]]) -> dict[str, Any]:
    """As NoSQL Workbench writes it."""
    return {
        "ModelName": "Shop",
        "ModelMetadata": {"Author": "", "Version": "3.0"},
        "DataModel": [
            {
                "TableName": name,
                "KeyAttributes": {"PartitionKey": {"AttributeName": "pk", "AttributeType": "S"}},
                "NonKeyAttributes": [],
                "TableData": items,
                "DataAccess": {"MySql": {}},
            }
            for name, items in tables
        ],
    }


def lines(documents: list[Any]) -> str:
    return "".join(json.dumps(one) + "\n" for one in documents)


TYPED = {
    "bare lines": lines(ITEMS),
    "bare lines, blank ones before": "\n\n" + lines(ITEMS),
    "lines of an export": lines([{"Item": item} for item in ITEMS]),
    "array": json.dumps(ITEMS),
    "array, indented": json.dumps(ITEMS, indent=2),
    "array of export lines": json.dumps([{"Item": item} for item in ITEMS]),
    "scan": json.dumps(page(ITEMS), indent=4),
    "scan, compact": json.dumps(page(ITEMS)),
    "scan, counted first": json.dumps(dict(reversed(page(ITEMS).items())), indent=1),
    "pages, one a line": lines([page(ITEMS[:1], LastEvaluatedKey={"pk": {"S": "a"}}), page(ITEMS[1:])]),
    "array of pages": json.dumps([page(ITEMS[:1]), page([]), page(ITEMS[1:])]),
    "request items": json.dumps({"Other": puts(ITEMS)}),
    "request items, indented": json.dumps({"Other": puts(ITEMS)}, indent=2),
    "input of batch-write-item": json.dumps(
        {"RequestItems": {"Other": puts(ITEMS)}, "ReturnConsumedCapacity": "NONE"}, indent=2
    ),
    "array of requests": json.dumps(puts(ITEMS)),
    "lines of requests": lines(puts(ITEMS)),
    "Workbench": json.dumps(model(("Empty", []), ("Other", ITEMS)), indent=2),
    "Workbench, compact": json.dumps(model(("Other", ITEMS))),
}


@pytest.mark.parametrize("kind", TYPED)
def test_items_in_dynamodb_json_come_through(sandbox: Sandbox, tmp_path: Path, kind: str) -> None:
    target = new_table(sandbox)
    path = tmp_path / "file.json"
    path.write_text(TYPED[kind], encoding="utf-8")
    report = imported(sandbox.endpoint_url, target, path)
    assert (report.format, report.rows) == ("dynamodb-json", 2)
    assert state(items_of(sandbox, target)) == state(ITEMS)
    told = imported(sandbox.endpoint_url, target, path, {"format": "dynamodb-json"}, dry_run=True)
    assert told.rows == 2


@pytest.mark.parametrize(
    "text",
    [
        lines(PLAIN),
        json.dumps(PLAIN),
        json.dumps(PLAIN, indent=1),
        json.dumps(page(PLAIN), indent=1),
        json.dumps(page(PLAIN)),
        json.dumps([page(PLAIN)]),
    ],
)
def test_items_in_plain_json_come_through(sandbox: Sandbox, tmp_path: Path, text: str) -> None:
    target = new_table(sandbox)
    path = tmp_path / "file"
    path.write_text(text)
    report = imported(sandbox.endpoint_url, target, path)
    assert (report.format, report.rows) == ("jsonl", 2)
    assert state(items_of(sandbox, target)) == state(PLAIN_ITEMS)


@EXAMPLES
@given(found=st.lists(attributes, min_size=1, max_size=4), indent=st.none() | st.integers(0, 2), packed=st.booleans())
@pytest.mark.parametrize(
    "wrap",
    [list, page, lambda items: {"T": puts(items)}, lambda items: model(("T", items))],
    ids=["array", "scan", "batch", "model"],
)
def test_any_items_come_through_a_document(
    sandbox: Sandbox,
    tmp_path: Path,
    wrap: Callable[[list[Item]], Any],
    found: list[Item],
    indent: int | None,
    packed: bool,
) -> None:
    target = new_table(sandbox)
    items = [{**item, "pk": {"S": f"k{i}"}} for i, item in enumerate(found)]
    data = json.dumps(wrap(items), indent=indent).encode()
    path = tmp_path / "any"
    path.write_bytes(gzip.compress(data) if packed else data)
    imported(sandbox.endpoint_url, target, path)
    assert state(items_of(sandbox, target)) == state(items)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize(
    ("name", "text"), [("a.json", lines(PLAIN)), ("a.json", json.dumps(page(ITEMS))), ("a.csv", "pk,v\r\né,1\r\n")]
)
def test_a_byte_order_mark_says_the_encoding(
    sandbox: Sandbox, tmp_path: Path, name: str, text: str, encoding: str
) -> None:
    """PowerShell writes UTF-16, Excel and Notepad write a mark before UTF-8."""
    expected = new_table(sandbox), new_table(sandbox)
    for target, how in zip(expected, (encoding, "utf-8"), strict=True):
        (tmp_path / name).write_bytes(text.encode(how))
        imported(sandbox.endpoint_url, target, tmp_path / name)
    assert state(items_of(sandbox, expected[0])) == state(items_of(sandbox, expected[1]))


@pytest.mark.parametrize(("name", "text"), [("a.json", lines(PLAIN)), ("a.csv", "pk,v\na,1\nb,2\n")])
@pytest.mark.parametrize("config", [{}, {"csv": {"encoding": "utf-16"}}])
def test_utf_16_that_is_cut_short_is_an_error(
    sandbox: Sandbox, tmp_path: Path, name: str, text: str, config: dict[str, Any]
) -> None:
    target = new_table(sandbox)
    (tmp_path / name).write_bytes(text.encode("utf-16")[:-1])
    with pytest.raises(SourceError, match="not complete utf-16 text"):
        raise SourceError(str(job(sandbox.endpoint_url, target, tmp_path / name, config).run().problem))


def test_deletes_of_a_batch_write_are_done(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox)
    path = tmp_path / "batch.json"
    path.write_text(
        json.dumps({target.name: [*puts(ITEMS), {"DeleteRequest": {"Key": {"pk": {"S": "a"}}}}], "Other": puts([])})
    )
    report = imported(sandbox.endpoint_url, target, path, in_flight=1)
    assert report.rows == 3
    assert state(items_of(sandbox, target)) == state(ITEMS[1:])


@pytest.mark.parametrize("kind", ["batch", "model"])
def test_of_several_tables_in_a_file_the_one_of_this_name_is_taken(sandbox: Sandbox, tmp_path: Path, kind: str) -> None:
    target = new_table(sandbox)
    path = tmp_path / "file.json"
    other: list[Item] = [{"pk": {"S": "other"}}]
    for name in (target.name, "my.own"):
        tables = [("Other", other), (name, ITEMS)]
        whole = model(*tables) if kind == "model" else {table: puts(items) for table, items in tables}
        path.write_text(json.dumps(whole))
        if name == target.name:
            imported(sandbox.endpoint_url, target, path)
            assert state(items_of(sandbox, target)) == state(ITEMS)
    place = "DataModel[1].TableData" if kind == "model" else r"my\.own"
    with pytest.raises(SourceError) as error:
        job(sandbox.endpoint_url, target, path)
    assert f"items of several tables (Other, my.own), and none of them is called {target.name}" in str(error.value)
    assert place in str(error.value)
    second = new_table(sandbox)
    imported(sandbox.endpoint_url, second, path, {"items_at": place})
    assert state(items_of(sandbox, second)) == state(ITEMS)


def test_the_place_of_the_items_can_be_said(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox)
    path = tmp_path / "shop.json"
    path.write_text(json.dumps({"shop": {"lists": [{"rows": PLAIN[:1]}, {"rows": PLAIN[1:]}]}, "Items": [1]}, indent=1))
    with pytest.raises(
        SourceError, match=r"members shop, Items: say which array has the items, for example --items-at"
    ):
        job(sandbox.endpoint_url, target, path)
    report = imported(sandbox.endpoint_url, target, path, {"items_at": "shop.lists[].rows"})
    assert report.rows == 2
    assert state(items_of(sandbox, target)) == state(PLAIN_ITEMS)
    (tmp_path / "a.csv").write_text("pk\na\n")
    for file, config in ((path, {"format": "csv"}), (tmp_path / "a.csv", {})):
        with pytest.raises(SourceError, match=r"items_at \(shop\) says where .* is csv: leave it out"):
            job(sandbox.endpoint_url, target, file, {"items_at": "shop", **config})


@pytest.mark.parametrize("items", [PLAIN, ITEMS])
def test_a_line_that_may_be_one_item_or_many_is_not_guessed(sandbox: Sandbox, tmp_path: Path, items: list[Any]) -> None:
    target = new_table(sandbox, ("Items", "S"))
    path = tmp_path / "doubt.json"
    path.write_text(json.dumps({"Items": items}) + "\n")
    with pytest.raises(
        SourceError, match="may be one item with a list `Items`, or a list of items: give --items-at Items"
    ):
        job(sandbox.endpoint_url, target, path)
    assert job(sandbox.endpoint_url, target, path, {"items_at": "Items"}, dry_run=True).run().rows == 2
    assert job(sandbox.endpoint_url, target, path, {"format": "jsonl"}, dry_run=True).run().rows == 1


@pytest.mark.parametrize(
    "line",
    [
        '{"pk": "a", "Items": [{"x": 1}]}',
        '{"pk": "a", "Items": []}',
        '{"pk": "a", "Count": 1}',
        '{"pk": {"S": "a"}, "v": 1}',
        '{"pk": {"S": "a", "N": "1"}}',
        '{"pk": {"other": 1}}',
        '{"pk": {"N": 1}}',
        '{"T": [{"PutRequest": 1, "pk": 1}]}',
    ],
)
def test_a_plain_line_stays_one_item(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line + "\n")
    found = open_source(Storage(), str(path), ImportConfig())
    assert (found.format, found.inputs[0].path) == ("jsonl", None)


KNOWN = (*json_layout.PAGE, "RequestItems", "PutRequest", "DeleteRequest", "Item", "Key", "Keys", "S", "N")
MODEL = ("DataModel", "ModelName", "TableName", "TableData")
NAMES = st.sampled_from(sorted((*KNOWN, *MODEL))) | st.text(max_size=2)
PARTS = st.sampled_from([ITEMS[1], *puts(ITEMS), page(ITEMS)])
WHOLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 2)
    | st.text(max_size=2)
    | st.sampled_from([ITEMS[1], *puts(ITEMS), page(ITEMS)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=2), inner, max_size=4),
    max_leaves=12,
)


@given(
    documents=st.lists(WHOLE, min_size=1, max_size=3),
    indent=st.none() | st.just(1),
    told=st.sampled_from([None, "jsonl", "dynamodb-json"]),
    cut=st.integers(0, 60),
)
def test_any_json_has_a_layout_that_reads_it_or_an_error(
    documents: list[Any], indent: int | None, told: Any, cut: int
) -> None:
    """Whatever is in it: what has a layout has records, and every other exception is a defect."""
    text = "\n".join(json.dumps(one, indent=indent) for one in documents)
    for data in (text.encode(), text.encode()[: max(1, len(text) - cut)]):
        with suppress(SourceError):
            found = layout_of(io.BytesIO(data), "a.json", ".json", "T", told, None)
            if found:
                record = {"jsonl": plain_record, "dynamodb-json": dynamodb_record}[found.format]
                assert list(json_rows(io.BytesIO(data), "a.json", record, found.path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (json.dumps(page(ITEMS), indent=2)[:-80], "cut short"),
        (json.dumps(ITEMS, indent=2)[:-5], "cut short"),
        (json.dumps(page(ITEMS))[: -len('}, "Count": 2')], "cut short"),
        ('{"Items": [{"pk": {"S": "a"}}, {"pk": {"S": "b"}}', "cut short"),
        (
            json.dumps({**page(ITEMS), "Count": 3}, indent=2),
            "Count says 3, but here are 2 items: the file is not complete",
        ),
        (json.dumps({**page([]), "Count": 3}), "Count says 3, but there are no items: the file is not complete"),
        (json.dumps(model(("T", ITEMS)), indent=2)[:-60], "cut short"),
        (json.dumps(ITEMS) + "]", "is not an array"),
        ('{\n"Items": [\n{"pk": {"S": "a"}},\n{"pk": {"S": "b" "x"}}]}', "a.json:4: "),
    ],
)
def test_a_document_that_is_damaged_is_no_success(sandbox: Sandbox, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    for options in ({}, {"max_rejects": 1000}, {"allow_empty": True}):
        try:
            report = job(sandbox.endpoint_url, new_table(sandbox), path, **options).run()
            assert not report.complete
            problem = str(report.problem)
        except SourceError as error:
            problem = str(error)
        assert said in problem
        assert "a.json:" in problem


@pytest.mark.parametrize(
    "text", ["[]", "[ ]\n", json.dumps(page([])), json.dumps(page([]), indent=1), json.dumps(model(("T", [])))]
)
def test_a_document_without_items_is_nothing_read(sandbox: Sandbox, tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=r"a\.json has no rows: check it, or allow that with allow_empty"):
        job(sandbox.endpoint_url, new_table(sandbox), path)
    assert imported(sandbox.endpoint_url, new_table(sandbox), path, allow_empty=True).rows == 0


def test_items_of_the_wrong_shape_are_rejects_that_can_be_redriven(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox)
    path = tmp_path / "scan.json"
    wrong: list[Any] = [
        5,
        {"pk": {"S": "c"}, "n": {"N": 5}},
        {"pk": {"S": "d"}, "n": {"N": "x"}},
        {"PutRequest": {"Item": 1}},
    ]
    path.write_text("[\n" + ",\n".join(json.dumps(one) for one in [*ITEMS, *wrong]) + "\n]")
    rejects = tmp_path / "rejects.jsonl"
    report = job(sandbox.endpoint_url, target, path, rejects=str(rejects)).run()
    assert (report.written, report.rejected) == (2, 4)
    assert [(one.file, one.line) for one in report.rejects] == [(str(path), line) for line in (4, 5, 6, 7)]
    assert report.rejects[1].reason.endswith("n: N cannot hold int")
    heading, _, *kept = rejects.read_text().splitlines()
    mended = [line.replace(r"\"N\": 5", r"\"N\": \"5\"").replace(r"\"x\"", r"\"7\"") for line in kept[:2]]
    rejects.write_text("\n".join([heading, *mended]) + "\n")
    job(sandbox.endpoint_url, target, rejects, redrive=True).run()
    added = [{"pk": {"S": "c"}, "n": {"N": "5"}}, {"pk": {"S": "d"}, "n": {"N": "7"}}]
    assert state(items_of(sandbox, target)) == state([*ITEMS, *added])


def test_a_damaged_first_line_is_one_reject(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"pk": "a",}\n{"pk": "b"}\n')
    report = job(sandbox.endpoint_url, new_table(sandbox), path).run()
    assert (report.written, report.rejected, report.rejects[0].line) == (1, 1, 1)


def test_a_document_of_one_long_line_is_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_layout, "MAX_LINE_BYTES", 200)
    path = tmp_path / "a.json"
    for length in range(30):  # wherever the limit is
        path.write_text(json.dumps(page([{"pk": {"S": "x" * length}}, *ITEMS, *ITEMS, *ITEMS])))
        found = open_source(Storage(), str(path), ImportConfig())
        assert (found.format, found.inputs[0].path) == ("dynamodb-json", ("Items",))


def test_text_that_is_not_utf_8_rejects_its_item_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'[{"pk": "a"}, {"pk": "\xff"}, {"pk": "c"}]')
    report = job(sandbox.endpoint_url, new_table(sandbox), path).run()
    assert (report.written, report.rejected) == (2, 1)


def test_a_dump_of_dynamodump_is_its_pages(sandbox: Sandbox, tmp_path: Path) -> None:
    for name, items in (("Orders", ITEMS), ("Other", [{"pk": {"S": "other"}}])):
        folder = tmp_path / "dump" / name
        (folder / "data").mkdir(parents=True)
        described = {"Table": {"TableName": name, "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}]}}
        (folder / "schema.json").write_text(json.dumps(described, indent=2))
        for number, item in enumerate(items, 1):
            (folder / f"data/{number:04}.json").write_text(json.dumps(page([item], ResponseMetadata={}), indent=2))
    target = new_table(sandbox)
    imported(sandbox.endpoint_url, target, tmp_path / "dump/Orders")
    assert state(items_of(sandbox, target)) == state(ITEMS)
    with pytest.raises(
        SourceError, match=rf"several tables \(Orders, Other\), and none of them is of {target.name}: name"
    ):
        job(sandbox.endpoint_url, target, tmp_path / "dump")
    both = open_source(Storage(), str(tmp_path / "dump"), ImportConfig(), "Orders")
    assert [file.uri.rpartition("/")[2] for file in both.inputs] == ["0001.json", "0002.json"]


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ({1: page(ITEMS[:1]), 3: page(ITEMS[1:])}, "is not complete: its page 0002.json is missing"),
        ({2: page(ITEMS[1:])}, "is not complete: its page 0001.json is missing"),
        (
            {1: page(ITEMS), 2: page(ITEMS, LastEvaluatedKey={"pk": {"S": "b"}})},
            "0002.json says that there are more items",
        ),
        ({1: page(ITEMS), 2: []}, "0002.json is no page of a dump"),
    ],
)
def test_a_dump_that_is_not_complete_is_refused(
    sandbox: Sandbox, tmp_path: Path, pages: dict[int, Any], said: str
) -> None:
    """A dump ends early when its reads are throttled, and nothing in the folder says so but its last page."""
    target = new_table(sandbox)
    folder = tmp_path / "Orders"
    (folder / "data").mkdir(parents=True)
    (folder / "schema.json").write_text('{"Table": {"TableName": "Orders", "KeySchema": [{}]}}')
    for number, whole in pages.items():
        (folder / f"data/{number:04}.json").write_text(json.dumps(whole))
    with pytest.raises(SourceError) as error:
        job(sandbox.endpoint_url, target, folder)
    assert said in str(error.value)
    assert f"or name {folder}/data/ to import what is there" in str(error.value)
    if pages.get(2) != []:
        imported(sandbox.endpoint_url, target, folder / "data")


def test_a_map_with_many_members_is_no_list_of_items(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text(json.dumps({f"id{n}": {"v": n} for n in range(20_000)}, indent=0))
    with pytest.raises(
        SourceError, match=r"this is a JSON document with the members id0, id1, .*, id9: say which array"
    ):
        open_source(Storage(), str(path), ImportConfig())
    with pytest.raises(SourceError, match=r"there is no Items here \(--items-at\): the document has id0, .*, id9"):
        open_source(Storage(), str(path), ImportConfig(items_at="Items"))


def test_a_schema_that_describes_no_table_is_a_file_like_others(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "schema.json").write_text('{"pk": "x"}\n')
    (tmp_path / "data/a.json").write_text('{"pk": "y"}\n')
    assert len(open_source(Storage(), str(tmp_path), ImportConfig()).inputs) == 2
