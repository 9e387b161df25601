"""A table that was deleted comes back: as itself when its name is free, and otherwise item by item."""

import json
import random
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ddb_assets.copies.restoring.backups import backup_of_deleted
from ddb_assets.copies.restoring.restore import KeptTableError, Restore
from ddb_assets.copies.verify import Verifier
from ddb_assets.microseconds import from_micros
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import state_folder
from ddb_assets_tests.copies.commands import copy
from ddb_assets_tests.copies.copying import ID, Item, World, random_items
from ddb_assets_tests.support.fault_proxy import Fault, Schedule, fault_proxy
from ddb_assets_tests.support.faults import BusyAtFirst

pytestmark = pytest.mark.usefixtures("no_faults", "environment")

INDEX = {
    "IndexName": "by-day",
    "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
}
BY_DAY = {"AttributeDefinitions": [{"AttributeName": "day", "AttributeType": "S"}], "GlobalSecondaryIndexes": [INDEX]}
LATER = timedelta(seconds=0.2)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Its restores last long enough to be looked at."""
    with Sandbox(export_delay=LATER) as sandbox, fault_proxy(sandbox.endpoint_url) as proxy:
        yield World(sandbox, proxy)


def some(seed: int = 1) -> list[Item]:
    return random_items(random.Random(seed), ID, 20)


def lost(world: World, items: list[Item], name: str = "") -> tuple[str, set[object]]:
    """A table that is deleted, its name, and what was in it. AWS has made its backup."""
    table = world.table(ID, items, **BY_DAY)
    if name:
        world.direct.create_table(TableName=name, **created(world, table))
        world.put(name, items)
        table = name
    world.sandbox.enable_recovery(table, datetime(2026, 1, 1, tzinfo=UTC))
    had, before = world.items(table), len(backups(world, table))
    world.direct.delete_table(TableName=table)
    world.sandbox.clock.advance(LATER)
    assert len(backups(world, table)) == before + 1
    return table, had


def created(world: World, table: str) -> dict[str, Any]:
    return {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    }


def backups(world: World, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.direct.list_backups(TableName=table, BackupType="SYSTEM")["BackupSummaries"]
    return found


def made_again(world: World, table: str, *names: str) -> None:
    world.direct.create_table(TableName=table, **created(world, table))
    world.put(table, [{"id": {"S": name}} for name in names])


def temporary(world: World, table: str) -> list[str]:
    return [name for name in world.direct.list_tables()["TableNames"] if name.startswith(f"{table}-restored-")]


def test_a_deleted_table_is_there_again_with_its_indexes(world: World) -> None:
    table, had = lost(world, some())
    written = world.proxy.requests["BatchWriteItem"]
    done = copy(table, table, "--from-deleted")
    assert done.exit_code == 0, done.output
    assert world.items(table) == had
    described = world.direct.describe_table(TableName=table)["Table"]
    assert [index["IndexName"] for index in described["GlobalSecondaryIndexes"]] == ["by-day"]
    assert world.proxy.requests["BatchWriteItem"] == written
    assert f"{described['TableArn']} is restored as it was at" in done.output
    assert "20 items" in done.output
    assert f"aws dynamodb update-continuous-backups --table-name {table} --region us-east-1" in done.output
    assert not temporary(world, table)


def test_the_same_command_again_does_not_write_over_what_came_since(world: World) -> None:
    table, had = lost(world, some())
    assert copy(table, table, "--from-deleted").exit_code == 0
    world.put(table, [{"id": {"S": "since"}}])
    changed = next(item for item in world.direct.scan(TableName=table)["Items"] if item["id"] != {"S": "since"})
    world.put(table, [{"id": changed["id"], "v": {"S": "newer"}}])
    now = world.items(table)
    told = json.loads(copy(table, table, "--from-deleted", "--json").stdout)
    assert told["earlier_run"]
    assert world.items(table) == now
    assert not temporary(world, table)
    again = copy(table, table, "--from-deleted", "--restart")
    assert again.exit_code == 0, again.output
    assert world.items(table) > had


def test_into_a_table_that_was_made_again_the_items_are_copied(world: World) -> None:
    table, had = lost(world, some())
    made_again(world, table, "new")
    done = copy(table, table, "--from-deleted", "--verify", "all")
    assert done.exit_code == 0, done.output
    assert len(world.items(table)) == 21
    assert world.items(table) > had
    assert not temporary(world, table)


def test_what_would_be_deleted_is_confirmed_as_in_any_copy(world: World) -> None:
    table, had = lost(world, some())
    made_again(world, table, "new")
    declined = copy(table, table, "--from-deleted", "--clean=extra", typed="no\n")
    assert declined.exit_code == 1
    assert len(world.items(table)) == 1
    [name] = temporary(world, table)
    assert f"The restored table {name} is kept" in declined.output
    done = copy(table, table, "--from-deleted", "--clean=extra", typed=f"{table}\n")
    assert done.exit_code == 0, done.output
    assert world.items(table) == had
    assert not temporary(world, table)


def test_it_is_restored_under_another_name_and_only_some_items_are_copied_from_there(world: World) -> None:
    table, had = lost(world, some())
    assert copy(table, f"{table}-back", "--from-deleted").exit_code == 0
    assert world.items(f"{table}-back") == had
    made_again(world, table)
    done = copy(table, table, "--from-deleted", "--exclude", "a0")
    assert done.exit_code == 0, done.output
    assert not any("a0" in item for item in world.direct.scan(TableName=table)["Items"])


def test_of_several_deleted_tables_of_one_name_the_newest_comes_back_unless_another_is_named(world: World) -> None:
    table, first = lost(world, some(1))
    world.sandbox.clock.advance(timedelta(hours=1))
    _, second = lost(world, some(2), table)
    old, new = (backup["BackupCreationDateTime"].astimezone(UTC) for backup in backups(world, table))
    done = copy(table, f"{table}-newest", "--from-deleted")
    assert done.exit_code == 0, done.output
    assert world.items(f"{table}-newest") == second
    [shown] = re.findall(r"deleted at (\S+) \(", done.output)
    for number, said in enumerate((shown, old.replace(microsecond=0).isoformat())):
        assert copy(table, f"{table}-{number}", "--from-deleted", "--deleted-at", said).exit_code == 0
        assert world.items(f"{table}-{number}") == first
    wrong = copy(table, f"{table}-x", "--from-deleted", "--deleted-at", "2026-01-01T00:00:00Z")
    assert wrong.exit_code == 1
    for backup in backups(world, table):
        assert backup["BackupArn"] in wrong.output
    assert new > old
    by_arn = copy(table, f"{table}-arn", "--from-backup", backups(world, table)[0]["BackupArn"])
    assert by_arn.exit_code == 0, by_arn.output
    assert world.items(f"{table}-arn") == first


def test_a_backup_that_was_asked_for_says_which_settings_are_missing(world: World) -> None:
    table = world.table(ID, some(), StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    world.direct.update_time_to_live(
        TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"}
    )
    had = world.items(table)
    arn = world.direct.create_backup(TableName=table, BackupName="before")["BackupDetails"]["BackupArn"]
    world.put(table, [{"id": {"S": "after"}}])
    done = copy(table, f"{table}-then", "--from-backup", arn)
    assert done.exit_code == 0, done.output
    assert world.items(f"{table}-then") == had
    assert "time to live (until) is off" in done.output
    assert "StreamEnabled=true,StreamViewType=KEYS_ONLY" in done.output
    other = world.table()
    into = copy(table, other, "--from-backup", arn, "--verify=all")
    assert into.exit_code == 0, into.output
    assert world.items(other) == had


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--from-deleted", "--from-point-in-time", "2026-01-31T12:00:00Z"), "the source has one state"),
        (("--deleted-at", "2026-01-31T12:00:00Z"), "--deleted-at is for --from-deleted"),
        (("--from-deleted", "--deleted-at", "yesterday"), "is not an ISO 8601 time"),
        (("--from-backup", "b-1"), "is not the ARN of a backup"),
    ],
)
def test_options_that_contradict_each_other_are_wrong(world: World, options: tuple[str, ...], message: str) -> None:
    done = copy("T", "T", *options)
    assert done.exit_code == 2
    assert message in done.output


def test_what_cannot_be_restored_says_why(world: World) -> None:
    there = world.table()
    never = copy("never-there", there, "--from-deleted")
    assert never.exit_code == 1
    assert "there is no backup of a deleted table never-there" in never.output
    table, _ = lost(world, some())
    arn = backups(world, table)[0]["BackupArn"]
    assert f"is a backup of arn:aws:dynamodb:us-east-1:123456789012:table/{table}, not of {there}" in copy(
        there, there, "--from-backup", arn
    ).output.replace("\n", "")
    assert "there is no backup" in copy(table, table, "--from-backup", arn[:-1] + "1").output
    misfit = copy(table, world.table((("pk", "S"),)), "--from-deleted")
    assert "--rename OLD=NEW" in misfit.output
    for options in (("--filter", "attribute_exists(a0)"), ("--rename", "a0=b"), ("--verify", "10")):
        refused = copy(table, table, "--from-deleted", *options)
        assert refused.exit_code == 1
        assert options[0] in refused.output
    far = copy(table, table, "--from-deleted", "--dest-region", "eu-west-1")
    assert "in its own account and Region only" in far.output
    assert not temporary(world, table)
    assert table not in world.direct.list_tables()["TableNames"]


def test_a_dry_run_says_what_would_be_restored_and_restores_nothing(world: World) -> None:
    table, _ = lost(world, some())
    done = copy(table, table, "--from-deleted", "--dry-run")
    assert done.exit_code == 0, done.output
    assert f"table/{table} would be restored under its own name" in done.output
    assert table not in world.direct.list_tables()["TableNames"]
    made_again(world, table)
    told = json.loads(copy(table, table, "--from-deleted", "--dry-run", "--json").stdout)
    assert told["restores"].startswith(f"{table}-restored-")
    assert not temporary(world, table)


@pytest.mark.parametrize("exists", [False, True])
def test_a_restore_whose_answer_was_lost_is_the_same_restore(world: World, exists: bool) -> None:
    """The second attempt is refused: the backup, or the name, is in use by the first."""
    table, had = lost(world, some())
    if exists:
        made_again(world, table)

    class Lost(Schedule):
        """The first answer to a restore does not arrive."""

        left = 1

        def draw(self, operation: str) -> Fault | None:
            if operation == "RestoreTableFromBackup" and self.left:
                self.left -= 1
                return Fault.RESET_AFTER
            return None

    world.proxy.schedule = Lost()
    done = copy(table, table, "--from-deleted")
    assert done.exit_code == 0, done.output
    assert world.items(table) == had
    assert not temporary(world, table)


def test_another_restore_from_the_same_backup_is_waited_for_by_the_user(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, _ = lost(world, some())
    clock = world.sandbox.clock
    now = clock.micros()
    with monkeypatch.context() as patch:  # the restore is not done, however long the copy takes to ask for another
        patch.setattr(clock, "micros", lambda: now)
        world.direct.restore_table_from_backup(
            BackupArn=backups(world, table)[0]["BackupArn"], TargetTableName=f"{table}-other"
        )
        refused = copy(table, table, "--from-deleted")
    assert refused.exit_code == 1
    assert "does one at a time" in refused.output
    clock.advance(LATER)
    assert copy(table, table, "--from-deleted").exit_code == 0


def test_every_request_may_be_throttled(world: World) -> None:
    table, had = lost(world, some())
    made_again(world, table)
    world.proxy.schedule = busy = BusyAtFirst()
    done = copy(table, table, "--from-deleted")
    assert done.exit_code == 0, done.output
    assert {"ListBackups", "DescribeBackup", "RestoreTableFromBackup", "DeleteTable"} <= busy.seen
    assert world.items(table) == had


@pytest.mark.parametrize("temporary_one", [False, True])
def test_ctrl_c_while_it_is_restored_is_continued(world: World, temporary_one: bool) -> None:
    table, had = lost(world, some())

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    backup, _ = backup_of_deleted(world.client, world.client, table, None)
    folder = state_folder() / "copies"
    restore = Restore.to_copy_from(backup, folder) if temporary_one else Restore(backup, table, folder, temporary=False)
    with pytest.raises(KeptTableError, match=r"interrupted.*run the same copy again, which waits for it"):
        restore.table(interrupt, on_wait=print)
    world.sandbox.clock.advance(LATER)  # ACTIVE, so that DynamoDB does not say any more what it was restored from
    if temporary_one:
        made_again(world, table)
    restores = world.proxy.requests["RestoreTableFromBackup"]
    done = copy(table, table, "--from-deleted")
    assert done.exit_code == 0, done.output
    assert world.proxy.requests["RestoreTableFromBackup"] == restores
    assert world.items(table) == had
    assert not temporary(world, table)


def test_a_run_that_was_cut_off_before_the_answer_leaves_the_table_that_is_there_alone(world: World) -> None:
    table, _ = lost(world, some())
    backup, _ = backup_of_deleted(world.client, world.client, table, None)
    Restore(backup, table, state_folder() / "copies", temporary=False).record.save()
    made_again(world, table, "new")
    refused = copy(table, table, "--from-deleted")
    assert refused.exit_code == 1
    assert "an earlier run that was cut off has asked AWS to restore it" in refused.output
    assert len(world.items(table)) == 1
    assert copy(table, table, "--from-deleted", "--restart").exit_code == 0


def test_another_machine_neither_uses_nor_deletes_a_temporary_table_that_it_does_not_remember(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, had = lost(world, some())
    made_again(world, table)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Verifier, "verify", interrupt)
        assert copy(table, table, "--from-deleted").exit_code == 1
    [name] = temporary(world, table)
    shutil.move(state_folder(), state_folder().with_name("this machine"))
    refused = copy(table, table, "--from-deleted")
    assert refused.exit_code == 1
    assert f"{name} exists and is not known to be a restored copy of" in refused.output
    assert len(world.items(name)) == 20
    shutil.rmtree(state_folder(), ignore_errors=True)
    shutil.move(state_folder().with_name("this machine"), state_folder())
    done = copy(table, table, "--from-deleted", "--json")
    assert json.loads(done.stdout)["report"]["resumed"]
    assert world.items(table) == had
    assert not temporary(world, table)


def test_a_record_that_cannot_be_read_is_named(world: World) -> None:
    table, _ = lost(world, some())
    backup, _ = backup_of_deleted(world.client, world.client, table, None)
    record = Restore(backup, table, state_folder() / "copies", temporary=False).record
    record.save("somewhere")
    record.path.write_text("{")
    made_again(world, table)
    refused = copy(table, table, "--from-deleted")
    assert refused.exit_code == 1
    assert f"{record.path} should say how the table" in refused.output.replace("\n", "")


def test_backups_expire(world: World) -> None:
    table, _ = lost(world, some())
    until = from_micros(world.sandbox.clock.micros()) + timedelta(days=35)
    assert f"{until:%Y-%m-%d}" in copy(table, table, "--from-deleted", "--dry-run").output
    world.sandbox.clock.advance(timedelta(days=35))
    assert "keeps it for 35 days" in copy(table, table, "--from-deleted").output
