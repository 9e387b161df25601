"""The contract of one table: what its `defs.yaml` may say, and what each default is.

Pure: no dagster, no boto3. `table: Orders` alone is a whole contract. How a contract becomes assets is in
`components/dynamodb_table.py`.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from ddb_assets.dynamodb.attribute_value import AttributeValueError, Step, parse_path

NAME = re.compile(r"[a-z_][a-z0-9_]*")


def snake_case(text: str) -> str:
    """`userId` -> `user_id`, `HTTPCode` -> `http_code`, `a-b.c` -> `a_b_c`; letters of any script stay."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text)
    return re.sub(r"_{2,}", "_", re.sub(r"\W", "_", words)).strip("_").lower()


def default_name(table: str) -> str:
    """The name of a table's assets and root relation when the contract gives none; `table` is a name or an ARN."""
    return snake_case(table.rpartition("/")[2])


def _path(text: str) -> str:
    try:
        parse_path(text)
    except AttributeValueError as error:
        raise ValueError(str(error)) from None
    return text


AttributePath = Annotated[str, AfterValidator(_path)]
"""`address.city`, `items[].sku`; a backslash before a dot or bracket that belongs to the name."""


def _owner(text: str) -> str:
    if not re.fullmatch(r"team:[A-Za-z0-9_-]+|[^@\s]+@[^@\s]+\.[^@\s]+", text):
        raise ValueError(f"owner {text!r} must be an e-mail address or team:<name>")
    return text


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: object) -> object:
        """Refuses unknown keys before pydantic does, because its own message does not say which ones there are."""
        unknown = [key for key in data if key not in cls.model_fields] if isinstance(data, dict) else []
        if unknown:
            allowed = ValueError(f"unknown key; allowed here: {', '.join(cls.model_fields)}")
            raise ValidationError.from_exception_data(
                cls.__name__,
                [
                    InitErrorDetails(type="value_error", loc=(key,), input=data, ctx={"error": allowed})
                    for key in unknown
                ],
            )
        return data


class KeySchema(_Contract):
    """A table's partition key and, if it has one, its sort key, by attribute name."""

    partition_key: Annotated[str, Field(min_length=1)]
    sort_key: Annotated[str, Field(min_length=1)] | None = None

    @property
    def attributes(self) -> tuple[str, ...]:
        """The key attributes in order."""
        return (self.partition_key,) if self.sort_key is None else (self.partition_key, self.sort_key)


def _key_schema(value: object) -> object:
    if isinstance(value, str):
        partition_key, _, sort_key = (part.strip() for part in value.partition(","))
        return {"partition_key": partition_key, "sort_key": sort_key or None}
    return value


KeyText = Annotated[KeySchema, BeforeValidator(_key_schema)]
"""A key schema, also as text: `PK` or `PK,SK`."""


class ExportTarget(_Contract):
    """Where a table's exports go when not to the project's bucket."""

    bucket: Annotated[str, Field(min_length=3, max_length=255)]
    prefix: str = ""


class Table(_Contract):
    """What the project knows of one DynamoDB table before it has looked at it."""

    table: Annotated[
        str, Field(min_length=1, description="the table's name or ARN; the ARN for another account or Region")
    ]
    name: Annotated[
        str, Field(description="name of the assets and of the root relation; the table's in snake_case")
    ] = ""
    key: Annotated[KeyText | None, Field(description="PK or PK,SK; asked of DynamoDB when it is not given")] = None
    export: Annotated[ExportTarget | None, Field(description="where exports go; the project's bucket if absent")] = None
    nested: Annotated[
        dict[AttributePath, Literal["flatten", "json", "child"]],
        Field(description="per path: maps flatten or json; lists json or a child relation"),
    ] = {}
    owners: Annotated[
        tuple[Annotated[str, AfterValidator(_owner)], ...],
        Field(description="who answers for the table: e-mail addresses or team:<name>"),
    ] = ()

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: object) -> object:
        if isinstance(data, dict) and not data.get("name") and isinstance(data.get("table"), str):
            return {**data, "name": default_name(data["table"])}
        return data

    @model_validator(mode="after")
    def _well_named(self) -> Self:
        if not NAME.fullmatch(self.name) or len(self.name) > 100:
            raise ValueError(f"name {self.name!r} must be lower-case letters, digits and _, at most 100 characters")
        return self

    def nested_at(self, path: tuple[Step, ...]) -> str | None:
        """What the contract declares for this path, if anything."""
        return next((kind for text, kind in self.nested.items() if parse_path(text) == path), None)
