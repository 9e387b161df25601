"""Distribution, sorting and compression: what CREATE and ALTER TABLE accept, and what the catalog shows."""

import pytest

from ddb_assets_tests.sandbox.redshift.serving import Database


def design(db: Database, table: str) -> list[list[object]]:
    return db.run(f"SELECT \"column\", encoding, distkey, sortkey FROM pg_table_def WHERE tablename = '{table}'")


def style(db: Database, table: str) -> list[object]:
    return db.run(
        'SELECT diststyle, sortkey1, sortkey_num FROM svv_table_info WHERE schema = %s AND "table" = %s',
        db.schema,
        table,
    )[0]


def test_attributes_of_columns(db: Database) -> None:
    db.run("CREATE TABLE t (a INT ENCODE delta DISTKEY, b VARCHAR(5) ENCODE zstd SORTKEY, c BOOLEAN, d SUPER)")
    assert design(db, "t") == [
        ["a", "delta", True, 0],
        ["b", "zstd", False, 1],
        ["c", "none", False, 0],
        ["d", None, False, 0],
    ]
    assert style(db, "t") == ["KEY(a)", "b", 1]


def test_attributes_of_the_table(db: Database) -> None:
    db.run('CREATE TABLE IF NOT EXISTS t ("A" INT, b INT, c INT) DISTSTYLE KEY DISTKEY ("A") COMPOUND SORTKEY (c, "A")')
    assert design(db, "t") == [["a", "none", True, 2], ["b", "az64", False, 0], ["c", "none", False, 1]]
    db.run("CREATE TABLE IF NOT EXISTS t (b INT) DISTSTYLE ALL")  # it exists
    assert style(db, "t") == ["KEY(a)", "c", 2]


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        ("", ["AUTO(ALL)", "AUTO(SORTKEY)", None]),
        ("DISTSTYLE AUTO SORTKEY AUTO ENCODE AUTO", ["AUTO(ALL)", "AUTO(SORTKEY)", None]),
        ("DISTSTYLE EVEN", ["EVEN", "AUTO(SORTKEY)", 0]),
        ("DISTSTYLE ALL SORTKEY (b)", ["ALL", "b", 1]),
        ("DISTKEY (a)", ["KEY(a)", "AUTO(SORTKEY)", 0]),
        ("INTERLEAVED SORTKEY (a, b)", ["AUTO(ALL)", "a", 2]),
    ],
)
def test_styles(db: Database, attributes: str, found: list[object]) -> None:
    db.run(f"CREATE TABLE t (a INT, b INT) {attributes}")
    assert style(db, "t")[:2] == found[:2]
    assert style(db, "t")[2] in {found[2], None, 0}


@pytest.mark.parametrize(
    ("columns", "attributes", "message"),
    [
        ("a INT DISTKEY, b INT DISTKEY", "", "multiple columns"),
        ("a INT DISTKEY", "DISTKEY (b)", "multiple columns"),
        ("a INT", "DISTKEY (x)", 'column "x" named in DISTKEY does not exist'),
        ("a INT", "SORTKEY (a, x)", 'column "x" named in SORTKEY does not exist'),
        ("a INT", "SORTKEY (a, a)", "twice"),
        ("a INT", "DISTSTYLE KEY", "needs a DISTKEY"),
        ("a INT DISTKEY", "DISTSTYLE EVEN", "cannot be used with a DISTKEY"),
        ("a INT DISTKEY", "DISTSTYLE ALL", "cannot be used with a DISTKEY"),
        ("a INT", "DISTSTYLE ROUND", "invalid DISTSTYLE"),
        ("a SUPER", "DISTKEY (a)", "of type super cannot be a DISTKEY"),
        ("a SUPER SORTKEY", "", "of type super cannot be a SORTKEY"),
        ("a VARBYTE", "SORTKEY (a)", "of type varbyte cannot be a SORTKEY"),
        ("a INT ENCODE snappy", "", 'encoding type "snappy" does not exist'),
        ("a VARCHAR(5) ENCODE az64", "", "invalid encoding type az64"),
        ("a INT ENCODE text255", "", "invalid encoding type text255"),
        ("a SUPER ENCODE bytedict", "", "invalid encoding type bytedict"),
        ("a BOOLEAN ENCODE delta", "", "invalid encoding type delta"),
        (
            ", ".join(f"c{n} INT" for n in range(9)),
            f"INTERLEAVED SORTKEY ({', '.join(f'c{n}' for n in range(9))})",
            "8",
        ),
    ],
)
def test_designs_that_are_refused(db: Database, columns: str, attributes: str, message: str) -> None:
    db.refused(message, f"CREATE TABLE t ({columns}) {attributes}")
    assert db.one("SELECT COUNT(*) FROM pg_table_def WHERE tablename = 't'") == 0


