"""For how long files stay in the lake: what a contract's `keep`, or the setting DDB_ASSETS_KEEP, says by kind.

Without either nothing is deleted. `docs/retention.md` says what is never deleted, however old it is.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from ddb_assets.contract.days import days
from ddb_assets.contract.model import ContractModel, first_problem
from ddb_assets.settings import KEEP, SettingError, optional

if TYPE_CHECKING:
    from ddb_assets.contract.table import Table

Kind = Literal["exports", "parquet", "quarantine", "spill", "schemas", "streams", "receipts"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FOREVER = "forever"


def _age(text: str) -> str:
    try:
        if text != FOREVER:
            days(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number of days: write it like 90 days, or {FOREVER}") from None
    return text


Age = Annotated[str, AfterValidator(_age)] | None


class Keep(ContractModel):
    """After how many days files of each kind may go, such as `90 days`; `forever` keeps what the setting would delete."""

    exports: Annotated[Age, Field(description="exports and scans, as DynamoDB or a scan wrote them")] = None
    parquet: Annotated[Age, Field(description="flattened exports")] = None
    quarantine: Annotated[Age, Field(description="lines that could not be read")] = None
    spill: Annotated[Age, Field(description="texts that are too long for a column, which rows name")] = None
    schemas: Annotated[Age, Field(description="schema documents that a newer one has superseded")] = None
    streams: Annotated[Age, Field(description="landings of streams")] = None
    receipts: Annotated[Age, Field(description="receipts of loads of which nothing else is left")] = None
    dry_run: Annotated[bool | None, Field(description="true: only say what would be deleted; false: delete it")] = None

    def age(self, kind: Kind) -> timedelta | None:
        """How old a file of this kind must be; None if it stays for ever."""
        said: str | None = getattr(self, kind)
        return None if said is None or said == FOREVER else days(said)

    def over(self, other: "Keep") -> "Keep":
        """This one, with what the other one says where this says nothing."""
        own = {name: value for name, value in self.model_dump().items() if value is not None}
        return Keep.model_validate({**other.model_dump(), **own})


def _keep(value: object) -> object:
    """One text is for all kinds."""
    return dict.fromkeys(KINDS, _age(value)) if isinstance(value, str) else value


KeepChoice = Annotated[Keep | None, BeforeValidator(_keep, json_schema_input_type=Keep | str | None)]
"""May be written as one text for all kinds: `90 days`."""


def general_keep() -> Keep:
    """What the setting says: `90 days`, or YAML such as `{exports: 30 days, dry_run: false}`. Raises SettingError."""
    text = optional(KEEP)
    try:
        said: Any = yaml.safe_load(text) if text else {}
        return Keep.model_validate(_keep(said))
    except yaml.YAMLError:
        problem = "this is not YAML"
    except ValidationError as error:
        problem = first_problem(error)
    except ValueError as error:
        problem = str(error)
    raise SettingError(
        f"{KEEP} is {text!r}: {problem}; write 90 days, or {{exports: 30 days, parquet: 90 days}}"
    ) from None


def keep_of(table: "Table") -> Keep:
    """What holds for a table: its contract, and where that says nothing, the setting. Raises SettingError."""
    general = general_keep()
    return table.keep.over(general) if table.keep else general


def deletes(keep: Keep) -> bool:
    """Whether any kind goes at some age."""
    return any(keep.age(kind) for kind in KINDS)


def ages(keep: Keep) -> Mapping[Kind, timedelta]:
    """The ages by kind, of those that go."""
    return {kind: age for kind in KINDS if (age := keep.age(kind))}
