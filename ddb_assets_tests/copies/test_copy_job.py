"""What a copy does and refuses to do; how it stands up to faults is in `test_schedules.py`."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.aws.table import UnfitTableError
from ddb_assets.bulk.options import FilterText
from ddb_assets.bulk.scan import ReadError, TableReader
from ddb_assets.copies import verify
from ddb_assets.copies.attribute_mapping import CopyRefusedError
from ddb_assets.copies.copy_config import CopyOptions
from ddb_assets.copies.plan import dry_run, plan_copy
from ddb_assets.copies.sides import Side, check_different
from ddb_assets.copies.verify import SAMPLE
from ddb_assets_tests.copies.copying import BOTH_WAYS, ID, World, random_items, run
from ddb_assets_tests.support.fault_proxy import Schedule

pytestmark = pytest.mark.usefixtures("no_faults")


def some(count: int = 40, seed: int = 1) -> list[dict[str, Any]]:
    return random_items(random.Random(seed), ID, count)


def ids(world: World, table: str) -> set[str]:
    return {item["id"]["S"] for item in world.direct.scan(TableName=table)["Items"]}


def named(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"id": {"S": name}} | more for name in names]


def test_every_item_of_every_type_arrives_and_what_was_there_stays(world: World, tmp_path: Path) -> None:
    items = some()
    source, destination = world.table(ID, items), world.table(ID, named("mine"))
    plan = world.plan(source, destination)
    report = run(plan, tmp_path)
    assert (report.read, report.written, report.deleted, report.rejected) == (40, 40, 0, 0)
    assert world.items(destination) - world.items(source) == world.items(world.table(ID, named("mine")))
    for asked in BOTH_WAYS:
        found = plan.verifier.verify(asked)
        assert (found.source_items, found.destination_items, found.surplus) == (40, 41, 1)
        assert found.passed(exact=False)
        assert not found.passed(exact=True)


def test_a_table_of_the_same_name_in_another_region_is_another_table(world: World, tmp_path: Path) -> None:
    table = world.table(ID, some(10))
    far = world.client_at(world.proxy.endpoint_url, "eu-west-1")
    far.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    plan = plan_copy(Side.of(world.client, world.client, table), Side.of(far, far, table), CopyOptions())
    assert run(plan, tmp_path).written == 10
    assert far.scan(TableName=table)["Count"] == 10


@pytest.mark.parametrize("status", ["CREATING", "DELETING", "ARCHIVED", "INACCESSIBLE_ENCRYPTION_CREDENTIALS"])
def test_a_table_that_is_not_active_is_refused(world: World, status: str) -> None:
    whole = (
        Side.of(world.client, world.client, world.table(ID, some(3))),
        Side.of(world.client, world.client, world.table()),
    )
    for number in (0, 1):
        sides = [replace(side, table={**side.table, "TableStatus": status}) for side in whole]
        sides[1 - number] = whole[1 - number]
        with pytest.raises(
            UnfitTableError, match=f"table {sides[number].name} .* is {status}: wait until it is ACTIVE"
        ):
            plan_copy(sides[0], sides[1], CopyOptions())


def test_a_table_of_the_same_arn_at_another_endpoint_is_another_table(world: World) -> None:
    """As on two machines' sandboxes; without a TableId both count as the same table."""
    here = Side.of(world.client, world.client, world.table())
    check_different(here, replace(here, table={**here.table, "TableId": "another"}))
    nameless = replace(here, table={name: value for name, value in here.table.items() if name != "TableId"})
    with pytest.raises(CopyRefusedError, match="are the same table"):
        check_different(here, nameless)


def test_replicas_of_a_global_table_are_one_table(world: World) -> None:
    here = Side.of(world.client, world.client, world.table())
    there_arn = here.arn.replace("us-east-1", "eu-west-1")
    there = replace(here, table={**here.table, "TableArn": there_arn, "TableId": "another"})
    check_different(here, there)
    replicated = replace(here, table={**here.table, "Replicas": [{"RegionName": "eu-west-1"}]})
    with pytest.raises(CopyRefusedError, match="replicas of one global table"):
        check_different(replicated, there)
    with pytest.raises(CopyRefusedError, match="replicas of one global table"):
        check_different(there, replicated)


def test_a_table_given_by_its_arn_is_called_so_in_every_request(world: World, tmp_path: Path) -> None:
    """By its name alone, a table of another account would be the one of that name in ours."""
    tables = world.table(ID, some()), world.table(ID, some(5, 2))
    source, destination = (world.direct.describe_table(TableName=name)["Table"]["TableArn"] for name in tables)
    world.proxy.addressed.clear()
    plan = world.plan(source, destination, clean="extra")
    run(plan, tmp_path)
    assert plan.verifier.verify("all").passed(exact=True)
    assert plan.verifier.verify(SAMPLE).passed(exact=True)
    assert world.proxy.addressed == {source, destination}


