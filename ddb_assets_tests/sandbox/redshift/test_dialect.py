"""What Redshift does where PostgreSQL does otherwise."""

import datetime as dt
from decimal import Decimal

import pytest

from ddb_assets_tests.sandbox.redshift.serving import Database


def test_names_fold_even_when_quoted(db: Database) -> None:
    db.run('CREATE TABLE "Orders" ("userId" INT)')
    db.run('INSERT INTO orders ("USERID") VALUES (1)')
    assert db.run('SELECT "UserId" AS "Total" FROM "ORDERS"') == [[1]]
    db.refused("specified more than once", 'CREATE TABLE t ("userId" INT, userid INT)')
    assert db.run("SELECT column_name FROM svv_redshift_columns WHERE schema_name = %s", db.schema) == [["userid"]]


def test_other_letters_than_ascii_do_not_fold(db: Database) -> None:
    db.run('CREATE TABLE t ("Ä" INT, "ä" INT)')
    assert db.one("SELECT COUNT(*) FROM svv_redshift_columns WHERE schema_name = %s", db.schema) == 2


def test_names_of_127_bytes_are_whole_names(db: Database) -> None:
    one, other = "x" * 126 + "1", "x" * 126 + "2"
    db.run(f'CREATE TABLE "{one}" ("{one}" INT, "{other}" INT)')
    db.run(f'INSERT INTO "{one}" ("{other}", "{one}") VALUES (2, 1)')
    cursor = db.connection.cursor()
    cursor.execute(f'SELECT * FROM "{one}"')
    assert [d[0] for d in cursor.description] == [one, other]
    assert db.run("SELECT table_name, column_name FROM svv_redshift_columns WHERE table_name = %s", one) == [
        [one, one],
        [one, other],
    ]
    db.refused("longer than 127 bytes", f'CREATE TABLE "{one}3" (a INT)')
    db.refused("longer than 127 bytes", f'CREATE TABLE t ("{"ä" * 64}" INT)')


@pytest.mark.parametrize("name", ["oid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid", '"CTID"'])
def test_system_columns_names_are_forbidden(db: Database, name: str) -> None:
    db.run("CREATE TABLE t (a INT)")
    db.refused("conflicts with a system column name", f"CREATE TABLE u ({name} INT)")
    db.refused("conflicts with a system column name", f"ALTER TABLE t ADD COLUMN {name} INT")
    db.refused("conflicts with a system column name", f"ALTER TABLE t RENAME COLUMN a TO {name}")


def test_trailing_blanks_are_kept_and_not_compared(db: Database) -> None:
    db.run("CREATE TABLE t (k VARCHAR(10))")
    db.run("INSERT INTO t VALUES ('a'), ('a  '), (' a')")
    assert db.one("SELECT COUNT(*) FROM t WHERE k = 'a'") == 2
    assert db.one("SELECT COUNT(*) FROM t WHERE k = %s", "a ") == 2
    assert db.one("SELECT COUNT(DISTINCT k) FROM t") == 2
    assert db.run("SELECT COUNT(*) FROM t GROUP BY k ORDER BY 1") == [[1], [2]]
    assert db.one("SELECT COUNT(*) FROM t a INNER JOIN t b ON a.k = b.k") == 5
    assert db.one("SELECT MAX(LEN(k)) FROM t") == 3


def test_a_length_is_in_bytes(db: Database) -> None:
    db.run("CREATE TABLE t (k VARCHAR(4))")
    db.run("INSERT INTO t VALUES (%s)", "ääx"[:2])
    db.run("INSERT INTO t VALUES (%s)", "ää  ")  # only blanks hang over
    assert db.run("SELECT k FROM t") == [["ää"], ["ää"]]
    db.refused(r"too long for type character varying\(4\)", "INSERT INTO t VALUES (%s)", "äää")
    db.refused(r"too long for type character varying\(4\)", "INSERT INTO t VALUES ('äää')")
    db.run("CREATE TABLE u (k VARCHAR(2))")
    db.refused(r"too long for type character varying\(2\)", "INSERT INTO u SELECT k FROM t")
    assert db.one("SELECT CAST('äää' AS VARCHAR(5))") == "ää"


