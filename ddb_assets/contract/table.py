"""The contract of one table: what its `defs.yaml` says (`attributes.py`), and what follows from it.

Pure: no dagster, no boto3. `table: Orders` alone is a complete contract. `components/dynamodb_table.py` makes the
assets of a contract.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Self

from pydantic import PrivateAttr, model_validator

from ddb_assets.contract.attributes import TableAttributes
from ddb_assets.contract.combinations import check_combinations
from ddb_assets.contract.policy import Policies, Policy
from ddb_assets.contract.stages import (
    FULL_CHAIN,
    REPLACED,
    SCANNED,
    Chain,
    FullChain,
    FullStages,
    Stage,
    StreamChain,
    asset_path,
)
from ddb_assets.contract.windows import Cadence
from ddb_assets.dynamodb.attribute_value import Step, format_path, parse_path


class Table(TableAttributes):
    """The contract of one DynamoDB table."""

    _paths: Mapping[tuple[Stage, str], tuple[str, ...]] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check_combinations(self)
        return self

    @model_validator(mode="after")
    def _keeps_its_key(self) -> Self:
        if self.key:
            self.check_key(self.key.attributes)
        return self

    def check_key(self, key: Sequence[str]) -> None:
        """Raises ValueError when the contract excludes or drops an attribute of `key`: every row needs its key."""
        for name in key:
            policy = self.policy((name,))
            if policy.exclude or policy.mask == "drop":
                option = "exclude: true" if policy.exclude else "mask: drop"
                raise ValueError(
                    f"columns: {format_path((name,))} is a key attribute of {self.table}, and `{option}` would leave its rows "
                    "without a key: use `mask: sha256` or `mask: hmac`"
                )

    def with_paths(self, paths: Mapping[tuple[Stage, str], tuple[str, ...]]) -> Self:
        """A copy of the table whose assets have these paths, by stage and relation; all others keep the usual paths."""
        renamed = self.model_copy()
        renamed._paths = paths
        return renamed

    def asset_path(self, stage: Stage, relation: str = "") -> tuple[str, ...]:
        """The asset path of a relation in this stage; by default of the root relation."""
        name = relation or self.name
        return self._paths.get((stage, name)) or asset_path(stage, name)

    def asset_name(self, stage: Stage) -> str:
        """The asset path of the root relation, as messages show it: `exports/orders_full_export`."""
        return "/".join(self.asset_path(stage))

    @property
    def full_stages(self) -> FullStages | tuple[()]:
        """The stages that a full export of the table passes, or a scan of it; none if a stream alone fills it."""
        if self.source == "stream":
            return ()
        if self.source == "scan":
            return SCANNED
        return REPLACED if self.load == "replace" else FULL_CHAIN

    @property
    def first_stage(self) -> Stage:
        """The stage in which all items leave DynamoDB."""
        return "scan" if self.source == "scan" else "full_export"

    @property
    def full_chain(self) -> FullChain:
        """The root's assets in these stages, which a person materializes for a new initial load."""
        export, parquet, load = map(self.asset_name, self.full_stages)
        what = "a scan" if self.source == "scan" else "a full export"
        return FullChain(export, parquet, load, windows=self.load != "replace", what=what)

    @property
    def chain(self) -> Chain:
        """The way of the table's items, whatever fills it."""
        return StreamChain(self.stream, self.name) if self.source == "stream" else self.full_chain

    @property
    def stream_stage(self) -> Stage:
        """The stage of the assets that its stream keeps fresh."""
        return "warehouse" if self.source == "stream" else "live"

    @property
    def has_tail(self) -> bool:
        """Whether its stream fills a tail beside it, which a view shows as one with the table."""
        return bool(self.stream) and self.source != "stream"

    @property
    def reads_consistently(self) -> bool:
        """Whether its scans read strongly consistently. With a stream they do: then both together are exact."""
        return self.scan.consistent or bool(self.stream)

    @property
    def windows(self) -> Cadence:
        """The cadence: the windows of the table's incremental exports, or how often it is exported in full."""
        return Cadence.parse(self.cadence)

    def nested_at(self, path: tuple[Step, ...]) -> str | None:
        """What the contract's `nested` declares for this path: `flatten`, `json`, `child` or None."""
        return self._nested.get(path)

    @cached_property
    def _nested(self) -> dict[tuple[Step, ...], str]:
        return {parse_path(text): kind for text, kind in self.nested.items()}

    @cached_property
    def _policies(self) -> Policies:
        return Policies(
            {parse_path(text): options for text, options in self.columns.items()},
            Policy(contract=self.contract, oversize=self.oversize),
        )

    def declared_below(self, path: tuple[Step, ...]) -> list[str]:
        """The names for which the contract's `columns` has options directly below this path, in its order."""
        found = map(parse_path, self.columns)
        return [one[-1] for one in found if one[:-1] == path and isinstance(one[-1], str)]

    def policy(self, path: Sequence[Step | int]) -> Policy:
        """The policy of this path, with what it inherits from the paths above it."""
        return self._policies.of(path)

    def shown(self, path: Sequence[Step | int]) -> tuple[Step | int, ...]:
        """The part of a path that may be shown: names below a hidden path are data too."""
        for length, step in enumerate(path):
            policy = self.policy(path[:length])
            hidden_below = policy.below and ("M" if isinstance(step, str) else "L") not in policy.shapes
            if policy.exclude or policy.mask or hidden_below:
                return tuple(path[:length])
        return tuple(path)