@pytest.mark.parametrize("clean", ["all", "extra"])
def test_cleaning_is_refused_when_there_is_nothing_to_copy(world: World, clean: str) -> None:
    destination = world.table(ID, some(5))
    with pytest.raises(CopyRefusedError, match="has no items: cleaning"):
        world.plan(world.table(), destination, clean=clean)
    nothing = FilterText(expression="attribute_exists(#a)", names={"#a": "not-there"}, values={})
    if clean == "all":
        with pytest.raises(CopyRefusedError, match="that pass the filter"):
            world.plan(world.table(ID, some(5, 2)), destination, clean=clean, filter=nothing)
    assert len(world.items(destination)) == 5


def test_a_filter_that_is_none_is_told_before_anything_is_cleaned(world: World) -> None:
    source, destination = world.table(ID, some(5)), world.table(ID, some(5, 2))
    with pytest.raises(ReadError, match="ValidationException"):
        world.plan(
            source, destination, clean="all", filter=FilterText(expression="this is no expression", names={}, values={})
        )
    assert len(world.items(destination)) == 5


def test_clean_empties_the_destination_first(world: World, tmp_path: Path) -> None:
    source, destination = world.table(ID, some(30)), world.table(ID, some(30, 2))
    plan = world.plan(source, destination, clean="all")
    report = run(plan, tmp_path)
    assert (report.deleted, report.written) == (30, 30)
    assert world.items(destination) == world.items(source)
    assert plan.verifier.verify(SAMPLE).passed(exact=True)


def test_clean_extra_never_leaves_the_destination_without_the_items_it_keeps(world: World, tmp_path: Path) -> None:
    source = world.table(ID, named("a", "b", "c", v={"N": "2"}))
    destination = world.table(ID, named("b", "c", "x", "y", v={"N": "1"}))
    world.proxy.schedule = Schedule(page_limit=1)
    seen: list[set[str]] = []
    report = run(
        world.plan(source, destination, clean="extra"), tmp_path, lambda *_: seen.append(ids(world, destination))
    )
    assert (report.read, report.written, report.deleted) == (3, 3, 2)
    assert all({"b", "c"} <= there for there in seen)
    assert world.items(destination) == world.items(source)


def test_clean_extra_needs_a_source_that_can_be_asked(world: World) -> None:
    source, destination = world.table(ID, named("a", mail={"S": "m"})), world.table((("mail", "S"),))
    with pytest.raises(CopyRefusedError, match="--clean=extra"):
        world.plan(
            source,
            world.table(),
            clean="extra",
            filter=FilterText(expression="attribute_exists(id)", names={}, values={}),
        )
    with pytest.raises(CopyRefusedError, match="--clean=extra"):
        world.plan(source, destination, clean="extra", rekey=True)


def test_a_filter_copies_only_what_passes(world: World, tmp_path: Path) -> None:
    items = [{"id": {"S": f"i{n}"}, "status": {"S": "open" if n % 3 else "done"}} for n in range(60)]
    source, destination = world.table(ID, items), world.table()
    world.proxy.schedule = Schedule(page_limit=2)  # so that some pages are empty
    where = FilterText(expression="#s = :s", names={"#s": "status"}, values={":s": {"S": "done"}})
    plan = world.plan(source, destination, filter=where)
    assert run(plan, tmp_path).read == 20
    assert ids(world, destination) == {f"i{n}" for n in range(0, 60, 3)}
    assert plan.verifier.verify("all").passed(exact=True)
    assert plan.verifier.verify(SAMPLE).passed(exact=True)


def test_attributes_are_renamed_and_left_out_the_key_too(world: World, tmp_path: Path) -> None:
    items = [{"id": {"S": f"i{n}"}, "a": {"N": "1"}, "b": {"N": "2"}, "secret": {"S": "x"}} for n in range(12)]
    source, destination = world.table(ID, items), world.table((("pk", "S"),), [{"pk": {"S": "over"}}])
    rename = {"id": "pk", "a": "b", "b": "c"}
    plan = world.plan(source, destination, rename=rename, exclude=frozenset({"secret"}), clean="extra")
    assert run(plan, tmp_path).deleted == 1
    found = {item["pk"]["S"]: item for item in world.direct.scan(TableName=destination)["Items"]}
    assert found.keys() == {f"i{n}" for n in range(12)}
    assert found["i3"] == {"pk": {"S": "i3"}, "b": {"N": "1"}, "c": {"N": "2"}}
    assert plan.verifier.verify("all").passed(exact=True)


