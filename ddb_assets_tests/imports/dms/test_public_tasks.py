"""Tasks of the shapes that are public: tutorials, workshops, generators and the user guide. Each is imported into the sandbox.

The files are written as their authors write them: with tabs, escapes of Terraform, numbers for texts, composed keys, JSON in a
text, maps, many filter conditions, and several tables of one source.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.imports.dms.document import DmsError
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.imports.dms.tasks import (
    Json,
    column,
    condition,
    definition,
    document,
    mapping,
    scalar,
    selection,
    source_filter,
    table,
    task,
    transformation,
)
from ddb_assets_tests.imports.importing import imported, job
from ddb_assets_tests.support.tables import items_of, new_table


def written(folder: Path, path: str, rows: str) -> None:
    """A file of the full load, as DMS names it."""
    (folder / path).mkdir(parents=True, exist_ok=True)
    (folder / path / "LOAD00000001.csv").write_text(rows)


def items(
    sandbox: Sandbox, folder: Path, rules: Any, source: Json, key: list[tuple[str, str]], **more: Any
) -> list[Json]:
    """The items that the task's files become in a new table, by key."""
    target = new_table(sandbox, *key)
    read = task(folder, rules, source, **more)
    imported(sandbox.endpoint_url, target, read.files(str(folder)), read.settings)
    return sorted(items_of(sandbox, target), key=lambda item: [json.dumps(item[name]) for name, _ in key])


def test_a_task_of_terraform_with_its_escapes_and_tabs(sandbox: Sandbox, tmp_path: Path) -> None:
    where: Json = {"schema": "import", "table": "test"}
    made = [scalar("id", "$${id}"), scalar("name_value", "$${name_value}")]
    rules = [selection(**where), mapping(*made, target="test", partition_key_name="id", **where)]
    source = definition(table("test", [column("id", pk="true"), column("name_value")], "import"))
    written(tmp_path, "import/test", '1234567890123456789012345|"concept 1"\n1234567890123456789012346|"concept 2"')
    found = items(
        sandbox, tmp_path, json.dumps({"rules": rules}, indent="\t"), source, [("id", "S")], settings="csvDelimiter=|"
    )
    assert found == [
        {"id": {"S": f"123456789012345678901234{n + 4}"}, "name_value": {"S": f"concept {n}"}} for n in (1, 2)
    ]


FILMS = [
    column("tconst"),
    column("category"),
    column("ordering", "INT4"),
    column("region"),
    column("rating", "NUMERIC"),
]


@pytest.mark.parametrize(
    ("sort_key", "expected"),
    [
        ("DETL|${category}|${ordering}", ["DETL|actor|1", "DETL|director|2"]),
        ("REGN|${region}", ["REGN|PT", "REGN|PT"]),
        ("RTNG", ["RTNG", "RTNG"]),
        ("${category}|${tconst}|${ordering}", ["actor|tt07|1", "director|tt24|2"]),
    ],
)
def test_tasks_that_write_kinds_of_items_of_25_films_into_one_table(
    sandbox: Sandbox, tmp_path: Path, sort_key: str, expected: list[str]
) -> None:
    wanted = [condition("eq", f"tt{n:02}") for n in range(25)]
    where: Json = {"schema": "imdb", "table": "movies", "table_type": "view"}
    made = [scalar("mpkey", "${tconst}"), scalar("mskey", sort_key)]
    parameters: Json = {"partition_key_name": "mpkey", "sort_key_name": "mskey", "exclude_columns": []}
    rules = [
        selection(source_filter("tconst", *wanted), **where),
        mapping(*made, target="movies", schema="imdb", table="movies", **parameters),
    ]
    source = definition(table("movies", FILMS, "imdb"))
    written(
        tmp_path, "imdb/movies", "tt07,actor,1,PT,7.50\ntt24,director,2,PT,8\ntt25,actor,3,PT,9\ntt0,actor,4,PT,9\n"
    )
    found = items(sandbox, tmp_path, rules, source, [("mpkey", "S"), ("mskey", "S")])
    assert [(item["mpkey"]["S"], item["mskey"]["S"]) for item in found] == list(
        zip(["tt07", "tt24"], expected, strict=True)
    )
    assert found[0].keys() == {"mpkey", "mskey", "tconst", "category", "ordering", "region", "rating"}
    assert (found[0]["ordering"], found[0]["rating"]) == ({"N": "1"}, {"N": "7.5"})


