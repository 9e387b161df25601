"""What could not be read is not absent: such items keep their rows, with a mark, and too many of them are refused."""

import json
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.report import Report
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.warehouse.errors import LoadError
from ddb_assets_tests.flatten.test_incremental import change
from ddb_assets_tests.flatten.test_unread import flattened, line
from ddb_assets_tests.support.examples import SOAK, orders_of
from ddb_assets_tests.warehouse.conformance.subject import Subject, load, loads, read
from ddb_assets_tests.warehouse.conformance.worlds import items
from ddb_assets_tests.warehouse.exports import BASE, BASE_MICROS, Item, Source

pytestmark = pytest.mark.needs("unread")
LIMIT = 10


@pytest.fixture
def orders(source: Source) -> Source:
    for key in "abc":
        source.put(1, key, f"first {key}", "x", "y")
    return source


def stale(subject: Subject) -> dict[str, int]:
    """Key to the time since which its row is marked."""
    if "_ddb_stale_since" not in subject.warehouse.columns(["orders"])["orders"]:
        return {}
    rows = subject.rows("orders", "order_id", "_ddb_stale_since")
    return {key: round((since - BASE.replace(tzinfo=None)).total_seconds() * 1_000_000) for key, since in rows if since}


def state(subject: Subject) -> tuple[dict[str, Item], dict[str, int]]:
    return read(subject), stale(subject)


@pytest.mark.alike
def test_more_than_the_contract_allows_is_refused_and_changes_nothing(subject: Subject, orders: Source) -> None:
    load(subject, orders.full(10))
    before = read(subject), loads(subject), subject.tables()
    for export in (
        orders.full(20, unread="ab"),
        orders.full(20, unkeyed="ab"),
        orders.full(20, unread="a", unkeyed="b"),
    ):
        with pytest.raises(LoadError, match=r"of the 3 items .* 2 could not be read: nothing was loaded") as refused:
            load(subject, export, max_quarantined=1)
        assert "file0 line 1: no number" in str(refused.value)
        assert "somewhere/_quarantine/0.jsonl" in str(refused.value)
        assert "max_quarantined: 2" in str(refused.value)
    assert (read(subject), loads(subject), subject.tables()) == before
    with pytest.raises(LoadError, match="allows 0"):
        load(subject, orders.full(20, unread="a"))


@pytest.mark.alike
@pytest.mark.parametrize("kind", ["unread", "unkeyed"])
def test_an_export_of_which_nothing_can_be_read_is_refused_whatever_is_allowed(
    subject: Subject, orders: Source, kind: str
) -> None:
    load(subject, orders.full(10))
    orders.put(11, "a", "second")
    for export in (orders.full(20, **{kind: "abc"}), orders.window(10, 20, **{kind: "a"})):
        with pytest.raises(LoadError, match="no item at all could be read"):
            load(subject, export, max_quarantined=1000)
    assert set(read(subject)) == set("abc")


@pytest.mark.alike
def test_keys_that_do_not_add_up_are_refused(subject: Subject, orders: Source) -> None:
    good = orders.full(10, unread="a")
    assert good.unread
    for rows, quarantined in ((2, 1), (1, 0)):
        edited = good.unread.model_copy(update={"rows": rows})
        wrong = good.model_copy(update={"unread": edited, "quarantined": quarantined})
        with pytest.raises(LoadError, match="flatten it again"):
            load(subject, wrong, max_quarantined=LIMIT)


def test_a_full_export_keeps_the_rows_of_what_it_could_not_read(subject: Subject, orders: Source) -> None:
    load(subject, orders.full(10))
    orders.put(12, "a", "second a", "z")
    orders.put(13, "b", "second b", "z")
    orders.delete(14, "c")
    result = load(subject, orders.full(20, unread="a"), max_quarantined=LIMIT)
    assert (result.upserted, result.quarantined, result.kept_stale) == (1, 1, 1)
    assert state(subject) == ({"a": Item("first a", ("x", "y")), "b": Item("second b", ("z",))}, {"a": 20})
    load(subject, orders.full(30))
    assert state(subject) == (items(orders, 30), {})


