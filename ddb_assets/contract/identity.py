"""The inputs that decide which rows an export becomes, and with which keys; compared wherever rows of two exports meet.

The schema document, the report and the warehouse's ledger record the identity. A flattening compares its own with that of
the stored schema, a load with that of the newest load. Rows of two identities in one table would name one item twice, or
put two attributes into one column. So a change is refused until someone starts the table over with a full
export (`restart`).
"""

import hashlib
import hmac
from collections.abc import Collection
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from ddb_assets.contract.durable import DurableFormat
from ddb_assets.contract.policy import Mask
from ddb_assets.contract.table import Table

FORMAT = 1
"""The version of rows, keys and texts as this code writes them: raised when the same export would give others."""
DECIDES_ROWS = {"nested", "columns", "contract", "oversize", "timestamps", "max_depth", "max_width"}
"""The fields of a contract that change what an export is flattened to; others, such as owners, do not."""
HISTORY = "with hashes of images"
"""What `history` adds to the rows of an export; nothing is added for other tables, whose digests stay as they were."""
FINGERPRINT_DIGITS = 16


class Identity(BaseModel):
    """Every input that decides the rows, besides the export's own content.

    `key_masks` has the mask of each key attribute, None for one written as it is. `mask_secret` is a fingerprint of the
    secret that `mask: hmac` uses, empty when the contract has no such mask. `schema_id` names the history of schema
    documents that assigns columns to attributes. `contract` is the SHA-256 of the contract's fields that affect rows.
    """

    format: int
    key: tuple[str, ...]
    key_masks: tuple[Mask | None, ...]
    mask_secret: str
    schema_id: str
    contract: str

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="after")
    def _a_mask_for_each_key(self) -> Self:
        if len(self.key_masks) != len(self.key):
            raise ValueError("key_masks has one entry for each attribute of the key")
        return self

    @classmethod
    def of(cls, table: Table, key: tuple[str, ...], secret: bytes | None, schema_id: str) -> "Identity":
        """The identity of a table's rows under this contract, key, mask secret and history of schema documents."""
        masked = any(options.mask == "hmac" for options in table.columns.values())
        return cls(
            format=FORMAT,
            key=key,
            key_masks=tuple(table.policy((name,)).mask for name in key),
            mask_secret=fingerprint(secret) if masked and secret else "",
            schema_id=schema_id,
            contract=_contract_digest(table),
        )

    def check_format(self, where: str) -> None:
        """Raises NewerFormatError if a newer ddb_assets wrote the rows; `where` names this identity, for the message.

        Rows of an older one are known, and `differences` keeps them apart from those of today.
        """
        older = dict.fromkeys(range(1, FORMAT), dict)
        DurableFormat("the format of the rows", FORMAT, migrations=older).check(self.format, where)

    def digest(self, export_digest: str) -> str:
        """Hex SHA-256 of an export's content and of all that decides its rows: equal digests mean equal rows."""
        return hashlib.sha256(f"{export_digest} {self.model_dump_json()}".encode()).hexdigest()

    def matches(self, previous: "Identity | None") -> bool:
        """Whether a stored identity equals this one, apart from the contract."""
        return previous is not None and previous.model_copy(update={"contract": self.contract}) == self

    def differences(self, previous: "Identity") -> list[str]:
        """Why rows of the two do not match, in words; a contract may change, the rest may not."""
        found = []
        if self.format != previous.format:
            found.append(
                f"its rows were written in format {previous.format}, this version of ddb_assets writes {self.format}"
            )
        if self.key != previous.key:
            found.append(f"its key was {', '.join(previous.key)}, now it is {', '.join(self.key)}")
        elif self.key_masks != previous.key_masks:
            masks = zip(self.key, previous.key_masks, self.key_masks, strict=True)
            found += [
                f"key attribute {name!r} had {_mask(before)}, now it has {_mask(now)}: one item would have two keys"
                for name, before, now in masks
                if before != now
            ]
        if self.mask_secret and previous.mask_secret and self.mask_secret != previous.mask_secret:
            found.append(
                f"the secret of mask: hmac has changed (fingerprint {previous.mask_secret}, now {self.mask_secret}): "
                "one value would have two masks"
            )
        if self.schema_id != previous.schema_id:
            found.append(
                f"its columns are those of the schema documents {previous.schema_id or 'without an id'}, this export was "
                f"flattened by {self.schema_id or 'some without an id'}: one column could get two attributes"
            )
        return found


def code_version(table: Table, *, loaded: bool) -> str:
    """What changes whenever this code or the contract would make other rows of the same export.

    `loaded` asks for that of the table in the warehouse, where `soft_delete` decides which rows stay.
    """
    fields = {*DECIDES_ROWS, "key", *({"soft_delete"} if loaded else ())}
    return f"{FORMAT}-{_contract_digest(table, fields)[:FINGERPRINT_DIGITS]}"


def _contract_digest(table: Table, fields: Collection[str] = DECIDES_ROWS) -> str:
    text = table.model_dump_json(include=set(fields))
    return hashlib.sha256((f"{text} {HISTORY}" if table.history else text).encode()).hexdigest()


def fingerprint(secret: bytes) -> str:
    """What tells the secret of `mask: hmac` from another one, and does not give it away."""
    return hmac.new(secret, b"ddb_assets: fingerprint of the mask secret", "sha256").hexdigest()[:FINGERPRINT_DIGITS]


def _mask(mask: Mask | None) -> str:
    return f"mask: {mask}" if mask else "no mask"