TRIPS = [
    column("ID", "INT8", pk="true"),
    column("RIDER_EMAIL"),
    column("PICKUP_DATETIME", "DATETIME"),
    column("DRIVER_NAME"),
    column("VEHICLE_ID"),
]
TAXI: Json = {"schema": "TAXI", "table": "TRIPS"}


def test_a_composed_sort_key_json_in_a_text_and_names_in_lower_case(sandbox: Sandbox, tmp_path: Path) -> None:
    details = '{"Name":"${DRIVER_NAME}","Vehicle Details":{"id":"${VEHICLE_ID}"}}'
    made = [
        scalar("riderid", "${RIDER_EMAIL}"),
        scalar("tripinfo", "${ID},${PICKUP_DATETIME}"),
        scalar("DriverDetails", details),
    ]
    rules = [
        transformation("convert-lowercase", "schema", 1, schema="TAXI", table="%"),
        transformation("convert-lowercase", "table", 2, schema="TAXI", table="%"),
        transformation("rename", "schema", 3, "public", schema="TAXI"),
        selection(number=4, **TAXI),
        mapping(*made, target="trips", number=5, partition_key_name="riderid", sort_key_name="tripinfo", **TAXI),
        transformation("convert-lowercase", "column", 8, schema="TAXI", table="%", column_name="%"),
    ]
    source, keys = definition(table("TRIPS", TRIPS, "TAXI")), [("riderid", "S"), ("tripinfo", "S")]
    written(tmp_path, "TAXI/TRIPS", "7,ann@example.com,2018-01-02 03:04:05,Bob,v-1\n8,eve@example.com,,Bob,v-2\n")
    read = task(tmp_path, rules, source)
    report = job(sandbox.endpoint_url, new_table(sandbox, *keys), read.files(str(tmp_path)), read.settings).run()
    assert (report.written, [reject.line for reject in report.rejects]) == (1, [2])  # a key without a value is a reject
    written(tmp_path, "TAXI/TRIPS", "7,ann@example.com,2018-01-02 03:04:05,Bob,v-1\n")
    assert items(sandbox, tmp_path, rules, source, keys) == [
        {
            "riderid": {"S": "ann@example.com"},
            "tripinfo": {"S": "7,2018-01-02 03:04:05"},
            "DriverDetails": {"S": '{"Name":"Bob","Vehicle Details":{"id":"v-1"}}'},
            "id": {"N": "7"},
            "rider_email": {"S": "ann@example.com"},
            "pickup_datetime": {"S": "2018-01-02 03:04:05"},
            "driver_name": {"S": "Bob"},
            "vehicle_id": {"S": "v-1"},
        }
    ]


CUSTOMER = [
    column(name)
    for name in ("FirstName", "LastName", "NickName", "HomeAddress", "HomePhone", "WorkAddress", "WorkPhone", "StoreId")
] + [column("income", "INT4"), column("DateOfBirth", "DATE")]  # fmt: skip
CONTACT = {
    "M": {
        place: {"M": {"Address": {"S": f"${{{place}Address}}"}, "Phone": {"S": f"${{{place}Phone}}"}}}
        for place in ("Home", "Work")
    }
}
USED = ["FirstName", "LastName", "HomeAddress", "HomePhone", "WorkAddress", "WorkPhone", "StoreId", "DateOfBirth"]


@pytest.mark.parametrize("action", ["map-record-to-record", "map-record-to-document"])
def test_the_customers_of_the_user_guide(sandbox: Sandbox, tmp_path: Path, action: str) -> None:
    made = [scalar("CustomerName", "${FirstName},${LastName}"), document("ContactDetails", CONTACT)]
    where: Json = {"schema": "test", "table": "customer"}
    rules = [
        selection(schema="test", table="%"),
        mapping(
            *made,
            action=action,
            target="customer_t",
            number=1,
            partition_key_name="CustomerName",
            exclude_columns=USED,
            **where,
        ),
    ]
    source = definition(table("customer", CUSTOMER, "test"))
    written(tmp_path, "test/customer", "Randy,Marsh,,221B Baker Street,1234567890,,9876543210,5,50000,1988-02-29\n")
    rest: Json = {"income": {"N": "50000"}}
    assert items(sandbox, tmp_path, rules, source, [("CustomerName", "S")]) == [
        {
            "CustomerName": {"S": "Randy,Marsh"},
            "ContactDetails": {
                "M": {
                    "Home": {"M": {"Address": {"S": "221B Baker Street"}, "Phone": {"S": "1234567890"}}},
                    "Work": {"M": {"Phone": {"S": "9876543210"}}},
                }
            },
            **(rest if action == "map-record-to-record" else {"_doc": {"M": rest}}),
        }
    ]