def test_sizes_have_defaults_and_limits(db: Database) -> None:
    db.run(
        "CREATE TABLE t (a VARCHAR, b TEXT, c NUMERIC, d VARBYTE, e CHAR, f VARCHAR(MAX), g DECIMAL(38,37), "
        "h VARBYTE(16777216))"
    )
    assert db.run(
        "SELECT column_name, data_type FROM svv_redshift_columns WHERE schema_name = %s ORDER BY ordinal_position",
        db.schema,
    ) == [
        ["a", "character varying(256)"],
        ["b", "character varying(256)"],
        ["c", "numeric(18,0)"],
        ["d", "binary varying(64000)"],
        ["e", "character(1)"],
        ["f", "character varying(65535)"],
        ["g", "numeric(38,37)"],
        ["h", "binary varying(16777216)"],
    ]
    db.run("INSERT INTO t (c) VALUES (1.5)")
    assert db.one("SELECT c FROM t") == Decimal(2)
    for kind in ("VARCHAR(65536)", "VARBYTE(16777217)", "CHAR(4097)"):
        db.refused("cannot exceed", f"CREATE TABLE u (a {kind})")
    for kind in ("DECIMAL(39,0)", "DECIMAL(38,38)"):
        db.refused("must be between", f"CREATE TABLE u (a {kind})")


@pytest.mark.parametrize("kind", ["JSONB", "JSON", "SERIAL", "BYTEA", "UUID", "XML"])
def test_postgresql_types_are_unknown(db: Database, kind: str) -> None:
    db.refused("does not exist", f"CREATE TABLE t (a {kind})")
    db.run("CREATE TABLE t (a INT)")
    db.refused("does not exist", f"ALTER TABLE t ADD COLUMN b {kind}")


def test_keys_are_not_enforced(db: Database) -> None:
    db.run("CREATE TABLE t (a INT PRIMARY KEY, b INT UNIQUE, c INT, UNIQUE (c))")
    db.run("INSERT INTO t VALUES (1, 1, 1), (1, 1, 1)")
    db.run("CREATE TABLE u (a INT, b INT REFERENCES t (a), PRIMARY KEY (a))")
    db.run("INSERT INTO u VALUES (1, 99), (1, 99)")
    db.refused("null value", "INSERT INTO t (b) VALUES (1)")
    db.refused("null value", "INSERT INTO u (b) VALUES (1)")


def test_distribution_sorting_and_encoding_are_accepted(db: Database) -> None:
    db.run("CREATE TABLE t (a INT ENCODE az64 DISTKEY, b VARCHAR(5) ENCODE zstd SORTKEY)")
    db.run("CREATE TABLE IF NOT EXISTS u (a INT, b INT) DISTSTYLE KEY DISTKEY (a) COMPOUND SORTKEY (a, b)")
    db.run("CREATE TEMP TABLE s (LIKE u)")
    db.run("INSERT INTO s VALUES (1, 2)")
    db.run("COMMENT ON COLUMN t.a IS 'lines[].sku'")
    db.run("ANALYZE t")
    db.run("CREATE VIEW v AS SELECT a FROM t WITH NO SCHEMA BINDING")
    assert db.run("SELECT * FROM s") == [[1, 2]]
    db.refused("cannot create temporary", f"CREATE TEMP TABLE {db.schema}.s2 (a INT)")


def test_truncate_commits(db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")
    db.run("CREATE TABLE u (a INT)")
    db.run("INSERT INTO t VALUES (1)")
    db.run("BEGIN")
    db.run("INSERT INTO u VALUES (1)")
    db.run("TRUNCATE TABLE t")
    db.run("ROLLBACK")
    assert (db.one("SELECT COUNT(*) FROM t"), db.one("SELECT COUNT(*) FROM u")) == (0, 1)


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
    db.run(MERGE.format(**GOOD))  # keys that are new are not compared with each other
    assert db.one("SELECT COUNT(*) FROM t") == 2


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE t ADD COLUMN b INT, ADD COLUMN c INT",
        "ALTER TABLE t ADD COLUMN IF NOT EXISTS b INT",
        "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
        "INSERT INTO t VALUES (1) RETURNING a",
        "DELETE FROM t RETURNING a",
        "ALTER TABLE t ADD COLUMN b INT NOT NULL",
        "ALTER TABLE t ADD COLUMN b INT UNIQUE",
        "CREATE INDEX i ON t (a)",
        "ALTER TABLE t ALTER COLUMN a TYPE BIGINT",
        "ALTER TABLE t ALTER COLUMN a TYPE VARCHAR(20)",
        "ALTER TABLE t ALTER COLUMN k TYPE VARCHAR(5)",
        "ALTER TABLE t ALTER COLUMN k TYPE BIGINT",
        "SELECT 1; SELECT 2",
        "SELECT FROM WHERE",
    ],
)
def test_what_redshift_does_not_take_is_refused(db: Database, sql: str) -> None:
    db.run("CREATE TABLE t (a INT, k VARCHAR(10))")
    db.refused("", sql)
    assert db.one("SELECT COUNT(*) FROM t") == 0


