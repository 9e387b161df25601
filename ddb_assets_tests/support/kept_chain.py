"""A chain as it was at one moment. Tests that begin there get a copy, because making it again takes longer than the tests."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from ddb_assets.sandbox import demo
from ddb_assets.settings import state_folder
from ddb_assets_tests.support.window_chain import Chain

RECORDED = {
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
}


@dataclass(frozen=True)
class KeptChain:
    """The warehouse and schemas of a chain, its objects on S3, and what its instance knows about assets."""

    state: Path
    prefix: str
    events: tuple[dg.EventLogEntry, ...]

    @classmethod
    def of(cls, chain: Chain, state: Path) -> "KeptChain":
        """Keeps what is there now. The folder `state` is made for it."""
        shutil.copytree(state_folder(), state)
        logs = [entry for run in reversed(chain.instance.get_runs()) for entry in chain.instance.all_logs(run.run_id)]
        events = (entry for entry in logs if entry.dagster_event and entry.dagster_event.event_type in RECORDED)
        return cls(state, chain.prefix, tuple(events))

    def into(self, chain: Chain) -> None:
        """Brings an empty chain to this state. Its events name the files of the chain that was kept, which stay as they are."""
        shutil.copytree(self.state, state_folder(), dirs_exist_ok=True)
        s3, old = chain.sandbox.s3(), f"{self.prefix}/"
        for found in s3.list_objects_v2(Bucket=demo.BUCKET, Prefix=old).get("Contents", []):
            name = found["Key"].removeprefix(old)
            if not name.startswith("exports/"):
                source = f"{demo.BUCKET}/{found['Key']}"
                s3.copy_object(Bucket=demo.BUCKET, Key=f"{chain.prefix}/{name}", CopySource=source)
        for event in self.events:
            chain.instance.store_event(event)
