"""Where Redshift behaves differently from PostgreSQL."""

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
    db.refused("longer than 127 bytes", f'CREATE TABLE "{one}3" (a INT)')  # the same text again
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
    db.run("INSERT INTO t VALUES (%s)", "ää  ")  # the excess is only blanks
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
        "CREATE SEQUENCE s",
        "CREATE TABLE u (a INT) INHERITS (t)",
        "CREATE TABLE u (a INT, b INT GENERATED ALWAYS AS (a + 1) STORED)",
        "CREATE TABLE u (a INT CHECK (a > 1))",
        "CREATE UNLOGGED TABLE u (a INT)",
        "DELETE FROM t AS x",
        "DELETE FROM t x USING t AS y WHERE x.a = y.a",
        "INSERT INTO t AS x VALUES (1)",
        "SELECT * FROM (VALUES (1)) AS v",
        "SELECT DISTINCT ON (a) a FROM t",
        "SELECT COUNT(*) FILTER (WHERE a > 1) FROM t",
        "SELECT a FROM t FOR UPDATE",
        "ALTER TABLE t APPEND FROM u",
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


def test_a_comment_or_semicolon_changes_nothing(db: Database) -> None:
    db.run("-- a comment\nCREATE TABLE t (a INT) /* and one */;")
    db.run("/* first */ BEGIN;")
    db.run("INSERT INTO t VALUES (1);")
    db.run("COMMIT;")
    assert db.run("SELECT a FROM t -- last") == [[1]]


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
