"""The policy of each attribute path: the contract's options for it, and what it inherits from the paths above it.

Pure. A contract names few paths, items have many. So this is a tree of the named paths; all others inherit. Its size
does not depend on the data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, Field

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.model import ContractModel
from ddb_assets.dynamodb.attribute_value import Step

ContractMode = Literal["evolve", "freeze", "discard_value", "discard_row"]
"""What happens to an attribute or a type that the stored schema does not have.

evolve: a column is added or widened; a value of a type that cannot be joined is kept in `_ddb_extra`. freeze: the
export is not loaded. discard_value: the value is dropped and counted. discard_row: the item is quarantined.
"""
Oversize = Literal["extra", "truncate", "spill", "quarantine"]
"""What happens to a text longer than its column or than SUPER allows (65,535 bytes).

extra: it is kept in `_ddb_extra`, in pieces. truncate: it is cut and counted. spill: it is written to a file, and the
column has the file's URI. quarantine: the item is quarantined.
"""
Mask = Literal["sha256", "hmac", "drop"]
"""What replaces a value that must not be written: its SHA-256, its HMAC-SHA-256 with a secret, or NULL."""


def _sql_type(text: str) -> str:
    return str(SqlType.parse(text))


class ColumnOptions(ContractModel):
    """The options for one attribute path; `contract`, `oversize`, `mask` and `exclude` also apply below it."""

    rename: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$", max_length=127)] | None = None
    type: Annotated[str, AfterValidator(_sql_type)] | None = None
    exclude: bool = False
    mask: Mask | None = None
    contract: ContractMode | None = None
    oversize: Oversize | None = None


_MAPS, _LISTS = frozenset({"M"}), frozenset({"L", "SS", "NS", "BS"})
_STRICTEST = ("exclude", "drop", "hmac", "sha256")


@dataclass(frozen=True)
class Policy:
    """What applies to one attribute path, including what it inherits.

    `below` is the strictest way in which a path below this one is hidden (`exclude` or a mask); `shapes` are the types
    that can contain such a path. `whole`: the value is hidden as a whole, because it has none of these types. `key`: a
    key attribute. It is written unchanged or not at all, so that two keys never become one.
    """

    contract: ContractMode = "evolve"
    oversize: Oversize = "extra"
    mask: Mask | None = None
    exclude: bool = False
    type: str | None = None
    rename: str | None = None
    below: str | None = None
    shapes: frozenset[str] = frozenset()
    whole: bool = False
    key: bool = False

    def of(self, descriptor: str) -> "Policy":
        """The policy for a value of this type.

        If the contract hides `customer.email`, a `customer` that is a string or a list may contain the address too.
        Such a value is excluded as a whole if the contract excludes or drops anything below the path, else masked as a
        whole.
        """
        if self.below is None or self.exclude or descriptor == "NULL" or descriptor in self.shapes:
            return self
        strictest = min(filter(None, (self.below, self.mask)), key=_STRICTEST.index)
        if strictest in {"exclude", "drop"}:
            return replace(self, exclude=True, whole=True)
        return replace(self, mask=cast("Mask", strictest), whole=True)


@dataclass
class _Named:
    """A path that the contract names, or one above it: its own policy, and the one that unnamed paths below inherit."""

    policy: Policy
    inherited: Policy
    below: "dict[Step, _Named]" = field(default_factory=dict)


class Policies:
    """The policy of every path. `options` are the contract's, by path; `top` applies where they set nothing."""

    def __init__(self, options: Mapping[tuple[Step, ...], ColumnOptions], top: Policy) -> None:
        self._top = _named(options, (), top)

    def of(self, path: Sequence[Step | int]) -> Policy:
        """The policy of a path. A step into a list is None or the element's position."""
        here = self._top
        for step in path:
            below = here.below.get(step if isinstance(step, str) else None)
            if below is None:
                return here.inherited
            here = below
        return here.policy


def _named(options: Mapping[tuple[Step, ...], ColumnOptions], path: tuple[Step, ...], above: Policy) -> _Named:
    own = options.get(path) or ColumnOptions()
    deeper = {named: at for named, at in options.items() if len(named) > len(path) and named[: len(path)] == path}
    hidden = {named: how for named, at in deeper.items() if (how := "exclude" if at.exclude else at.mask)}
    shapes = [_LISTS if named[len(path)] is None else _MAPS for named in hidden]
    inherited = Policy(
        contract=own.contract or above.contract,
        oversize=own.oversize or above.oversize,
        mask=own.mask or above.mask,
        exclude=own.exclude or above.exclude,
    )
    policy = replace(
        inherited,
        type=own.type,
        rename=own.rename,
        below=min(hidden.values(), key=_STRICTEST.index, default=None),
        shapes=frozenset().union(*shapes),
    )
    steps = {named[len(path)] for named in deeper}
    return _Named(policy, inherited, {step: _named(options, (*path, step), inherited) for step in steps})