def test_an_item_with_two_attributes_of_one_new_name_is_rejected_whole(world: World, tmp_path: Path) -> None:
    source = world.table(ID, [*named("fine", a={"N": "1"}), *named("both", a={"N": "1"}, b={"N": "2"})])
    destination = world.table()
    report = run(world.plan(source, destination, rename={"a": "b"}), tmp_path)
    assert (report.read, report.written, report.rejected) == (2, 1, 1)
    assert report.rejected_sample[0]["key"] == {"id": {"S": "both"}}
    [line] = (tmp_path / "rejects.jsonl").read_text().splitlines()[1:]
    told = json.loads(line)
    assert told["text"] == '{"Item":{"id":{"S":"both"},"b":{"N":"1"},"b":{"N":"2"}}}'
    assert "would be called 'b'" in told["reason"]


@pytest.mark.parametrize(
    ("source_keys", "destination_keys", "options", "message"),
    [
        (ID, (("pk", "S"),), {}, "--rename OLD=NEW"),
        (ID, (("id", "S"), ("sort", "S")), {}, "--rename OLD=NEW"),
        (ID, (("id", "N"),), {}, "is of type N, the source's 'id' of S"),
        (ID, ID, {"exclude": frozenset({"id"})}, "would be missing in every item"),
        (ID, ID, {"rename": {"id": "pk"}}, "would be missing in every item"),
        (ID, ID, {"rename": {"a": "c", "b": "c"}}, "renamed to one name"),
        (ID, ID, {"rename": {"a": "c"}, "exclude": frozenset({"a"})}, "either excluded or renamed"),
    ],
)
def test_keys_that_do_not_fit_are_refused(
    world: World, source_keys: Any, destination_keys: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(CopyRefusedError, match=message):
        world.plan(world.table(source_keys), world.table(destination_keys), **options)


def test_items_that_an_index_of_the_destination_refuses_are_rejected_alone(world: World, tmp_path: Path) -> None:
    index = {
        "IndexName": "by-n",
        "KeySchema": [{"AttributeName": "n", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    destination = world.table(
        ID, AttributeDefinitions=[{"AttributeName": "n", "AttributeType": "N"}], GlobalSecondaryIndexes=[index]
    )
    source = world.table(ID, [*named("text", n={"S": "one"}), *(named(f"i{n}", n={"N": str(n)})[0] for n in range(30))])
    plan = world.plan(source, destination)
    report = run(plan, tmp_path)
    assert (report.written, report.rejected) == (30, 1)
    assert "must be of type N, found S" in report.rejected_sample[0]["reason"]
    found = plan.verifier.verify("all")
    assert not found.passed(exact=False)
    assert found.missing == [{"id": {"S": "text"}}]


def test_reports_show_the_keys_of_rejected_items_and_not_the_items(world: World, tmp_path: Path) -> None:
    """They go into Dagster's event log, and an item may have 400 KB; the reject file has all of it."""
    large = {"S": "x" * 300_000}
    source = world.table(ID, [*named("no key", a=large), *named("bad key", mail=large)])
    destination = world.table((("mail", "S"),))
    plan = world.plan(source, destination, rekey=True)
    looked, report = dry_run(plan), run(plan, tmp_path)
    for sample in (looked.rejected_sample, report.rejected_sample):
        assert sorted((one["key"]["id"]["S"], one["reason"]) for one in sample) == [
            ("bad key", "key attribute 'mail' has 300000 bytes, DynamoDB takes 2048"),
            ("no key", "key attribute 'mail' is missing"),
        ]
        assert len(json.dumps(sample)) < 1000
    assert (tmp_path / "rejects.jsonl").stat().st_size > 600_000


def test_a_sample_is_read_in_pieces(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [{"id": {"S": f"i{n}"}} for n in range(70)]
    plan = world.plan(world.table(ID, items), world.table(ID, items[5:]))
    monkeypatch.setattr(verify, "PIECE", 20)
    get, asked = TableReader.get, []

    def counted(reader: TableReader, keys: Any, **more: Any) -> Any:
        asked.append(len(keys))
        return get(reader, keys, **more)

    monkeypatch.setattr(TableReader, "get", counted)
    found = plan.verifier.verify(1000)
    assert max(asked) == 20
    assert (found.compared, found.missing_count, len(found.missing)) == (70, 5, 5)


def test_a_dry_run_counts_everything_and_writes_nothing(world: World) -> None:
    source = world.table(
        ID, [*named("b", "c"), *named("large", v={"S": "x" * 2000}), *named("both", a={"N": "1"}, b={"N": "1"})]
    )
    destination = world.table(ID, named("b", "x", "y"))
    writes = world.proxy.requests["BatchWriteItem"]
    found = dry_run(world.plan(source, destination, clean="extra", rename={"a": "b"}))
    assert (found.items, found.rejected, found.destination_items, found.would_delete) == (4, 1, 3, 2)
    assert found.wcu == 1 + 1 + 2 + 2
    assert world.proxy.requests["BatchWriteItem"] == writes
    assert "auto scaling" in found.not_copied[-1]
    everything = dry_run(world.plan(source, destination, clean="all"))
    assert everything.would_delete == 3


def test_what_was_written_meanwhile_is_found(world: World, tmp_path: Path) -> None:
    source, destination = world.table(ID, some(30)), world.table()
    plan = world.plan(source, destination)
    run(plan, tmp_path)
    world.put(source, named("late"))
    [changed] = world.direct.scan(TableName=destination, Limit=1)["Items"]
    world.put(destination, [{**changed, "changed": {"BOOL": True}}])
    everything = plan.verifier.verify("all")
    assert everything.missing == [{"id": {"S": "late"}}]
    assert everything.different == [{"id": changed["id"]}]
    assert not everything.passed(exact=False)
    sample = plan.verifier.verify(SAMPLE)  # of fewer items than a sample has, so all of them
    assert (sample.missing, sample.different) == (everything.missing, everything.different)


def test_a_comparison_that_cannot_go_on_ends_at_once(world: World) -> None:
    """What fails in one segment is not kept back until the others have been read to their ends."""
    plan = world.plan(world.table(ID, some(200)), world.table(ID, some(200)), segments=8)
    world.proxy.schedule = Schedule(page_limit=1)
    before = world.proxy.requests["Scan"]

    def fail_in_a_segment(request: Any, **_: object) -> None:
        if b'"Segment":2,' in request.body and world.proxy.requests["Scan"] > before + 10:
            raise ZeroDivisionError

    events = world.client.meta.events
    events.register("before-send.dynamodb.Scan", fail_in_a_segment)
    try:
        with pytest.raises(ZeroDivisionError):
            plan.verifier.verify("all")
    finally:
        events.unregister("before-send.dynamodb.Scan", fail_in_a_segment)
    assert world.proxy.requests["Scan"] - before < 100


@pytest.mark.parametrize(
    ("options", "most_at_once"), [({}, 8), ({"max_rcu": 20.0}, 2), ({"max_rcu": 200.0}, 5), ({"max_rcu": 5000.0}, 8)]
)
def test_segments_follow_the_budget_of_rcus(world: World, options: dict[str, Any], most_at_once: int) -> None:
    """A small rate is not overdrawn by many readers at once; what was said stays as it was said."""
    source, destination = world.table(ID, some(5)), world.table()
    plan = world.plan(source, destination, workers=8, segments=None, **options)
    assert (plan.segments, plan.source_reader.readers) == (most_at_once, most_at_once)
    assert world.plan(source, destination, workers=8, segments=3, **options).segments == 3


def test_pages_follow_the_budget_of_rcus(world: World) -> None:
    """Two seconds' worth in all: of items of 4 KB, at 20 RCUs a second, that is 40 RCUs for two readers."""
    source = world.table(ID, [{"id": {"S": f"i{n:03}"}, "v": {"S": "x" * 4080}} for n in range(100)])
    plan = world.plan(source, world.table(), workers=8, max_rcu=20.0)
    assert len(plan.source_reader.scan(0, 1, None).items) == 40  # half an RCU each
    consistent = world.plan(source, world.table(), workers=8, max_rcu=20.0, consistent=True)
    assert len(consistent.source_reader.scan(0, 1, None).items) == 20
    assert len(world.plan(source, world.table(), workers=8).source_reader.scan(0, 1, None).items) == 100


@pytest.mark.parametrize("text", ["1", "1.0", "1E0", "0.1E1"])
def test_a_number_key_is_known_however_it_is_written(world: World, text: str) -> None:
    """Or --clean=extra deletes what the source has."""
    source, destination = world.table((("id", "N"),), [{"id": {"N": "1"}}]), world.table((("id", "N"),))
    plan = world.plan(source, destination, clean="extra")
    assert plan.absent_in_source([{"id": {"N": text}}, {"id": {"N": "-1"}}]) == [{"id": {"N": "-1"}}]


def test_an_item_that_an_index_refuses_is_rejected_with_its_name(world: World, tmp_path: Path) -> None:
    source = world.table(ID, [{"id": {"S": "a"}, "status": {"N": "1"}}, {"id": {"S": "b"}}])
    destination = world.table(
        ID,
        AttributeDefinitions=[{"AttributeName": "status", "AttributeType": "S"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_status",
                "KeySchema": [{"AttributeName": "status", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    report = run(world.plan(source, destination), tmp_path)
    assert (report.written, report.rejected) == (1, 1)
    assert report.rejected_sample[0]["reason"] == "index by_status: key attribute 'status' must be of type S, found N"
