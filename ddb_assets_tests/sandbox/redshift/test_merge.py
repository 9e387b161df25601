"""MERGE as in Redshift, which supports less than PostgreSQL."""

import pytest

from ddb_assets_tests.sandbox.redshift.serving import Database


def test_merge_updates_inserts_and_deletes(db: Database) -> None:
    db.run("CREATE TABLE t (k VARCHAR(9), v INT)")
    db.run("CREATE TABLE s (k VARCHAR(9), v INT)")
    db.run("INSERT INTO t VALUES ('a', 1), ('b', 2)")
    db.run("INSERT INTO s VALUES ('b ', 20), ('c', 30), (NULL, 40)")
    merge = (
        "MERGE INTO t USING s AS src ON t.k = src.k WHEN MATCHED THEN UPDATE SET v = src.v "
        "WHEN NOT MATCHED THEN INSERT (k, v) VALUES (src.k, src.v)"
    )
    db.run(merge)
    assert db.run("SELECT k, v FROM t ORDER BY v") == [["a", 1], ["b", 20], ["c", 30], [None, 40]]
    db.run(merge)  # a NULL key never matches
    assert db.one("SELECT COUNT(*) FROM t WHERE k IS NULL") == 2
    db.run(
        "MERGE INTO t USING s ON t.k = s.k WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (k, v) VALUES (s.k, s.v)"
    )
    assert db.run("SELECT k FROM t WHERE k IS NOT NULL") == [["a"]]


MERGE = (
    "MERGE INTO t {target} USING s ON {on} WHEN MATCHED {when} THEN {then} {more} "
    "WHEN NOT MATCHED THEN INSERT (k) VALUES (s.k)"
)
GOOD = {"target": "", "on": "t.k = s.k", "when": "", "then": "UPDATE SET v = s.v", "more": ""}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "AS x", "on": "x.k = s.k"}, "syntax error"),
        ({"when": "AND s.v > 1"}, 'syntax error at or near "AND"'),
        ({"more": "WHEN MATCHED THEN DELETE"}, "syntax error"),
        ({"then": "UPDATE SET t.v = s.v"}, "syntax error"),
        ({"on": "t.k = s.k AND t.v > s.v"}, "equality predicates only"),
        ({"then": "DO NOTHING"}, "syntax error"),
        ({"more": "WHEN NOT MATCHED BY SOURCE THEN DELETE"}, 'syntax error at or near "BY"'),
    ],
)
def test_merge_of_other_forms_is_refused(db: Database, changes: dict[str, str], message: str) -> None:
    db.run("CREATE TABLE t (k INT, v INT)")
    db.run("CREATE TABLE s (k INT, v INT)")
    db.run(MERGE.format(**GOOD))
    db.refused(message, MERGE.format(**GOOD | changes))


def test_merge_needs_both_branches_and_two_tables(db: Database) -> None:
    db.run("CREATE TABLE t (k INT, v INT)")
    db.run("CREATE TABLE s (k INT, v INT)")
    db.refused("syntax error", "MERGE INTO t USING s ON t.k = s.k WHEN MATCHED THEN DELETE")
    db.refused(
        "different tables",
        "MERGE INTO t USING t ON t.k = t.k WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (k) VALUES (t.k)",
    )


def test_merge_refuses_two_matches(db: Database) -> None:
    db.run("CREATE TABLE t (k VARCHAR(5), v INT)")
    db.run("CREATE TABLE s (k VARCHAR(5), v INT)")
    db.run("INSERT INTO t VALUES ('a', 1)")
    db.run("INSERT INTO s VALUES ('a', 1), ('a ', 2)")
    fields = db.refused("Found multiple matches to update the same tuple", MERGE.format(**GOOD))
    assert fields["M"] == "Found multiple matches to update the same tuple."
    db.run("DELETE FROM t")
    db.run(MERGE.format(**GOOD))  # new keys are not compared with each other
    assert db.one("SELECT COUNT(*) FROM t") == 2


def test_merge_in_another_order_or_with_a_query_before_it_is_refused(db: Database) -> None:
    db.run("CREATE TABLE t (k INT, v INT)")
    db.run("CREATE TABLE s (k INT, v INT)")
    branches = ["WHEN NOT MATCHED THEN INSERT (k) VALUES (s.k)", "WHEN MATCHED THEN DELETE"]
    db.refused("syntax error", f"MERGE INTO t USING s ON t.k = s.k {' '.join(branches)}")
    merge = f"MERGE INTO t USING s ON t.k = s.k {' '.join(reversed(branches))}"
    db.refused("syntax error", f"WITH s AS (SELECT 1 AS k) {merge}")
    db.refused("syntax error", f"{merge} RETURNING k")
    db.run(merge)


def test_merge_takes_no_query_as_its_source(db: Database) -> None:
    db.run("CREATE TABLE t (k INT, v INT)")
    db.run("CREATE TABLE s (k INT, v INT)")
    db.refused("syntax error", MERGE.format(**GOOD).replace("USING s", "USING (SELECT k, v FROM s) AS s"))
    db.run(MERGE.format(**GOOD).replace("USING s", "USING s AS s"))


def test_merge_belongs_to_its_transaction(db: Database) -> None:
    db.run("CREATE TABLE t (k INT, v INT)")
    db.run("CREATE TABLE s (k INT, v INT)")
    db.run("INSERT INTO s VALUES (1, 1)")
    db.run("BEGIN")
    db.run(MERGE.format(**GOOD))
    assert db.one("SELECT COUNT(*) FROM t") == 1
    db.run("ROLLBACK")
    assert db.one("SELECT COUNT(*) FROM t") == 0
