"""A copy that goes on with the changes of its source, until one of the two tables takes the place of the other.

The stream's place is noted before the scan begins, and the scan reads consistently: what it has not seen is in the stream after
that place. `run.py` copies, `follow.py` applies the changes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from ddb_assets.aws.storage import Storage
from ddb_assets.bulk.lock import only_run
from ddb_assets.copies.attribute_mapping import CopyRefusedError
from ddb_assets.copies.copy_config import CopyConfig
from ddb_assets.copies.copy_job import OnPage
from ddb_assets.copies.following.follow import Follower, Looked
from ddb_assets.copies.following.follow_state import Following, FollowState
from ddb_assets.copies.following.followed_stream import FollowedStream
from ddb_assets.copies.plan import Clean, CopyPlan, plan_copy
from ddb_assets.copies.run import CopyOutcome, Opened, run_copy
from ddb_assets.copies.verify import SAMPLE, Verification


@dataclass(frozen=True)
class FollowOutcome:
    """How it ended. `applied`: changes, those of earlier runs included. `interrupted`: by Ctrl-C, and it can go on.

    `verification` compares the tables once it has caught up; `exact`: the copy should have no other items.
    """

    source: str
    destination: str
    stream: str
    applied: int
    interrupted: bool
    verification: Verification | None
    exact: bool

    @property
    def succeeded(self) -> bool:
        """Nothing that was compared differs."""
        return self.verification is None or self.verification.passed(exact=self.exact)


def copy_and_follow(
    opened: Opened,
    config: CopyConfig,
    clean: Clean,
    stream: FollowedStream,
    folder: Path,
    *,
    storage: Storage | None = None,
    restart: bool = False,
    until_caught_up: bool = False,
    confirm: Callable[[CopyPlan], object],
    on_note: Callable[[str], object],
    on_page: OnPage,
    on_copied: Callable[[CopyOutcome], object],
    on_look: Callable[[Looked], object],
) -> FollowOutcome:
    """Copies unless an earlier run has done it, then follows. `folder` keeps what is needed to continue.

    The other parameters are as in `run_copy`. Raises what that raises, and what `Follower.follow` raises.
    """
    config = config.model_copy(update={"consistent": True})
    plan = plan_copy(opened.source, opened.destination, config, clean)
    if config.filter or not plan.key.one_to_one:
        raise CopyRefusedError(
            "a table can be followed without --filter and --rekey only: of a change it is not known whether the item passed "
            "the filter before, or had another key"
        )
    world = plan.world | {"stream": stream.arn}
    with (
        only_run(folder / f"{plan.job}.follow.lock", "copy"),
        FollowState(folder / f"{plan.job}.follow.sqlite") as state,
    ):
        following = None if restart else state.load(world)
        is_new = following is None
        if following is None:
            stream.check()
            since, position = stream.start()
            following = Following(
                world=orjson.loads(orjson.dumps(world)),
                since=since,
                shards=dict(position.shards),
                read_at=dict(position.read_at),
                created=position.created,
            )
            state.begin(following)
        follower = Follower(plan, stream, state, following)
        follower.check()
        if not following.copied:
            copied = run_copy(
                opened,
                config.model_copy(update={"verify": 0}),
                clean,
                folder,
                storage=storage,
                restart=is_new,  # pages that were read before the stream's place was noted must be read again
                confirm=confirm,
                on_resumed=on_note,
                on_page=on_page,
            )
            on_copied(copied)
            follower.following = following.model_copy(update={"copied": True})
            state.save(follower.following)
        interrupted, found = False, None
        try:
            follower.follow(on_look, until_caught_up=until_caught_up)
        except KeyboardInterrupt:
            interrupted = True
        if until_caught_up and not interrupted:
            found = plan.verifier.verify(config.verify or SAMPLE)
        return FollowOutcome(
            source=plan.source.arn,
            destination=plan.destination.arn,
            stream=stream.arn,
            applied=follower.following.applied,
            interrupted=interrupted,
            verification=found,
            exact=clean != "no",
        )