def test_a_table_like_another_has_its_keys(db: Database) -> None:
    db.run("CREATE TABLE t (a INT, b INT) DISTKEY (a) SORTKEY (b)")
    db.run("CREATE TEMP TABLE s (LIKE t)")
    assert design(db, "s") == [["a", "none", True, 0], ["b", "none", False, 1]]
    db.refused("from the parent table", "CREATE TABLE u (LIKE t) DISTSTYLE EVEN")
    db.refused("cannot create temporary", f"CREATE TEMP TABLE {db.schema}.s2 (a INT)")


def test_a_table_made_of_a_query_may_have_keys(db: Database) -> None:
    db.run("CREATE TABLE t (a INT, b INT)")
    db.run("INSERT INTO t VALUES (1, 2)")
    db.run("CREATE TABLE u DISTKEY (a) SORTKEY (b) AS SELECT a, b FROM t")
    assert style(db, "u") == ["KEY(a)", "b", 1]
    assert db.run("SELECT * FROM u") == [[1, 2]]
    db.refused("does not exist", "CREATE TABLE w DISTKEY (x) AS SELECT a, b FROM t")


def test_keys_of_a_table_cannot_be_dropped_nor_added(db: Database) -> None:
    db.run("CREATE TABLE t (a INT, b INT, c INT) DISTKEY (a) SORTKEY (b)")
    for column in ("a", "b"):
        db.refused("distkey or a sortkey", f"ALTER TABLE t DROP COLUMN {column}")
        db.refused("distkey or a sortkey", f"ALTER TABLE t DROP COLUMN {column} CASCADE")
    db.run("ALTER TABLE t DROP COLUMN c")
    for attribute in ("DISTKEY", "SORTKEY", "PRIMARY KEY", "REFERENCES t (a)"):
        db.refused("does not support", f"ALTER TABLE t ADD COLUMN d INT {attribute}")
    db.run("ALTER TABLE t RENAME COLUMN a TO z")
    db.refused("distkey or a sortkey", "ALTER TABLE t DROP COLUMN z")


def test_keys_can_be_moved(db: Database) -> None:
    db.run("CREATE TABLE t (a INT, b INT) DISTKEY (a) SORTKEY (a)")
    db.run("ALTER TABLE t ALTER DISTKEY b")
    db.run("ALTER TABLE t ALTER SORTKEY (b)")
    assert style(db, "t") == ["KEY(b)", "b", 1]
    db.run("ALTER TABLE t DROP COLUMN a")
    db.run("ALTER TABLE t ALTER SORTKEY NONE, ALTER DISTSTYLE EVEN")
    assert style(db, "t") == ["EVEN", None, 0]
    db.run("ALTER TABLE t ALTER DISTSTYLE KEY DISTKEY b")
    assert style(db, "t")[0] == "KEY(b)"
    db.refused("does not exist", "ALTER TABLE t ALTER DISTKEY x")


def test_auto_keeps_the_keys_that_a_table_has(db: Database) -> None:
    """So such a column cannot be dropped, no matter whether a user or Redshift chose it."""
    db.run("CREATE TABLE t (a INT, b INT) DISTKEY (a) SORTKEY (b)")
    db.run("ALTER TABLE t ALTER DISTSTYLE AUTO")
    db.run("ALTER TABLE t ALTER SORTKEY AUTO")
    assert style(db, "t") == ["AUTO(KEY(a))", "AUTO(SORTKEY(b))", 1]
    for column in ("a", "b"):
        db.refused("distkey or a sortkey", f"ALTER TABLE t DROP COLUMN {column}")
    found = db.run("SELECT column_name, distkey, sortkey FROM svv_redshift_columns WHERE schema_name = %s", db.schema)
    assert found == [["a", True, 0], ["b", False, 1]]
    effective = "SELECT releffectivediststyle FROM pg_class_info JOIN pg_namespace ON pg_namespace.oid = relnamespace"
    assert db.one(f"{effective} WHERE relname = 't' AND nspname = %s", db.schema) == 12


