"""The options `--filter`, `--filter-names` and `--filter-values` as one filter."""

from typing import Any

import click
import orjson


def filter_of(expression: str | None, names: str | None, values: str | None) -> dict[str, Any] | None:
    """The filter of the options, as `FilterText` takes it; None without one."""
    if expression is None:
        if names or values:
            raise click.UsageError("--filter-names and --filter-values are for a --filter")
        return None
    parts: dict[str, Any] = {"expression": expression}
    for name, text in (("names", names), ("values", values)):
        try:
            parts |= {name: orjson.loads(text)} if text else {}
        except orjson.JSONDecodeError as error:
            raise click.BadParameter(f"not JSON: {error}", param_hint=f"--filter-{name}") from error
    return parts