def test_varchar_grows_outside_of_transactions(db: Database) -> None:
    db.run("CREATE TABLE t (k VARCHAR(5))")
    db.run("INSERT INTO t VALUES ('abcde')")
    db.run("ALTER TABLE t ALTER COLUMN k TYPE VARCHAR(10)")
    db.run("INSERT INTO t VALUES ('abcdefghij')")
    assert (
        db.one("SELECT data_type FROM svv_redshift_columns WHERE schema_name = %s", db.schema)
        == "character varying(10)"
    )
    for statement in ("ALTER TABLE t ALTER COLUMN k TYPE VARCHAR(20)", "VACUUM t"):
        db.run("BEGIN")
        db.refused("cannot run inside a transaction block", statement)
        db.refused("current transaction is aborted", "SELECT 1")
        db.run("ROLLBACK")
    db.run("VACUUM t")


def test_a_column_gets_another_type_by_copying(db: Database) -> None:
    db.run("CREATE TABLE t (a BIGINT)")
    db.run("INSERT INTO t VALUES (5)")
    db.run("BEGIN")
    db.run("ALTER TABLE t ADD COLUMN b DECIMAL(38,2)")
    db.run("UPDATE t SET b = CAST(t.a AS DECIMAL(38,2))")
    db.run("ALTER TABLE t DROP COLUMN a")
    db.run("ALTER TABLE t RENAME COLUMN b TO a")
    db.run("COMMIT")
    assert db.run("SELECT a FROM t") == [[Decimal("5.00")]]


def test_two_writers_of_one_row_conflict(db: Database) -> None:
    db.run("CREATE TABLE t (a INT, b INT)")
    db.run("INSERT INTO t VALUES (1, 0)")
    first, second = db.other(autocommit=False), db.other(autocommit=False)
    assert first.one("SELECT COUNT(*) FROM t") == second.one("SELECT COUNT(*) FROM t") == 1
    first.run("UPDATE t SET b = 1 WHERE a = 1")
    first.connection.commit()
    fields = second.refused("isolation violation", "UPDATE t SET b = 2 WHERE a = 1")
    assert (fields["M"], fields["C"]) == ("1023", "XX000")
    second.connection.rollback()
    second.run("UPDATE t SET b = 2 WHERE a = 1")
    second.connection.commit()


def test_parameters_of_every_kind(db: Database) -> None:
    db.run(
        "CREATE TABLE t (a BIGINT, b DECIMAL(38,2), c VARCHAR(20), d TIMESTAMP, e BOOLEAN, f DOUBLE PRECISION, g DATE, "
        "h TIMESTAMPTZ)"
    )
    when = dt.datetime(2024, 2, 29, 23, 59, 59, 999999)  # noqa: DTZ001 -- TIMESTAMP has no zone
    row = [
        2**62,
        Decimal("-1.50"),
        "100%% 'x' $1 ?",
        when,
        True,
        0.1,
        dt.date(2024, 2, 29),
        when.replace(tzinfo=dt.UTC),
    ]
    db.run("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", *row)
    assert db.run("SELECT * FROM t") == [row]
    db.run("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", *[None] * 8)
    assert db.run("SELECT * FROM t WHERE a IS NULL") == [[None] * 8]


def test_a_refusal_ends_the_transaction(db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")
    db.run("BEGIN")
    db.run("INSERT INTO t VALUES (1)")
    db.refused("syntax error", "INSERT INTO t VALUES (1) RETURNING a")
    db.refused("current transaction is aborted", "INSERT INTO t VALUES (2)")
    db.run("COMMIT")
    assert db.one("SELECT COUNT(*) FROM t") == 0


def test_lock_waits(db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")
    db.run("BEGIN")
    db.run("LOCK t")
    other = db.other()
    other.run("SET statement_timeout TO 100")
    other.refused("timeout", "SELECT * FROM t")
    db.run("COMMIT")
    assert other.run("SELECT * FROM t") == []