def test_a_column_is_added_with_its_encoding(db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")
    db.run("ALTER TABLE t ADD COLUMN b VARCHAR(9) ENCODE zstd")
    assert design(db, "t") == [["a", "az64", False, 0], ["b", "zstd", False, 0]]
    db.refused("invalid encoding type az64", "ALTER TABLE t ADD COLUMN c VARCHAR(9) ENCODE az64")


@pytest.mark.parametrize("attribute", ["ENCODE bytedict", "ENCODE runlength", "ENCODE text255", "DEFAULT 'x'"])
def test_some_varchars_cannot_be_lengthened(db: Database, attribute: str) -> None:
    db.run(f"CREATE TABLE t (a VARCHAR(5) {attribute}, b VARCHAR(5) ENCODE zstd)")
    db.refused("cannot alter type", "ALTER TABLE t ALTER COLUMN a TYPE VARCHAR(9)")
    db.run("ALTER TABLE t ALTER COLUMN b TYPE VARCHAR(9)")


def test_the_design_goes_with_the_transaction(db: Database) -> None:
    db.run("CREATE TABLE t (a INT, b INT) DISTKEY (a)")
    db.run("BEGIN")
    db.run("ALTER TABLE t ALTER DISTKEY b")
    db.run("CREATE TABLE u (a INT) DISTKEY (a)")
    db.run("ROLLBACK")
    assert style(db, "t")[0] == "KEY(a)"
    db.run("CREATE TABLE u (a INT) DISTSTYLE ALL")
    assert style(db, "u")[0] == "ALL"


def test_comments(db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")
    db.run(f"COMMENT ON TABLE {db.schema}.t IS 'arn:aws:dynamodb:eu-west-1:123456789012:table/Orders'")
    db.run("COMMENT ON COLUMN t.a IS 'lines[].it''s'")
    assert db.one("SELECT obj_description(%s::regclass)", f"{db.schema}.t").endswith("table/Orders")
    remarks = "SELECT remarks FROM svv_redshift_columns WHERE schema_name = %s"
    assert db.one(remarks, db.schema) == "lines[].it's"
    db.run("COMMENT ON COLUMN t.a IS NULL")
    assert db.one(remarks, db.schema) is None
    db.run("CREATE VIEW v AS SELECT a FROM t")
    db.run("COMMENT ON VIEW v IS 'x'")
    db.refused("does not exist", "COMMENT ON COLUMN t.b IS 'x'")


@pytest.mark.parametrize(
    "what", ["", "t", "VERBOSE t", "t (a, b)", "t PREDICATE COLUMNS", "{schema}.t (a) ALL COLUMNS", '"{schema}"."T"']
)
def test_analyze(db: Database, what: str) -> None:
    db.run("CREATE TABLE t (a INT, b INT)")
    statement = f"ANALYZE {what.format(schema=db.schema)}"
    db.run(statement)
    db.run("BEGIN")
    db.run(statement)
    db.run("COMMIT")
    db.run("SET analyze_threshold_percent TO 0.01")
    for wrong in ("ANALYZE t, t", "ANALYZE (a)", "ANALYZE t (x)", "ANALYZE nowhere"):
        db.refused("", wrong)


def test_columns_are_counted_without_those_that_were_dropped(db: Database) -> None:
    db.run("CREATE TABLE t (a INT, b INT DEFAULT 5, c VARCHAR(3))")
    db.run("ALTER TABLE t DROP COLUMN a")
    db.run("ALTER TABLE t ADD COLUMN d SUPER")
    db.run(f"CREATE VIEW late AS SELECT b FROM {db.schema}.t WITH NO SCHEMA BINDING")
    db.run("CREATE VIEW bound AS SELECT c FROM t")
    columns = "SELECT table_name, ordinal_position, column_name, column_default FROM svv_redshift_columns "
    assert db.run(columns + "WHERE schema_name = %s ORDER BY table_name, ordinal_position", db.schema) == [
        ["bound", 1, "c", ""],
        ["t", 1, "b", "5"],
        ["t", 2, "c", ""],
        ["t", 3, "d", ""],
    ]
