"""`ddb-assets copy --follow`: a copy that goes on with the changes of its source."""

import time
from dataclasses import asdict

import click

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import is_s3
from ddb_assets.cli.copy import aws_of, confirm
from ddb_assets.cli.copy_output import advance, print_outcome, progress
from ddb_assets.cli.output import note, print_json, say
from ddb_assets.cli.signals import term_interrupts
from ddb_assets.copies.copy_config import CopyConfig
from ddb_assets.copies.following.copy_and_follow import FollowOutcome, copy_and_follow
from ddb_assets.copies.following.follow import Looked
from ddb_assets.copies.following.followed_stream import FollowedStream
from ddb_assets.copies.plan import Clean
from ddb_assets.copies.run import CopyOutcome, open_tables
from ddb_assets.microseconds import now_micros
from ddb_assets.settings import state_folder

QUIET_LINE = 30.0
"""Seconds after which a line is printed although there was no change."""


def run(
    config: CopyConfig,
    stream: str,
    clean: Clean,
    *,
    until_caught_up: bool,
    yes: bool,
    restart: bool,
    as_json: bool,
) -> None:
    """Copies, then prints what each look at the stream brought. Ctrl-C ends it; exits with 1 if compared tables differ."""
    folder = state_folder() / "copies"
    with term_interrupts():
        opened = open_tables(config, None, folder, note)
        followed = FollowedStream.of(aws_of(config.source), opened.source, stream)
        with progress(opened.source.name, opened.source.description.items, silent=as_json) as bar:

            def copied(outcome: CopyOutcome) -> None:
                bar.stop()
                print_outcome(outcome, as_json=as_json)

            outcome = copy_and_follow(
                opened,
                config,
                clean,
                followed,
                folder,
                storage=AWS().storage() if is_s3(config.rejects) else None,
                restart=restart,
                until_caught_up=until_caught_up,
                confirm=lambda plan: confirm(plan, bar, yes=yes),
                on_note=note,
                on_page=lambda phase, items, totals: advance(bar, phase, items, totals),
                on_copied=copied,
                on_look=_Shown(as_json=as_json),
            )
    _print(outcome, as_json=as_json)
    if not outcome.succeeded:
        raise click.exceptions.Exit(1)


class _Shown:
    """Prints looks: each that brought something, and one now and then."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json, self._said = as_json, 0.0

    def __call__(self, looked: Looked) -> None:
        if not looked.records and time.monotonic() - self._said < QUIET_LINE:
            return
        self._said = time.monotonic()
        age = None if looked.newest is None else max(0.0, (now_micros() - looked.newest) / 1_000_000)
        if self._as_json:
            print_json(asdict(looked) | {"newest_age": age})
            return
        lag = f", {looked.behind_millis / 1000:,.1f} s behind the stream" if not looked.caught_up else ""
        newest = f", the newest {age:,.1f} s old" if age is not None else ""
        other = f", {looked.others:,} of other tables" if looked.others else ""
        late = f", {looked.outdated:,} outdated" if looked.outdated else ""
        say(f"{looked.records:,} records{other}: {looked.applied:,} changes applied{late}{newest}{lag}")


def _print(outcome: FollowOutcome, *, as_json: bool) -> None:
    found = outcome.verification
    if as_json:
        print_json(asdict(outcome) | {"succeeded": outcome.succeeded})
        return
    say(f"{outcome.applied:,} changes of {outcome.source} are applied to {outcome.destination}")
    if outcome.interrupted:
        say("interrupted: the same command goes on from here, as long as the stream keeps what comes in the meantime")
    if found:
        say(f"{'agrees' if found.passed(exact=outcome.exact) else 'DIFFERS'}: {found}")
    if not outcome.succeeded:
        say("the tables differ: stop all writes to the source, then run the same command again", err=True)
