"""What a contract says about the engine that flattens full exports: short and long forms, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ddb_assets.contract.contract_yaml import ConfigError, read_table
from ddb_assets.contract.engine import EmrServerlessEngine, GlueEngine, InProcess, SparkEngine
from ddb_assets.contract.identity import Identity
from ddb_assets.contract.table import Table


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("in_process", InProcess()),
        ("glue", GlueEngine(name="glue")),
        (
            {"name": "glue", "worker_type": "G.2X", "workers": 20},
            GlueEngine(name="glue", worker_type="G.2X", workers=20),
        ),
        ("emr_serverless", EmrServerlessEngine(name="emr_serverless")),
        ("spark://host:7077", SparkEngine(name="spark", master="spark://host:7077")),
        ("local[2]", SparkEngine(name="spark", master="local[2]")),
        ("yarn", SparkEngine(name="spark", master="yarn")),
        (
            {"name": "spark", "master": "local", "conf": {"spark.executor.cores": 4, "spark.speculation": True}},
            SparkEngine(name="spark", master="local", conf={"spark.executor.cores": "4", "spark.speculation": "true"}),
        ),
    ],
)
def test_an_engine_is_a_name_a_master_or_what_it_needs(written: Any, meant: object) -> None:
    table = Table(table="Orders", engine=written)
    assert table.engine == meant
    assert Table.model_validate_json(table.model_dump_json()) == table


def test_without_one_the_run_itself_flattens_and_the_engine_decides_no_rows() -> None:
    plain, on_glue = Table(table="Orders"), Table.model_validate({"table": "Orders", "engine": "glue"})
    assert plain.engine == InProcess()
    assert Identity.of(plain, ("id",), None, "x") == Identity.of(on_glue, ("id",), None, "x")


@pytest.mark.parametrize(
    ("engine", "location", "message"),
    [
        ("spakr", ("engine",), "'spakr' is no engine: write in_process, glue, emr_serverless or a Spark master"),
        ("spark", ("engine",), "`spark` needs its master"),
        (3, ("engine",), "3 is neither a name nor a mapping"),
        ({"job": "j"}, ("engine",), "an engine has a `name`"),
        ({"name": "glue", "wokers": 2}, ("engine", "glue", "wokers"), "allowed here: name, job, worker_type, workers"),
        ({"name": "glue", "workers": 1}, ("engine", "glue", "workers"), "greater than or equal to 2"),
        ({"name": "glue", "worker_type": "large"}, ("engine", "glue", "worker_type"), "should match pattern"),
        ({"name": "glue", "bundle": "here"}, ("engine", "glue", "bundle"), "should match pattern"),
        (
            {"name": "emr_serverless", "timeout": 4},
            ("engine", "emr_serverless", "timeout"),
            "greater than or equal to 5",
        ),
        ({"name": "emr_serverless", "role": "r"}, ("engine", "emr_serverless", "role"), "should match pattern"),
        ({"name": "spark", "master": "host:7077"}, ("engine", "spark", "master"), "should match pattern"),
        (
            {"name": "spark", "master": "local", "conf": {"executor.cores": 4}},
            ("engine", "spark", "conf"),
            "'executor.cores' is no property of Spark",
        ),
        (
            {"name": "emr_serverless", "conf": {"spark.x": "a --conf b"}},
            ("engine", "emr_serverless", "conf"),
            "a value with spaces",
        ),
    ],
)
def test_what_is_wrong_is_refused_where_it_stands(engine: object, location: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Table.model_validate({"table": "Orders", "engine": engine})
    (error,) = refused.value.errors()
    assert error["loc"] == location
    assert message in error["msg"]


def test_a_table_without_full_exports_has_no_engine() -> None:
    with pytest.raises(ValidationError, match="`engine` flattens full exports and scans"):
        Table.model_validate({"table": "Orders", "source": "stream", "stream": "s", "engine": "glue"})


def test_an_unknown_key_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "defs.yaml"
    path.write_text("type: x.DynamoDBTable\nattributes:\n  table: O\n  engine:\n    name: glue\n    cores: 3\n")
    with pytest.raises(ConfigError) as refused:
        read_table(path)
    assert f"{path}:6: engine.glue.cores: unknown key; allowed here: name, job" in str(refused.value)
