"""The server itself: connections, what it leaves behind, and faults on demand."""

import datetime as dt
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest
import redshift_connector
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redshift_connector.error import Error, InterfaceError

from ddb_assets.aws.storage import Storage
from ddb_assets.sandbox.redshift.faults import CONFLICT
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.sandbox.redshift.wire import ServerError
from ddb_assets_tests.sandbox.redshift.serving import Database, Lake, connect

pytestmark = pytest.mark.server


def test_it_starts_and_leaves_nothing() -> None:
    with RedshiftServer(Storage()) as server:
        connection = connect(server)
        folder = server.folder
        process = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(process, 0)
        connection.cursor().execute("CREATE TABLE t (a INT)")
    assert not alive(process)
    assert not folder.exists()


def test_two_run_side_by_side(redshift: RedshiftServer, db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")
    with RedshiftServer(Storage(), isolation="serializable") as second:
        assert second.port != redshift.port
        with connect(second).cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM svv_redshift_columns")
            assert cursor.fetchone() == [0]


def test_a_taken_port_is_reported(redshift: RedshiftServer) -> None:
    with pytest.raises(OSError, match="in use"):
        RedshiftServer(Storage(), port=redshift.port).__enter__()


@pytest.mark.parametrize(("user", "password"), [("awsuser", "wrong"), ("nobody", "sandbox")])
def test_a_wrong_password_is_refused(redshift: RedshiftServer, user: str, password: str) -> None:
    with pytest.raises(Error, match=f'password authentication failed for user "{user}"'):
        redshift_connector.connect(
            host=redshift.host, port=redshift.port, database="dev", user=user, password=password, ssl=False
        )


def certificate(folder: Path) -> Path:
    """Makes a self-signed certificate for this host, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


def test_clients_may_encrypt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with RedshiftServer(Storage(), tls=context) as server:
        with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
            connect(server, ssl=True, sslmode="verify-ca")
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        with connect(server, ssl=True, sslmode="verify-ca").cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == [1]


def test_without_tls_a_client_that_requires_it_gets_an_error(redshift: RedshiftServer) -> None:
    with pytest.raises(InterfaceError, match="refuses SSL"):
        connect(redshift, ssl=True)


@pytest.mark.slow
def test_it_runs_for_a_user_who_is_not_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("every other test shows it")
    code = (
        "import os, redshift_connector\n"
        "from ddb_assets.aws.storage import Storage\n"
        "from ddb_assets.sandbox.redshift.server import RedshiftServer\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "with RedshiftServer(Storage()) as server: print(os.geteuid(), server.url)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("65534 redshift://awsuser@127.0.0.1:")


def test_postgresql_stops_even_if_our_process_is_killed() -> None:
    code = (
        "import time\n"
        "from ddb_assets.aws.storage import Storage\n"
        "from ddb_assets.sandbox.redshift.server import RedshiftServer\n"
        "with RedshiftServer(Storage()) as server: print(server.folder, flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    folder = Path(child.stdout.readline().strip())
    process = int((folder / "data" / "postmaster.pid").read_text().split()[0])
    child.kill()
    child.communicate()
    deadline = time.monotonic() + 20
    while alive(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(process)
    shutil.rmtree(folder)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_connection_dropped_before_commit_has_changed_nothing(db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")
    other = db.other(autocommit=False)
    other.run("INSERT INTO t VALUES (1)")
    db.server.faults.drop_before_commit()
    with pytest.raises(InterfaceError, match="socket closed"):
        other.connection.commit()
    assert db.one("SELECT COUNT(*) FROM t") == 0


def test_a_connection_dropped_after_commit_has_changed_the_data(db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")
    other = db.other(autocommit=False)
    other.run("INSERT INTO t VALUES (1)")
    db.server.faults.drop_after_commit()
    with pytest.raises(InterfaceError, match="socket closed"):
        other.connection.commit()
    assert db.one("SELECT COUNT(*) FROM t") == 1
    other = db.other(autocommit=False)  # the fault happens only once
    other.run("INSERT INTO t VALUES (2)")
    other.connection.commit()


def test_the_nth_statement_fails(db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")
    db.server.faults.fail_statement(2, ServerError("no disk", "53100"))
    db.run("INSERT INTO t VALUES (1)")
    assert db.refused("no disk", "INSERT INTO t VALUES (2)")["C"] == "53100"
    db.run("INSERT INTO t VALUES (3)")
    assert db.run("SELECT a FROM t ORDER BY a") == [[1], [3]]


def test_the_nth_statement_breaks_the_connection(db: Database) -> None:
    other = db.other()
    db.server.faults.drop_at_statement(1)
    with pytest.raises(InterfaceError, match="socket closed"):
        other.run("SELECT 1")
    assert db.one("SELECT 1") == 1


def test_a_conflict_can_be_provoked(db: Database) -> None:
    db.server.faults.fail_statement(1, CONFLICT)
    fields = db.refused("Serializable isolation violation on table", "SELECT 1")
    assert (fields["M"], fields["C"]) == ("1023", "XX000")


def test_statements_can_be_slow(db: Database) -> None:
    db.server.faults.delay_statements(0.2)
    began = time.monotonic()
    db.run("SELECT 1")
    assert time.monotonic() - began > 0.2


def test_copy_fails_at_its_nth_file(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (a BIGINT)")
    copy = files.copy("t", *(pl.DataFrame({"a": [n]}) for n in range(3)))
    db.server.faults.fail_copy(file=3)
    db.refused("S3ServiceException", copy)
    assert db.one("SELECT COUNT(*) FROM t") == 0
    db.run(copy)
    assert db.one("SELECT COUNT(*) FROM t") == 3


def test_a_statement_can_be_cancelled_by_its_timeout(db: Database) -> None:
    db.run("SET statement_timeout TO 100")
    db.refused("statement timeout", "SELECT COUNT(*) FROM svv_redshift_columns a, pg_class b, pg_class c, pg_class d")
    db.run("SET statement_timeout TO 0")


def test_sessions_run_side_by_side(db: Database) -> None:
    db.run("CREATE TABLE t (a INT)")

    def insert(number: int) -> None:
        other = Database(db.server, connect(db.server), db.schema)
        for _ in range(10):
            other.run(f"INSERT INTO {db.schema}.t VALUES (%s)", number)
        other.connection.close()

    threads = [threading.Thread(target=insert, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert db.one("SELECT COUNT(*) FROM t") == 80


def test_statements_are_kept_for_inspection(db: Database) -> None:
    db.run("SET query_group TO 'orders 2026-01-01'")
    assert "SET query_group TO 'orders 2026-01-01'" in db.server.statements
