"""Two tables and a copy between them: what the tests of copying do again and again."""

import random
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3

from ddb_assets.aws.storage import Storage
from ddb_assets.bulk.checkpoint import Checkpoint
from ddb_assets.bulk.options import Verify
from ddb_assets.bulk.raw_call import BULK_CLIENT
from ddb_assets.bulk.reject_file import Heading, RejectFile, RejectPlace
from ddb_assets.copies.copy_config import CopyOptions
from ddb_assets.copies.copy_job import CopyJob, CopyReport, first_phase
from ddb_assets.copies.copy_state import Collisions, CopyProgress
from ddb_assets.copies.plan import CopyPlan, plan_copy
from ddb_assets.copies.rejects import CopyRejects
from ddb_assets.copies.sides import Side
from ddb_assets.copies.verify import SAMPLE
from ddb_assets.dynamodb.item import canonical_json
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.support.fault_proxy import FaultProxy

BOTH_WAYS: tuple[Verify, ...] = (SAMPLE, "all")
"""In which two tables are compared."""

Item = dict[str, Any]
Keys = tuple[tuple[str, str], ...]

ID: Keys = (("id", "S"),)


class World:
    """A sandbox behind a fault proxy. `direct` reaches it past the proxy, `client` through it."""

    def __init__(self, sandbox: Sandbox, proxy: FaultProxy) -> None:
        self.sandbox, self.proxy = sandbox, proxy
        self.direct: Any = sandbox.dynamodb()
        self.client = self.client_at(proxy.endpoint_url)

    def client_at(self, endpoint: str, region: str = "us-east-1") -> Any:
        return boto3.client(
            "dynamodb",
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id="sandbox",
            aws_secret_access_key="sandbox",
            config=BULK_CLIENT,
        )

    def table(self, keys: Keys = ID, items: "list[Item] | tuple[Item, ...]" = (), **more: Any) -> str:
        name = f"T-{uuid.uuid4().hex[:8]}"
        extra = more.pop("AttributeDefinitions", [])
        self.direct.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in keys] + extra,
            KeySchema=[
                {"AttributeName": key, "KeyType": role} for (key, _), role in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
            **more,
        )
        self.put(name, items)
        return name

    def put(self, table: str, items: "list[Item] | tuple[Item, ...]") -> None:
        for start in range(0, len(items), 25):
            batch = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
            self.direct.batch_write_item(RequestItems={table: batch})

    def items(self, table: str) -> set[object]:
        """What is in the table, in a form that is equal for equal items."""
        pages = self.direct.get_paginator("scan").paginate(TableName=table)
        return {canonical_json(item) for page in pages for item in page["Items"]}

    def plan(self, source: str, destination: str, **options: Any) -> CopyPlan:
        sides = (Side.of(self.client, self.client, source), Side.of(self.client, self.client, destination))
        clean = options.pop("clean", "no")
        return plan_copy(*sides, CopyOptions(**{"workers": 3, "in_flight": 3, "segments": 4, **options}), clean)


def run(plan: CopyPlan, folder: Path, on_page: Any = lambda *_: None) -> CopyReport:
    """Runs the plan, or continues it; the folder keeps the checkpoint, the keys and the reject file."""
    progress = CopyProgress(Checkpoint(folder / "checkpoint.json", plan.world), plan.segments, first_phase(plan))
    path = folder / "rejects.jsonl"
    if not progress.resumed:
        path.unlink(missing_ok=True)  # as a user does, when nothing of it is needed any more
    heading = Heading.of(progress.state.run, plan.destination.description, "dynamodb-json")
    place = RejectPlace.of(str(path), folder, "", Storage())
    settled = {plan.source.arn: progress.state.rejected}
    with closing(RejectFile(place, heading, settled)) as file, Collisions(folder / "keys.sqlite") as collisions:
        rejects = CopyRejects(file, plan.source.arn, plan.key_names)
        return CopyJob(plan, progress, rejects, None if plan.key.one_to_one else collisions, on_page).run()


class KilledError(Exception):
    """Stands for the end of the process: nothing in the code expects it."""


def value(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    """Any DynamoDB value, as boto3 takes it."""
    kinds = ["S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS"] + (["L", "M"] if depth < 3 else [])
    match rng.choice(kinds):
        case "S":
            return {"S": rng.choice(["", "a", 'é\n"\\\u0000😀', "is", "x" * rng.randint(1, 300)])}
        case "N":
            return {"N": number(rng)}
        case "B":
            return {"B": rng.randbytes(rng.randint(0, 40))}
        case "BOOL":
            return {"BOOL": rng.random() < 0.5}
        case "NULL":
            return {"NULL": True}
        case "SS":
            return {"SS": sorted({f"s{rng.randint(0, 99)}" for _ in range(rng.randint(1, 4))})}
        case "NS":
            return {"NS": sorted({str(rng.randint(-99, 99)) for _ in range(rng.randint(1, 4))})}
        case "BS":
            return {"BS": sorted({rng.randbytes(3) for _ in range(rng.randint(1, 4))})}
        case "L":
            return {"L": [value(rng, depth + 1) for _ in range(rng.randint(0, 3))]}
        case _:
            return {"M": {f"m{n}": value(rng, depth + 1) for n in range(rng.randint(0, 3))}}


def number(rng: random.Random) -> str:
    """Of up to 38 digits, with large and small exponents."""
    digits = str(rng.randint(1, 9)) + "".join(rng.choices("0123456789", k=rng.randint(0, 36))) + "1"
    text = rng.choice(["0", str(rng.randint(-1000, 1000)), digits, f"0.{digits}", f"{digits}E{rng.randint(-120, 80)}"])
    return rng.choice(["", "-"]) + text if text[0] not in "-0" else text


def random_items(rng: random.Random, keys: Keys, count: int) -> list[Item]:
    """Items with different keys."""
    made: dict[object, Item] = {}
    while len(made) < count:
        key: Item = {}
        for name, kind in keys:
            drawn = rng.randint(0, count * 3)
            key[name] = {"S": {"S": f"k{drawn}é"}, "N": {"N": f"{drawn}.5"}, "B": {"B": f"{drawn}".encode()}}[kind]
        made[str(key)] = key | {f"a{n}": value(rng) for n in range(rng.randint(0, 5))}
    return list(made.values())