@pytest.mark.alike
def test_a_full_export_with_an_unknown_key_deletes_nothing(subject: Subject, orders: Source) -> None:
    """It is unknown which of the rows that the export does not have are deleted, and which one could not be read."""
    load(subject, orders.full(10))
    orders.put(13, "b", "second b", "z")
    orders.delete(14, "c")
    result = load(subject, orders.full(20, unkeyed="a"), max_quarantined=LIMIT)
    assert (result.upserted, result.quarantined, result.kept_stale) == (1, 1, 2)
    kept = {key: Item(f"first {key}", ("x", "y")) for key in "ac"}
    assert state(subject) == ({**kept, "b": Item("second b", ("z",))}, {"a": 20, "c": 20})
    load(subject, orders.full(30))
    assert state(subject) == (items(orders, 30), {})


def test_a_key_that_no_row_can_have_hides_nothing(subject: Subject, tmp_path: Path) -> None:
    """Redshift treats `a` and `a ` as equal, and may cut a text at U+0000. So items with such keys are always quarantined."""
    schemas = SchemaStore(Storage(), str(tmp_path / "schemas"))
    kept = [line(pk={"S": key}) for key in ("b", "a ", "a  ", "c\0d")]
    load(subject, flattened(tmp_path / "1", [line(pk={"S": "a"}), *kept], schemas=schemas), max_quarantined=LIMIT)
    assert sorted(subject.rows("orders", "pk")) == [("a",), ("b",)]
    result = load(subject, flattened(tmp_path / "2", kept, schemas=schemas), max_quarantined=LIMIT, force=True)
    assert (result.quarantined, result.kept_stale) == (3, 0)
    assert subject.rows("orders", "pk") == [("b",)]
    window = [json.dumps(change(key, NewImage={})).encode() for key in ("b ", "b\0")]
    late = flattened(tmp_path / "3", window, incremental=True, schemas=schemas)
    assert load(subject, late, max_quarantined=LIMIT).quarantined == 2  # although nothing in it could be read


@pytest.mark.alike
def test_a_window_marks_the_rows_of_what_it_could_not_read(subject: Subject, orders: Source) -> None:
    load(subject, orders.full(10))
    orders.put(12, "a", "second a")
    orders.delete(13, "b")
    orders.put(14, "c", "second c")
    result = load(subject, orders.window(10, 20, unread="ab"), max_quarantined=LIMIT)
    assert (result.upserted, result.deleted, result.kept_stale) == (1, 0, 2)
    assert stale(subject) == {"a": 12, "b": 13}
    assert set(read(subject)) == set("abc")
    orders.put(21, "a", "third a")
    load(subject, orders.window(20, 30))
    assert stale(subject) == {"b": 13}
    assert read(subject)["a"] == Item("third a")


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("soft_delete", [False, True])
def test_every_order_gives_the_same_rows(subject: Subject, orders: Source, *, soft_delete: bool) -> None:
    orders.put(12, "a", "second a")
    orders.delete(13, "b")
    orders.put(14, "d", "first d")
    initial_load = orders.full(10)
    window = orders.window(10, 20, unread="d")
    again = orders.full(20, unread="a")
    orders.put(22, "c", "second c")
    orders.put(23, "e", "first e", "l")
    following = orders.window(20, 30, unread="c")
    wanted = {
        "a": Item("second a"),
        "c": Item("first c", ("x", "y")),
        "d": Item("first d"),
        "e": Item("first e", ("l",)),
    }
    tried = list(orders_of((initial_load, window, again, following)))
    if not SOAK:  # half of them with soft deletes
        tried = tried[soft_delete::2]
    for order in tried:
        subject.wipe()
        for export in _accepted(order):
            load(subject, export, soft_delete=soft_delete, max_quarantined=LIMIT)
        live = {key: item for key, item in read(subject).items() if key in wanted}
        assert live == wanted
        assert stale(subject) == {"a": 20, "c": 22}
        deleted = subject.rows("orders", "order_id", "_ddb_deleted_at") if soft_delete else []
        gone = {key for key, time in deleted if time}
        assert set(read(subject)) - gone == set(wanted)


