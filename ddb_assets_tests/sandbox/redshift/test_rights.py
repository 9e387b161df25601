"""Users, owners and grants: what is refused without rights, and what each grant allows."""

import pytest

from ddb_assets_tests.sandbox.redshift.serving import Database


def test_an_existing_schema_cannot_be_created_without_the_right(db: Database) -> None:
    """IF NOT EXISTS does not help: the right on the database is checked first."""
    user = db.user()
    user.refused("permission denied for database dev", f"CREATE SCHEMA IF NOT EXISTS {db.schema}")
    db.run(f"GRANT CREATE ON DATABASE dev TO u{db.schema}")
    user.run(f"CREATE SCHEMA IF NOT EXISTS {db.schema}")
    db.run(f"REVOKE CREATE ON DATABASE dev FROM u{db.schema}")


def test_a_schema_of_another_is_closed(db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")
    user = db.user()
    user.refused("permission denied for schema", f"SELECT * FROM {db.schema}.t")
    assert user.one("SELECT COUNT(*) FROM svv_redshift_columns WHERE schema_name = %s", db.schema) == 0
    assert user.one(
        "SELECT COUNT(*) FROM pg_class INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace "
        "WHERE nspname = %s",
        db.schema,
    )
    db.run(f"GRANT USAGE ON SCHEMA {db.schema} TO u{db.schema}")
    assert user.refused("permission denied for relation t", "SELECT * FROM t")["C"] == "42501"
    user.refused("permission denied for schema", "CREATE TABLE u (a INT)")
    db.run(f"GRANT SELECT, INSERT ON t TO u{db.schema}")
    user.run("INSERT INTO t VALUES (1)")
    assert user.run("SELECT * FROM t") == [[1]]
    for ddl in ("ADD COLUMN b INT", "ALTER DISTSTYLE EVEN", "ALTER SORTKEY (a)", "RENAME TO w"):
        user.refused("must be owner of relation t", f"ALTER TABLE t {ddl}")
    user.refused("must be owner of relation t", "DROP TABLE t")
    db.run(f"ALTER TABLE t OWNER TO u{db.schema}")
    user.run("ALTER TABLE t ALTER SORTKEY (a)")


def test_a_user_needs_only_its_own_schema(db: Database) -> None:
    user = db.user()
    db.run(f'CREATE SCHEMA "o{db.schema}" AUTHORIZATION "u{db.schema}"')
    user.run(f"CREATE TABLE o{db.schema}.t (a INT, b INT) DISTKEY (a) SORTKEY (b)")
    user.run(f"ALTER TABLE o{db.schema}.t ALTER DISTSTYLE EVEN")
    user.run(f"CREATE VIEW o{db.schema}.v AS SELECT a FROM o{db.schema}.t WITH NO SCHEMA BINDING")
    assert user.run(f"SELECT * FROM o{db.schema}.v") == []
    user.refused("permission denied for (relation|view) svv_table_info", "SELECT * FROM svv_table_info")


def test_temporary_tables_are_a_right_of_the_public(db: Database) -> None:
    db.user().run("CREATE TEMP TABLE s (a INT)")
    user = db.other(user=f"u{db.schema}", password="Secret1")
    db.run("REVOKE TEMP ON DATABASE dev FROM PUBLIC")
    try:
        user.refused("permission denied to create temporary tables", "CREATE TEMP TABLE s (a INT)")
    finally:
        db.run("GRANT TEMP ON DATABASE dev TO PUBLIC")


@pytest.mark.parametrize("password", ["", "secret1"])
def test_a_user_needs_its_password(db: Database, password: str) -> None:
    db.run(f"CREATE USER u{db.schema} PASSWORD 'Secret1'")
    with pytest.raises(Exception, match="password authentication failed"):
        db.other(user=f"u{db.schema}", password=password)
