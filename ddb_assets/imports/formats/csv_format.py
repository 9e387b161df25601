"""How CSV files are written: the settings that `csv` has in an import's configuration."""

import csv
from collections.abc import Iterable, Iterator
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

COMPRESSIONS = (".gz", ".zst", ".zstd")
UTF8 = "utf-8-sig"
MAX_FIELD = 16 << 20  # no attribute is larger than 400 KB; a longer field is a quote that was never closed


def _encoding(name: str) -> str:
    try:
        "".encode(name)
    except LookupError:
        raise ValueError(f"there is no encoding {name!r}") from None
    return name


Char = Annotated[str, Field(pattern=r"^[^\r\n]$", description="one character")]


class CsvFormat(BaseModel):
    """How the files are written. `delimiter` is by default a comma, in `.tsv` files a tab.

    `quote`: null when quotes are characters like others. `escape` makes the next character one like others.
    `header`: whether there is a line with names; by default unless `columns` names them. With both, `columns` are used.
    `skip_lines` are before the header, or before the first record. Lines that begin with `comment` are no records.
    `no_value`: texts that mean no value. `trim`: blanks around the fields do not belong to them.
    `max_record_lines`: a record with more lines is a quote that was never closed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    delimiter: Char | None = None
    quote: Char | None = '"'
    escape: Char | None = None
    header: bool | None = None
    columns: tuple[str, ...] | None = None
    skip_lines: Annotated[int, Field(ge=0)] = 0
    comment: Char | None = None
    trim: bool = False
    no_value: tuple[str, ...] = ("",)
    encoding: Annotated[str, AfterValidator(_encoding)] = UTF8
    max_record_lines: Annotated[int, Field(ge=1)] = 200

    @model_validator(mode="after")
    def _different(self) -> Self:
        chars = {"delimiter": self.delimiter, "quote": self.quote, "escape": self.escape, "comment": self.comment}
        given = [char for char in chars.values() if char is not None]
        if len(set(given)) < len(given):
            twice = next(char for char in given if given.count(char) > 1)
            names = " and ".join(name for name, char in chars.items() if char == twice)
            raise ValueError(f"{names} are the same character, {twice!r}: they must differ")
        return self

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.header is False and self.columns is None:
            raise ValueError("without a header the names of the columns must be in `columns`")
        return self

    @property
    def has_header(self) -> bool:
        """Whether there is a line with names."""
        return self.columns is None if self.header is None else self.header

    def of(self, uri: str) -> Self:
        """The same with the delimiter of this file."""
        return self.model_copy(update={"delimiter": self.delimiter or ("\t" if ending_of(uri) == ".tsv" else ",")})

    def reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """The records of these lines as fields. Raises csv.Error."""
        csv.field_size_limit(MAX_FIELD)
        records = csv.reader(
            lines,
            delimiter=self.delimiter or ",",
            quotechar=self.quote,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            escapechar=self.escape,
            skipinitialspace=self.trim and self.delimiter != " ",
            strict=True,
        )
        return map(_trimmed, records) if self.trim else records


def _trimmed(fields: list[str]) -> list[str]:
    found = [field.strip(" \t") for field in fields]
    return [] if found == [""] else found  # a line of blanks


def ending_of(uri: str) -> str:
    """`.csv` of `s3://b/a.CSV.gz`."""
    name = uri.lower()
    for ending in COMPRESSIONS:
        name = name.removesuffix(ending)
    return f".{name.rpartition('.')[2]}"
