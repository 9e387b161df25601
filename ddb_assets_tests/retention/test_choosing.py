"""What is chosen can be missed: for any loads, of any ages, of which anything is left, the same is recovered afterwards."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.aws.storage import Entry
from ddb_assets.contract.keep import KINDS, Keep, Kind
from ddb_assets.contract.table import Table
from ddb_assets.recovery.plan import Left, rebuild
from ddb_assets.retention.choosing import agreed, choose, needed
from ddb_assets.retention.landings import Apart, Form, Lake, Landing
from ddb_assets.warehouse.results import Load, Recorded

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = BEGUN + timedelta(days=100)
NOTHING = Recorded((), {})
ORDERS = Table(table="Orders")
ALL = Keep.model_validate(dict.fromkeys(KINDS, "10 days"))


def day(number: int) -> datetime:
    return BEGUN + timedelta(days=number)


def load(sequence: int, start: int | None, end: int, *, at: int | None = None, quarantined: int = 0) -> Load:
    """A full export of a day, or the window between two days, loaded on day `at`."""
    return Load(
        sequence=sequence,
        export_id=f"{sequence:03d}",
        export_type="FULL_EXPORT" if start is None else "INCREMENTAL_EXPORT",
        table_arn="arn",
        table_id="id",
        export_time=day(end) if start is None else None,
        from_time=None if start is None else day(start),
        to_time=None if start is None else day(end),
        loaded_at=day(end if at is None else at),
        quarantined=quarantined,
        schema_version=1,
    )


def form(kind: str, name: str, *, whole: bool = True) -> Form:
    return Form(f"s3://b/{kind}/{name}", (Entry(f"s3://b/{kind}/{name}/1", 10),), whole)


def landing(one: Load, left: str = "pe") -> Landing:
    """What is left: p and e are whole Parquet and a whole export, P and E damaged ones."""
    forms = {
        name: form(name, one.export_id, whole=letter.islower())
        for letter, name in (("p", "parquet"), ("P", "parquet"), ("e", "export"), ("E", "export"))
        if letter in left
    }
    quarantine, spill = (
        (Entry(f"s3://b/{name}/{one.export_id}", 1),) if letter in left else ()
        for name, letter in (("q", "q"), ("s", "s"))
    )
    return Landing(one, forms.get("parquet"), forms.get("export"), quarantine, spill)


def chosen(*landings: Landing, table: Table = ORDERS, keep: Keep = ALL, logged: bool = False) -> set[tuple[Kind, str]]:
    recorded = Recorded(tuple(one.load for one in landings), {})
    choice = choose(table, recorded, Lake(landings, logged=logged), keep, NOW)
    return {(one.kind, one.name) for one in choice.doomed}


def left_of(landings: list[Landing]) -> list[Left]:
    """What a recovery finds."""
    return [
        Left(
            one.load.export_id,
            "id",
            one.load.until or BEGUN,
            "",
            one.load.from_time,
            folder="p" if one.parquet and one.parquet.whole else "",
            export="e" if one.export and one.export.whole else "",
        )
        for one in landings
        if one.left
    ]


@st.composite
def lakes(draw: st.DrawFn) -> list[Landing]:
    """Full exports and windows of whole days, some of them loaded late or twice, of which some files are left."""
    found = []
    spans = draw(
        st.lists(
            st.tuples(
                st.one_of(st.none(), st.integers(0, 95)), st.integers(1, 5), st.integers(0, 4), st.integers(0, 2)
            ),
            min_size=1,
            max_size=15,
        )
    )
    for sequence, (start, length, late, unread) in enumerate(spans, 1):
        end = draw(st.integers(0, 95)) if start is None else start + length
        one = load(sequence, start, end, at=min(end + late, 100), quarantined=unread)
        found.append(
            landing(one, draw(st.sampled_from(["pe", "pe", "pe", "p", "e", "Pe", "pE", "pqs", "eqs", "PE", ""])))
        )
    return found


KEEPS = st.builds(
    lambda ages: Keep.model_validate(ages),
    st.dictionaries(st.sampled_from(KINDS), st.sampled_from(["1 day", "10 days", "60 days", "forever"])),
)
TABLES = st.sampled_from(
    [
        ORDERS,
        Table(table="Orders", history=True),
        Table(table="Orders", history={"keep": "30 days"}),
        Table(table="Orders", soft_delete=True),
        Table(table="Orders", load="replace"),
    ]
)


@given(lakes(), KEEPS, TABLES)
def test_the_same_is_recovered_from_what_stays(landings: list[Landing], keep: Keep, table: Table) -> None:
    recorded = Recorded(tuple(one.load for one in landings), {})
    choice = choose(table, recorded, Lake(tuple(landings)), keep, NOW)
    gone = {(one.kind, one.name) for one in choice.doomed}
    stays = [
        replace(
            one,
            parquet=None if ("parquet", one.load.export_id) in gone else one.parquet,
            export=None if ("exports", one.load.export_id) in gone else one.export,
        )
        for one in landings
    ]
    before, after = (rebuild(table, NOTHING, left_of(found), None, NOW) for found in (landings, stays))
    assert after.refused == before.refused
    assert [(one.start, one.time) for one in after.loads] == [(one.start, one.time) for one in before.loads]
    wanted = needed(table, recorded, NOW)
    for one, now in zip(landings, stays, strict=True):
        if one.load.export_id in wanted:
            assert now.left == one.left
            assert (
                now.parquet == one.parquet
            )  # DynamoDB lists an export for 90 days, and recover finds it by that alone
    for doomed in choice.doomed:
        time = next(one.load.loaded_at for one in landings if one.load.export_id == doomed.name)
        age = keep.age(doomed.kind)
        assert time is not None
        assert age is not None
        assert time <= NOW - age
    again = choose(table, recorded, Lake(tuple(stays)), keep, NOW)
    assert {one for one in again.doomed if one.kind in {"parquet", "exports"}} == set()


def test_what_is_needed_keeps_its_parquet_and_what_is_not_keeps_nothing() -> None:
    old, new = landing(load(1, None, 0)), landing(load(3, None, 10))
    windows = [landing(load(2, 0, 1)), landing(load(4, 10, 11)), landing(load(5, 11, 12))]
    assert chosen(old, new, *windows) == {
        *(("parquet", name) for name in ("001", "002")),
        *(("exports", name) for name in ("001", "002", "003", "004", "005")),
    }


def test_the_newest_parquet_stays_for_its_schema_document() -> None:
    keep = Keep(parquet="1 day")
    first, late = landing(load(1, None, 5)), load(2, None, 0)
    assert chosen(first, landing(late), keep=keep) == set()
    assert chosen(first, landing(late), landing(load(3, None, 10)), keep=keep) == {
        ("parquet", "001"),
        ("parquet", "002"),
    }
    # the newest load has none: the one before it counts
    assert chosen(first, landing(late), landing(load(3, None, 10), "e"), keep=keep) == {("parquet", "001")}


def test_nothing_goes_while_something_that_is_needed_is_lost() -> None:
    landings = (landing(load(1, None, 0)), landing(load(2, None, 5), "PE"), landing(load(3, 5, 6), "peq"))
    assert chosen(*landings) == {("quarantine", "003")}
    choice = choose(ORDERS, Recorded(tuple(one.load for one in landings), {}), Lake(landings), ALL, NOW)
    assert "of export 002 neither whole Parquet nor a whole export is left" in choice.refused


def test_an_export_of_the_same_window_takes_the_place_of_a_lost_one() -> None:
    landings = (landing(load(1, None, 0), "p"), landing(load(2, 0, 1), ""), landing(load(3, 0, 1), "pe"))
    assert chosen(*landings) == {("exports", "003")}


@pytest.mark.parametrize(
    ("history", "gone"), [(True, set()), ({"keep": "30 days"}, {"001"}), ({"keep": "99 days"}, set())]
)
def test_a_history_needs_everything_since_the_full_export_before_its_time(history: object, gone: set[str]) -> None:
    table = Table.model_validate({"table": "Orders", "history": history})
    landings = [landing(load(number, None, end), "p") for number, end in ((1, 40), (2, 60), (3, 80), (4, 85))]
    assert chosen(*landings, table=table) == {("parquet", name) for name in gone}


def test_spilled_texts_go_once_a_full_export_without_gaps_has_replaced_the_rows() -> None:
    spilled = landing(load(1, None, 0), "s")
    assert chosen(spilled, landing(load(2, None, 5), "p")) == {("spill", "001")}
    assert chosen(spilled, landing(load(2, None, 5, quarantined=1), "p")) == set()
    assert chosen(spilled, landing(load(2, None, 5), "p"), logged=True) == set()
    assert chosen(spilled, landing(load(2, 0, 5), "p")) == set()


def test_what_the_table_of_changes_lacks_stays() -> None:
    waiting = replace(landing(load(1, None, 0)), awaited=True)
    assert chosen(waiting, landing(load(2, None, 5), "p")) == set()


def test_files_apart_go_if_they_are_free_and_old() -> None:
    entries = (Entry("s3://b/x", 1),)
    apart = [
        Apart("schemas", "old", entries, day(80), True),
        Apart("schemas", "young", entries, day(95), True),
        Apart("receipts", "needed", entries, day(80), False),
        Apart("streams", "unknown", entries, None, True),
    ]
    choice = choose(ORDERS, NOTHING, Lake(apart=tuple(apart)), ALL, NOW)
    assert [one.name for one in choice.doomed] == ["old"]


def test_contracts_that_share_exports_must_agree() -> None:
    found = [landing(load(1, None, 0)), landing(load(2, None, 5), "p")]
    recorded = Recorded(tuple(one.load for one in found), {})
    both, none = (choose(ORDERS, recorded, Lake(tuple(found)), keep, NOW) for keep in (ALL, Keep(parquet="1 day")))
    assert agreed([both, both]) == {"001"}
    assert agreed([both, none]) == frozenset()
