"""SUPER and VARBYTE."""

import json
from decimal import Decimal

import pytest

from ddb_assets_tests.sandbox.redshift.serving import Database

DOCUMENT = {
    "Name": "x",
    "name": "Ann",
    "lines": [{"sku": "a", "n": 1}, {"sku": "b"}],
    "price": 1.10,
    "none": None,
    "ok": True,
}


@pytest.fixture
def document(db: Database) -> Database:
    db.run("CREATE TABLE t (k INT, payload SUPER)")
    db.run("INSERT INTO t SELECT 1, JSON_PARSE(%s)", json.dumps(DOCUMENT))
    return db


def test_text_becomes_super_by_json_parse_only(db: Database) -> None:
    db.run("CREATE TABLE s (j VARCHAR(100))")
    db.run("CREATE TABLE t (payload SUPER)")
    db.run("INSERT INTO s VALUES (%s)", '{"a": 1}')
    db.run("INSERT INTO t SELECT j FROM s")
    assert json.loads(db.one("SELECT payload FROM t")) == '{"a": 1}'  # one string
    db.run("DELETE FROM t")
    db.run("INSERT INTO t SELECT JSON_PARSE(j) FROM s")
    assert json.loads(db.one("SELECT payload FROM t")) == {"a": 1}
    assert db.one("SELECT JSON_SERIALIZE(payload) FROM t") == '{"a":1}'


def test_navigation_by_dots_and_brackets(document: Database) -> None:
    assert document.run(
        "SELECT t.payload.name, payload.lines[1].sku, t.payload.missing.deep, payload.lines[9], payload.none FROM t"
    ) == [['"Ann"', '"b"', None, None, "null"]]
    assert document.one("SELECT COUNT(*) FROM t WHERE payload.name = 'Ann'") == 1
    assert document.one("SELECT COUNT(*) FROM t AS x WHERE x.payload.lines[0].n = 2") == 0


def test_attribute_names_fold(document: Database) -> None:
    assert document.run('SELECT payload."NAME", payload.Name FROM t') == [['"Ann"', '"Ann"']]


def test_casts_of_scalars_and_of_the_rest(document: Database) -> None:
    assert document.run(
        "SELECT payload.name::VARCHAR, payload.lines[0].n::BIGINT, payload.price::DECIMAL(10,2), payload.ok::BOOLEAN, "
        "payload.lines::VARCHAR, payload::VARCHAR FROM t"
    )[0] == ["Ann", 1, Decimal("1.10"), True, None, None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "[Dd]uplicate"),
        ("{", "Invalid JSON"),
        ('{"a": "' + "x" * 65_536 + '"}', "65535"),
        ('[{"b": ["' + "ä" * 32_768 + '"]}]', "65535"),
    ],
)
def test_json_parse_refuses(db: Database, text: str, message: str) -> None:
    db.refused(message, "SELECT JSON_PARSE(%s)", text)


def test_large_documents_go_through_varbyte(db: Database) -> None:
    large = {f"k{n}": "x" * 60_000 for n in range(5)}
    db.run("CREATE TABLE s (j VARBYTE(16777216))")
    db.run("INSERT INTO s SELECT TO_VARBYTE(%s, 'utf8')", json.dumps(large))
    db.run("CREATE TABLE t (payload SUPER)")
    db.run("INSERT INTO t SELECT JSON_PARSE(j) FROM s")
    assert json.loads(db.one("SELECT payload FROM t")) == large
    assert db.one("SELECT payload.k3::VARCHAR FROM t") == "x" * 60_000
    db.refused("65535", "SELECT JSON_SERIALIZE(payload) FROM t")
    assert json.loads(db.one("SELECT JSON_SERIALIZE_TO_VARBYTE(payload) FROM t")) == large


def test_a_document_has_at_most_16_megabytes(db: Database) -> None:
    db.run("CREATE TABLE s (j VARBYTE(16777216))")
    db.run("INSERT INTO s SELECT TO_VARBYTE(%s, 'utf8')", json.dumps(["x" * 60_000] * 279))
    db.run("CREATE TABLE t (payload SUPER)")
    db.run("INSERT INTO t SELECT JSON_PARSE(j) FROM s")
    db.refused("16777216", "SELECT JSON_PARSE(%s)", json.dumps(["x" * 60_000] * 280))


def test_dates_are_not_super(db: Database) -> None:
    db.run("CREATE TABLE t (payload SUPER)")
    for value in ("CURRENT_DATE", "CAST('2026-01-01' AS TIMESTAMP)"):
        db.refused("is of type", f"INSERT INTO t SELECT {value}")


def test_can_json_parse_checks_beforehand(db: Database) -> None:
    assert db.run("SELECT CAN_JSON_PARSE('[1]'), CAN_JSON_PARSE('['), JSON_TYPEOF(JSON_PARSE('[1]'))") == [
        [True, False, "array"]
    ]


def test_varbyte_is_hex_and_has_a_size(db: Database) -> None:
    db.run("CREATE TABLE t (b VARBYTE(3))")
    db.run("INSERT INTO t SELECT TO_VARBYTE(%s, 'hex')", "00ff27")
    assert db.one("SELECT FROM_VARBYTE(b, 'hex') FROM t") == "00ff27"
    db.refused("too long", "INSERT INTO t SELECT TO_VARBYTE(%s, 'hex')", "00ff2727")
    db.run("INSERT INTO t SELECT TO_VARBYTE(%s, 'utf8')", "ab")
    assert db.one("SELECT b FROM t WHERE b = TO_VARBYTE('ab', 'utf8')") == "ab"


def test_super_values_are_compared_and_grouped(db: Database) -> None:
    db.run("CREATE TABLE t (p SUPER)")
    db.run("INSERT INTO t SELECT JSON_PARSE(%s)", '{"a": 1, "b": 2}')
    db.run("INSERT INTO t SELECT JSON_PARSE(%s)", '{"b":2,"a":1}')
    assert db.run("SELECT COUNT(*) FROM t GROUP BY p") == [[2]]


@pytest.mark.parametrize("number", ["1" * 39, "1E+38", "0." + "1" * 38, '[1, {"a": -1e-40}]'])
def test_numbers_beyond_38_digits_are_refused(db: Database, number: str) -> None:
    """No page says what happens to them."""
    db.refused("more digits than DECIMAL", "SELECT JSON_PARSE(%s)", number)
    db.run("SELECT JSON_PARSE(%s)", "[" + "1" * 38 + ', 1.5e3, "' + "1" * 60 + '"]')