def _accepted(order: tuple[Report, ...]) -> list[Report]:
    """The exports in this order, with full exports before the windows that need one."""
    first = next(export for export in order if export.export_type == "FULL_EXPORT")
    return [first, *(export for export in order if export is not first)]


@pytest.mark.alike
def test_what_an_incomplete_initial_load_says_is_gone_stays_gone(subject: Subject, orders: Source) -> None:
    old = orders.full(10)
    orders.delete(13, "b")
    load(subject, orders.full(20, unread="a"), max_quarantined=LIMIT)
    assert load(subject, old).upserted == 1
    assert state(subject) == ({key: Item(f"first {key}", ("x", "y")) for key in "ac"}, {"a": 20})


def test_what_is_remembered_is_forgotten_when_the_export_can_be_read(subject: Subject, orders: Source) -> None:
    """The same exports, flattened again, for example after an update of the software. What they say now is what counts."""
    load(subject, orders.full(10))
    orders.put(12, "a", "second a")
    orders.put(13, "b", "second b")
    orders.put(14, "c", "not written at all, as it turns out")
    load(subject, orders.window(10, 20, unread="ac"), max_quarantined=LIMIT)
    assert stale(subject) == {"a": 12, "c": 14}
    orders.writes = [write for write in orders.writes if write[:2] != (14, "c")]
    load(subject, orders.window(10, 20, digest="d2"))
    assert state(subject) == (items(orders, 20), {})


@pytest.mark.alike
def test_an_old_export_brings_no_deleted_row_back_past_an_incomplete_initial_load(
    subject: Subject, orders: Source
) -> None:
    """The tombstone of the delete at 12 is pruned; the initial load at 20 does not say of every item whether it was there."""
    old = orders.full(5)
    load(subject, orders.full(10))
    orders.delete(12, "a")
    orders.put(13, "b", "second b")
    load(subject, orders.window(10, 20))
    orders.put(15, "a", "written again")
    load(subject, orders.full(20, unread="a"), max_quarantined=LIMIT)
    assert "a" not in read(subject)
    load(subject, old)
    assert "a" not in read(subject)


@pytest.mark.alike
def test_a_delete_that_is_forgotten_is_not_undone_past_an_incomplete_initial_load(
    subject: Subject, orders: Source
) -> None:
    keep = timedelta(microseconds=10)
    load(subject, orders.full(10))
    orders.put(11, "a", "second a")
    orders.delete(12, "a")
    late = orders.window(10, 12)
    load(subject, orders.window(10, 20))
    load(subject, orders.window(50, 60), tombstone_retention=keep)
    orders.put(65, "a", "written again")
    load(subject, orders.full(70, unread="a"), max_quarantined=LIMIT)
    with suppress(LoadError):  # a warehouse that has forgotten no delete need not refuse this
        load(subject, late)
    assert "a" not in read(subject)


def test_an_item_that_is_there_twice_once_unreadable_is_one_row(subject: Subject, orders: Source) -> None:
    load(subject, orders.full(10))
    export = orders.full(20, unread="a")
    whole = orders.full(20)
    twice = whole.model_copy(
        update={"unread": export.unread, "quarantined": 1, "items_in_manifest": 4, "lines_read": 4, "reasons": ("x",)}
    )
    load(subject, twice, max_quarantined=LIMIT)
    assert state(subject) == (items(orders, 20), {})
    assert min(subject.rows("orders", "_ddb_version")) == (BASE_MICROS + 20,)
