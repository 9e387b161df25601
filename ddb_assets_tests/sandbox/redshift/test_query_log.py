"""What a session and an administrator can query about statements and loads."""

import polars as pl

from ddb_assets_tests.sandbox.redshift.serving import Database, Lake


def test_the_last_query_is_the_last_that_compute_nodes_ran(db: Database) -> None:
    other = db.other()
    assert other.one("SELECT pg_last_query_id()") == -1
    db.run("CREATE TABLE t (a INT)")
    db.run("INSERT INTO t VALUES (1)")
    first = db.one("SELECT pg_last_query_id()")
    assert first == db.one("SELECT pg_last_query_id()") > 0  # this question does not count as a query
    db.run("SET query_group TO 'x'")
    db.run("SELECT COUNT(*) FROM svv_redshift_columns")
    assert db.one("SELECT pg_last_query_id()") == first
    db.run("SELECT a FROM t")
    assert db.one("SELECT pg_last_query_id()") > first


def test_an_administrator_finds_queries_by_their_label(db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")
    db.run(f"SET query_group TO 'orders {db.schema}'")
    db.run("INSERT INTO t VALUES (1)")
    inserted = db.one("SELECT pg_last_query_id()")
    db.run("SELECT a FROM t UNION ALL SELECT a FROM t")
    db.refused("division by zero", "DELETE FROM t WHERE 1 / (a - a) > 1")
    found = db.run(
        "SELECT query_type, status, returned_rows, query_text, query_id, error_message, elapsed_time >= 0 "
        "FROM sys_query_history WHERE query_label = %s ORDER BY query_id",
        f"orders {db.schema}",
    )
    assert [row[:3] for row in found if row[0] in {"INSERT", "DELETE"} or "UNION" in row[3]] == [
        ["INSERT", "success", 0],
        ["SELECT", "success", 2],
        ["DELETE", "failed", 0],
    ]
    assert found[0][3:5] == ["INSERT INTO t VALUES (1)", inserted]
    assert found[-1][5] == "division by zero"
    assert all(row[6] for row in found)


def test_statements_of_a_transaction_share_its_number(db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")
    db.run(f"SET query_group TO '{db.schema}'")
    db.run("BEGIN")
    db.run("INSERT INTO t VALUES (1)")
    db.run("INSERT INTO t VALUES (2)")
    db.run("COMMIT")
    db.run("INSERT INTO t VALUES (3)")
    found = db.run(
        "SELECT transaction_id, COUNT(*) FROM sys_query_history WHERE query_label = %s GROUP BY transaction_id ORDER BY 1",
        db.schema,
    )
    assert [count for _, count in found] == [4, 1]


def test_loads_and_their_files(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (a BIGINT)")
    copy = files.copy("t", pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": [3]}))
    db.run(copy)
    query = db.one("SELECT pg_last_copy_id()")
    assert query == db.one("SELECT pg_last_query_id()")
    assert db.run(
        "SELECT h.status, h.loaded_rows, q.query_type, h.transaction_id = q.transaction_id, h.session_id = q.session_id "
        "FROM sys_load_history AS h INNER JOIN sys_query_history AS q ON h.query_id = q.query_id WHERE h.query_id = %s",
        query,
    ) == [["completed", 3, "COPY", True, True]]
    assert db.run(
        "SELECT filename, lines_scanned, file_format FROM stl_load_commits WHERE query = %s ORDER BY filename", query
    ) == [[f"{files.place.root}/part-{n}.parquet", rows, "Parquet"] for n, rows in ((1, 2), (2, 1))]


def test_a_failed_load_is_listed_without_rows(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (a BIGINT)")
    good, bad = pl.DataFrame({"a": [1]}), pl.DataFrame({"a": ["x"]})
    copy = files.copy("t", good, bad)
    db.refused("incompatible", copy)
    source = copy.split("'")[1]
    assert db.run("SELECT status, loaded_rows, error_count FROM sys_load_history WHERE data_source = %s", source) == [
        ["aborted", 0, 1]
    ]
    assert db.one("SELECT pg_last_copy_id()") == -1
    assert db.run(
        "SELECT e.column_name, e.table_id = CAST('t'::regclass::oid AS INT) FROM sys_load_error_detail AS e "
        "INNER JOIN sys_load_history AS h ON e.query_id = h.query_id WHERE h.data_source = %s",
        source,
    ) in ([["a", True]],)
