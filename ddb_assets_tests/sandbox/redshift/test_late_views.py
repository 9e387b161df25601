"""Views WITH NO SCHEMA BINDING: they are created without their tables, outlive them, and are never stale."""

from ddb_assets_tests.sandbox.redshift.serving import Database


def test_a_view_is_created_before_its_table_and_outlives_it(db: Database) -> None:
    db.run(f"CREATE VIEW {db.schema}.v AS SELECT a FROM {db.schema}.t WITH NO SCHEMA BINDING")
    db.refused("does not exist", "SELECT * FROM v")
    db.run("CREATE TABLE t (a INT)")
    db.run("INSERT INTO t VALUES (1)")
    assert db.run("SELECT * FROM v") == [[1]]
    db.run("DROP TABLE t")
    db.refused("does not exist", f"SELECT a FROM {db.schema}.v")
    db.run("CREATE TABLE t (b INT, a VARCHAR(5))")
    db.run("INSERT INTO t VALUES (1, 'x')")
    assert db.run(f'SELECT v.a FROM "{db.schema.upper()}"."V" AS v') == [["x"]]


def test_an_ordinary_view_keeps_its_table_from_being_dropped(db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")
    db.run("CREATE VIEW v AS SELECT a FROM t")
    db.refused("depend", "DROP TABLE t")
    db.refused("depend", "ALTER TABLE t DROP COLUMN a")


def test_every_table_must_have_its_schema(db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")
    message = "All the relation names inside should be qualified when creating VIEW WITH NO SCHEMA BINDING"
    db.refused(message, "CREATE VIEW v AS SELECT a FROM t WITH NO SCHEMA BINDING")
    db.refused(message, f"CREATE VIEW v AS SELECT 1 FROM {db.schema}.t, t AS u WITH NO SCHEMA BINDING")
    db.run(f"CREATE VIEW v AS WITH c AS (SELECT a FROM {db.schema}.t) SELECT a FROM c WITH NO SCHEMA BINDING")
    assert db.run("SELECT * FROM v") == []


def test_a_view_follows_a_changed_column(db: Database) -> None:
    db.run("CREATE TABLE t (a INT, b INT)")
    db.run("INSERT INTO t VALUES (1, 2)")
    db.run(f"CREATE VIEW v AS SELECT * FROM {db.schema}.t WITH NO SCHEMA BINDING")
    db.run("ALTER TABLE t DROP COLUMN b")
    db.run("ALTER TABLE t ADD COLUMN c VARCHAR(3)")
    assert db.run("SELECT * FROM v") == [[1, None]]
    db.run("ALTER TABLE t ALTER COLUMN c TYPE VARCHAR(9)")


def test_views_are_replaced_dropped_and_rolled_back(db: Database) -> None:
    db.run("CREATE TABLE t (a INT, b INT)")
    db.run("INSERT INTO t VALUES (1, 2)")
    make = f"CREATE OR REPLACE VIEW v AS SELECT {{}} FROM {db.schema}.t WITH NO SCHEMA BINDING"
    db.run(make.format("a"))
    db.run(make.format("b, a"))
    assert db.run("SELECT * FROM v") == [[2, 1]]
    db.run("BEGIN")
    db.run(make.format("a"))
    assert db.run("SELECT * FROM v") == [[1]]
    db.run("ROLLBACK")
    assert db.run("SELECT * FROM v") == [[2, 1]]
    db.refused("already exists", make.format("a").replace("OR REPLACE ", ""))
    db.run("DROP VIEW v")
    db.refused("does not exist", "SELECT * FROM v")
    db.run("DROP VIEW IF EXISTS v")


def test_a_view_of_a_view_joined_and_copied(db: Database) -> None:
    db.run("CREATE TABLE t (a INT, payload SUPER)")
    db.run("INSERT INTO t SELECT 1, JSON_PARSE(%s)", '{"x": 5}')
    db.run(f"CREATE VIEW v AS SELECT a, t.payload.x AS x FROM {db.schema}.t WITH NO SCHEMA BINDING")
    db.run(f"CREATE VIEW w AS SELECT a, x FROM {db.schema}.v WHERE a = 1 WITH NO SCHEMA BINDING")
    assert db.run(f"SELECT {db.schema}.w.a, t.a FROM {db.schema}.w INNER JOIN t ON w.a = t.a") == [[1, 1]]
    db.run("CREATE TABLE u AS SELECT x FROM w")
    db.run("INSERT INTO u SELECT x FROM w")
    assert db.run("SELECT x FROM u") == [["5"], ["5"]]


def test_a_query_s_own_name_comes_first(db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")
    db.run(f"CREATE VIEW v AS SELECT a FROM {db.schema}.t WITH NO SCHEMA BINDING")
    assert db.run("WITH v AS (SELECT 5 AS a) SELECT a FROM v") == [[5]]


def test_other_sessions_see_it(db: Database) -> None:
    other = db.other()
    db.run("CREATE TABLE t (a INT)")
    db.run(f"CREATE VIEW v AS SELECT a FROM {db.schema}.t WITH NO SCHEMA BINDING")
    assert other.run("SELECT * FROM v") == []


def test_a_text_that_read_a_table_reads_the_view_that_took_its_place(db: Database) -> None:
    db.run("CREATE TABLE replaced (a INT)")
    db.run("INSERT INTO replaced VALUES (1)")
    for text in ("SELECT a FROM replaced", "INSERT INTO replaced SELECT a + 1 FROM replaced"):
        db.run(text)
    db.run("ALTER TABLE replaced RENAME TO t")
    db.run(f"CREATE VIEW replaced AS SELECT SUM(a) AS a FROM {db.schema}.t WITH NO SCHEMA BINDING")
    assert db.run("SELECT a FROM replaced") == [[3]]
    db.run("DROP VIEW replaced")
    db.run("CREATE TABLE replaced (a INT)")
    assert db.run("SELECT a FROM replaced") == []
