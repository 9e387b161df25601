"""The commands that findings name. They can be copied into a shell as they are, in the folder of the project."""

import json
import shlex

from ddb_assets.contract.stages import Stage, asset_path
from ddb_assets.contract.table import Table
from ddb_assets.flatten.names import relations

EXPORTS_SENSOR = "ddb_assets_exports"


def status(table: Table) -> str:
    """Looks again."""
    return shlex.join(["ddb-assets", "status", "--table", table.name])


def recover(table: Table, *options: str) -> str:
    """Rebuilds what is lost from what is left."""
    return shlex.join(["ddb-assets", "recover", "--table", table.name, *options, "--apply"])


def load_in_full(table: Table, *, restart: bool = False) -> str:
    """Exports (or scans) the table, flattens and loads it. `restart` replaces all rows and the record of loads."""
    names = relations(table).values()
    keys = [
        "/".join(table.asset_path(stage, name))
        for stage in table.full_stages
        for name in ([table.name] if stage == table.first_stage else names)
    ]
    command = ["dg", "launch", "--assets", " or ".join(f'key:"{key}"' for key in keys)]
    if restart:
        ops = {_op(stage, table): {"config": {"restart": True}} for stage in table.full_stages[1:]}
        command += ["--config-json", json.dumps({"ops": ops})]
    return shlex.join(command)


def start_windows(table: Table) -> str:
    """Switches on what exports, flattens and loads the windows that are due."""
    schedule = shlex.join(["dagster", "schedule", "start", "-w", "workspace.yaml", f"{table.name}_windows"])
    own_sensor = table.export is not None  # its name is made of the place
    return schedule if own_sensor else f"{schedule}; dagster sensor start -w workspace.yaml {EXPORTS_SENSOR}"


def switch_on_recovery(table: Table) -> str:
    """Switches point-in-time recovery on."""
    region = ["--region", table.table.split(":")[3]] if table.table.startswith("arn:") else []
    return shlex.join(
        [
            *("aws", "dynamodb", "update-continuous-backups", *region, "--table-name", table.table.rpartition("/")[2]),
            *("--point-in-time-recovery-specification", "PointInTimeRecoveryEnabled=true"),
        ]
    )


def _op(stage: Stage, table: Table) -> str:
    """The name of a stage's step in the configuration of a run."""
    return "__".join(asset_path(stage, table.name))