def test_two_tables_of_one_source_go_to_two_tables(sandbox: Sandbox, tmp_path: Path) -> None:
    players = [column(name) for name in ("Position", "player_number", "Name", "stat3", "stat3_val", "team")]
    teams = [column("id", "INT4", pk="true"), column("name"), column("home_field_id", "INT2"), column("league")]
    info = '{"Number": "${player_number}","Stats": {"Stat3": "${stat3}:${stat3_val}"}}'
    rules = [
        selection(schema="dms_sample", table="nfl_data"),
        selection(number=2, schema="dms_sample", table="sport_team"),
        mapping(
            scalar("Team", "${team}"), scalar("PlayerName", "${Name}"), scalar("PlayerInfo", info),
            number=3, target="NFLTeams", schema="dms_sample", table="nfl_data",
            partition_key_name="Team", sort_key_name="PlayerName", exclude_columns=["player_number", "team", "Name"],
        ),
        mapping(
            scalar("TeamName", "${name}"), scalar("TeamInfo", '{"League": "${league}"}'),
            number=4, target="SportTeams", schema="dms_sample", table="sport_team",
            partition_key_name="TeamName", exclude_columns=["name", "id"],
        ),
    ]  # fmt: skip
    source = definition(table("nfl_data", players, "dms_sample"), table("sport_team", teams, "dms_sample"))
    written(tmp_path, "dms_sample/nfl_data", 'P,6,"Allen, Ryan",LNG,67,NE\n')
    written(tmp_path, "dms_sample/sport_team", "1,Indianapolis Colts,53,NFL\n")
    with pytest.raises(DmsError, match=r"several tables \(dms_sample\.nfl_data, dms_sample\.sport_team\)"):
        task(tmp_path, rules, source)
    keys = [("Team", "S"), ("PlayerName", "S")]
    assert items(sandbox, tmp_path, rules, source, keys, table="dms_sample.nfl_data") == [
        {
            "Team": {"S": "NE"},
            "PlayerName": {"S": "Allen, Ryan"},
            "PlayerInfo": {"S": '{"Number": "6","Stats": {"Stat3": "LNG:67"}}'},
            "Position": {"S": "P"},
            "stat3": {"S": "LNG"},
            "stat3_val": {"S": "67"},
        }
    ]
    assert items(sandbox, tmp_path, rules, source, [("TeamName", "S")], table="dms_sample.sport_team") == [
        {
            "TeamName": {"S": "Indianapolis Colts"},
            "TeamInfo": {"S": '{"League": "NFL"}'},
            "home_field_id": {"N": "53"},
            "league": {"S": "NFL"},
        }
    ]


def test_a_mapping_without_an_action_is_refused(tmp_path: Path) -> None:
    rule = mapping(target="logs", partition_key_name="PK", sort_key_name="SK") | {"rule-target": "table"}
    del rule["rule-action"]
    with pytest.raises(DmsError, match=r"rule 2 \(map-2\): rule-action: this key is missing"):
        task(tmp_path, [selection(), rule])


def test_generated_rules_with_numbers_that_take_one_table_explicitly(sandbox: Sandbox, tmp_path: Path) -> None:
    where: Json = {"schema": "shop", "table": "orders"}
    columns = [column("pk", "INT8", pk="true"), column("status"), column("internal")]
    made = [scalar("PK", "#ORDERS_${pk}"), scalar("paid", "true", "boolean")]
    told: Json = {"partition_key_name": "PK", "exclude_columns": ["internal"]}
    rules = [
        selection(action="explicit", **where) | {"rule-id": 1, "rule-name": 1, "load-order": 2},
        mapping(*made, target="orders", **told, **where) | {"rule-id": 2, "rule-name": 2},
    ]
    written(tmp_path, "shop/orders", "7,new,secret\n")
    assert items(sandbox, tmp_path, rules, definition(table("orders", columns, "shop")), [("PK", "S")]) == [
        {"PK": {"S": "#ORDERS_7"}, "paid": {"BOOL": True}, "pk": {"N": "7"}, "status": {"S": "new"}}
    ]
