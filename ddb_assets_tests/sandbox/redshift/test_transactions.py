"""Transactions: isolation, conflicts, locks, and what ends a transaction."""

from collections.abc import Iterator

import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets_tests.sandbox.redshift.serving import Database, connect


def test_truncate_commits(db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")
    db.run("CREATE TABLE u (a INT)")
    db.run("INSERT INTO t VALUES (1)")
    db.run("BEGIN")
    db.run("INSERT INTO u VALUES (1)")
    db.run("TRUNCATE TABLE t")
    db.run("ROLLBACK")
    assert (db.one("SELECT COUNT(*) FROM t"), db.one("SELECT COUNT(*) FROM u")) == (0, 1)


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


@pytest.fixture
def serializable() -> Iterator[Database]:
    """A database with the isolation of older clusters."""
    with RedshiftServer(Storage(), isolation="serializable") as server:
        made = Database(server, connect(server), "public")
        yield made
        for connection in (made.connection, *made.others):
            connection.close()


def write_skew(db: Database) -> tuple[Database, Database]:
    """Two transactions, each of which has read what the other one will write; the first one has committed."""
    db.run("CREATE TABLE a (n INT)")
    db.run("CREATE TABLE b (n INT)")
    first, second = db.other(autocommit=False), db.other(autocommit=False)
    first.run("INSERT INTO a SELECT COUNT(*) FROM b")
    second.run("INSERT INTO b SELECT COUNT(*) FROM a")
    first.connection.commit()
    return first, second


@pytest.mark.slow
def test_serializable_isolation_has_no_cycles(serializable: Database) -> None:
    _, second = write_skew(serializable)
    fields = second.refused("Serializable isolation violation on table", "COMMIT")
    assert (fields["M"], fields["C"]) == ("1023", "XX000")
    assert serializable.one("SELECT COUNT(*) FROM b") == 0


@pytest.mark.slow
def test_after_a_violation_the_whole_transaction_goes_through(serializable: Database) -> None:
    _, second = write_skew(serializable)
    second.refused("Serializable isolation violation on table", "COMMIT")
    second.connection.rollback()
    second.run("INSERT INTO b SELECT COUNT(*) FROM a")
    second.connection.commit()
    assert serializable.run("SELECT n FROM b") == [[1]]


def test_snapshot_isolation_lets_a_cycle_pass(db: Database) -> None:
    _, second = write_skew(db)
    second.connection.commit()
    assert db.run("SELECT n FROM b") == [[0]]


def test_a_snapshot_is_taken_at_the_first_statement(db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")
    reader = db.other(autocommit=False)
    reader.run("SELECT COUNT(*) FROM t")
    db.run("INSERT INTO t VALUES (1)")
    assert reader.one("SELECT COUNT(*) FROM t") == 0
    reader.connection.rollback()
    assert reader.one("SELECT COUNT(*) FROM t") == 1


def test_ddl_belongs_to_its_transaction(db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")
    db.run("BEGIN")
    db.run("ALTER TABLE t ADD COLUMN b INT")
    db.run("CREATE TABLE u (a INT)")
    other = db.other()
    other.run("SET statement_timeout TO 100")
    other.refused("timeout", "SELECT * FROM t")  # ALTER TABLE blocks readers until the end
    db.run("ROLLBACK")
    db.refused("does not exist", "SELECT b FROM t")
    db.refused("does not exist", "SELECT * FROM u")


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
