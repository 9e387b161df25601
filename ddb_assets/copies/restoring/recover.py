"""Restores a table that does not exist any more under its own name: then nothing needs to be copied.

It has the items, the key, the indexes and the billing of the backup, costs no WCUs, and is not half there at any moment. A
table that exists already is not touched here; `run.py` copies the backup's items into it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ddb_assets.aws.errors import AwsError, meaning
from ddb_assets.copies.attribute_mapping import CopyRefusedError
from ddb_assets.copies.copy_config import CopyConfig
from ddb_assets.copies.restoring.backups import Backup, shown_time
from ddb_assets.copies.restoring.reach import Reached, reached
from ddb_assets.copies.restoring.restore import Restore
from ddb_assets.copies.restoring.unrestored import unrestored
from ddb_assets.copies.sides import Side


@dataclass(frozen=True)
class RestoredTable:
    """What was restored, or is there since an earlier run (`earlier_run`).

    `items` and `size_bytes` are as DynamoDB counted them for the backup, up to six hours before it. `not_restored` has what
    the table lacks, a line each.
    """

    table: str
    backup: str
    backed_up_at: str
    items: int
    size_bytes: int
    earlier_run: bool
    dry_run: bool
    not_restored: list[str] = field(default_factory=list)


def restore_absent(
    config: CopyConfig,
    backup: Backup,
    folder: Path,
    on_wait: Callable[[str], object],
    *,
    restart: bool = False,
    dry: bool = False,
) -> RestoredTable | None:
    """Restores the destination if it does not exist, or waits for an earlier run's restore of it. None if it is another table.

    `restart` copies into the restored table of an earlier run as into any other; `dry` restores nothing. Raises
    CopyRefusedError, AwsError, KeptTableError.
    """
    destination = reached("destination", config.destination)
    name = destination.table.rpartition("/")[2]
    restore = Restore(backup, name, folder, temporary=False)
    before = _described(destination)
    if before is None:
        _check_plain(config, backup, destination)
    elif before.description.status == "DELETING":
        raise CopyRefusedError(
            f"table {before.arn} is being deleted: wait until it is gone, then run the same copy again"
        )
    elif restart or not _is_restored(restore, before):
        return None
    if not dry:
        restore.table(on_wait=on_wait)
    elif before is None:
        backup.check()
    return RestoredTable(
        table=f"{_place(backup.table_arn)}/{name}",
        backup=backup.arn,
        backed_up_at=shown_time(backup.moment),
        items=int(backup.source.get("ItemCount", 0)),
        size_bytes=int(backup.source.get("TableSizeBytes", 0)),
        earlier_run=before is not None,
        dry_run=dry,
        not_restored=unrestored(backup, name),
    )


def _described(destination: Reached) -> Side | None:
    try:
        return Side.of(destination.client, destination.bulk, destination.table)
    except AwsError as error:
        if meaning(error.code) != "missing":
            raise
        return None


def _is_restored(restore: Restore, there: Side) -> bool:
    """Whether the table is there because an earlier run has restored it."""
    if restore.is_ours(there):
        return True
    remembered = restore.record.load()
    if remembered is not None and not remembered.table:
        raise CopyRefusedError(
            f"{there.arn} exists, and an earlier run that was cut off has asked AWS to restore it from "
            f"{restore.origin.key}. If it has the items, everything is done. --restart copies the backup's items into it "
            "in any case, over newer ones"
        )
    return False


def _check_plain(config: CopyConfig, backup: Backup, destination: Reached) -> None:
    """Raises CopyRefusedError unless the backup, as it is, is what was asked for."""
    name = destination.table
    elsewhere = config.destination.model_copy(update={"table": ""}) != config.source.model_copy(update={"table": ""})
    if elsewhere or (name.startswith("arn:") and _place(name) != _place(backup.table_arn)):
        raise CopyRefusedError(
            f"there is no table {name}, and AWS restores a backup in its own account and Region only. Restore it there first, "
            f"with the same access for source and destination, or make the table {name} and run the same copy again"
        )
    changes = [
        option
        for option, given in (
            ("--filter", config.filter),
            ("--exclude", config.exclude),
            ("--rename", config.rename),
            ("--rekey", config.rekey),
            ("--verify", config.verify),
        )
        if given
    ]
    if changes:
        raise CopyRefusedError(
            f"there is no table {name}: it would be restored as it was, without a copy that {', '.join(changes)} could "
            f"change or compare. Leave {'it' if len(changes) == 1 else 'them'} out, or make the table {name} first"
        )


def _place(arn: str) -> str:
    """Account and Region of a table, as its ARN begins."""
    return arn.partition("/")[0]
