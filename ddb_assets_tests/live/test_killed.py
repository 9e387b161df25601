"""Following a stream in processes that are killed at random moments: in the end the live tables are the tables."""

import time
from functools import partial
from pathlib import Path
from random import Random

import pytest
import yaml

from ddb_assets.cli.sandbox import environment
from ddb_assets.contract.table import Table
from ddb_assets_tests.live import child
from ddb_assets_tests.live.shop import Shop
from ddb_assets_tests.support.examples import examples
from ddb_assets_tests.support.forked import Forked

KILLED = examples(6, 1 / 200)


def declared(folder: Path, tables: list[Table]) -> Path:
    documents = [
        {
            "type": "ddb_assets.components.DynamoDBTable",
            "attributes": {
                "table": table.table,
                "name": table.name,
                "stream": table.stream,
                "nested": {"lines": "child"},
            },
        }
        for table in tables
    ]
    path = folder / "tables.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    return path


def change(shop: Shop, random: Random, table: Table) -> None:
    key = random.choice("abcdef")
    if random.random() < 0.3:
        shop.delete(table, key)
    else:
        lines = [{"S": str(random.randrange(9))} for _ in range(random.randrange(3))]
        shop.put(table, key, v={"S": str(random.random())}, lines={"L": lines})


def items(shop: Shop, table: Table) -> dict[object, object]:
    found = shop.sandbox.dynamodb().scan(TableName=table.table)["Items"]
    return {item["pk"]["S"]: (item["v"]["S"], [line["S"] for line in item["lines"]["L"]]) for item in found}


def live(shop: Shop, table: Table) -> dict[object, object]:
    lines: dict[object, list[object]] = {}
    for key, value in shop.rows(f"SELECT pk, value FROM {table.name}__lines_live ORDER BY pk, _ddb_index"):
        lines.setdefault(key, []).append(value)
    return {key: (v, lines.get(key, [])) for key, v in shop.rows(f"SELECT pk, v FROM {table.name}_live")}


@pytest.mark.slow
@pytest.mark.soak
def test_a_process_that_is_killed_loses_nothing(shop: Shop, tmp_path: Path) -> None:
    random = Random()
    tables = [shop.table(name=name, nested={"lines": "child"}) for name in ("orders", "carts")]
    shop.load(tables[0], shop.now())
    config = declared(tmp_path, tables)
    follow = partial(Forked, child.follow, environment(shop.sandbox), shop.stream, config, shop.url, shop.lake)
    for table in tables * 5:
        change(shop, random, table)
    first, began = follow(True), time.monotonic()
    first.ended()
    taken = time.monotonic() - began
    for _ in range(KILLED):
        following = follow(False)
        for table in tables * random.randrange(4):
            change(shop, random, table)
            time.sleep(random.uniform(0, 0.05))
        assert following.killed_after(random.uniform(0, 1.5 * taken))
    for table in tables:
        shop.put(table, "last", v={"S": ""}, lines={"L": [{"S": "x"}]})
    follow(True).ended()
    for table in tables:
        assert live(shop, table) == items(shop, table)
