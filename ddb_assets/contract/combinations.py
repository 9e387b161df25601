"""Which attributes of a contract fit together. Each mistake names the attributes and which of them to take out."""

from ddb_assets.contract.attributes import TableAttributes
from ddb_assets.contract.names import MAX_NAME, NAME
from ddb_assets.contract.scan import ScanOptions


def check_combinations(table: TableAttributes) -> None:
    """Raises ValueError for the first combination of attributes that cannot be."""
    for check in (
        _fits_its_scans,
        _well_named,
        _has_windows_for_its_stream,
        _has_windows_for_its_history,
        _has_full_exports_for_its_engine,
        _has_a_stream_as_its_source,
        _fits_its_tail,
        _fits_its_cold_tier,
    ):
        check(table)


def _fits_its_scans(table: TableAttributes) -> None:
    if table.source != "scan":
        if table.scan != ScanOptions():
            raise ValueError("`scan` has options of `source: scan`: add that, or take `scan` out")
        return
    if table.load != "replace":
        raise ValueError(
            "`source: scan` has no windows, because they need point-in-time recovery: take `load` out, each scan "
            "replaces the table"
        )
    if table.export:
        raise ValueError("`export` is for exports, and `source: scan` makes none: take it out")
    if table.max_cost:
        raise ValueError(
            "`max_cost` limits exports, and `source: scan` makes none: take it out; `scan.max_rcu` limits scans"
        )


def _well_named(table: TableAttributes) -> None:
    if not NAME.fullmatch(table.name) or len(table.name) > MAX_NAME:
        raise ValueError(
            f"name {table.name!r} must be lower-case letters, digits and _, not begin with a digit, and have at most "
            f"{MAX_NAME} characters: give a `name`"
        )


def _has_windows_for_its_stream(table: TableAttributes) -> None:
    if table.stream and table.load == "replace" and table.source == "exports":
        raise ValueError(
            "stream needs `load: upsert`: what a stream loses is put right by windows, and `load: replace` has none"
        )


def _has_windows_for_its_history(table: TableAttributes) -> None:
    if table.history and (table.source != "exports" or table.load == "replace"):
        option = "load: replace" if table.source == "exports" else f"source: {table.source}"
        raise ValueError(
            f"`history` is made of full exports and windows of changes, and with `{option}` there are no windows: take "
            "one of the two out"
        )


def _has_full_exports_for_its_engine(table: TableAttributes) -> None:
    if table.source == "stream" and table.engine.name != "in_process":
        raise ValueError("`engine` flattens full exports and scans, and `source: stream` has none: take `engine` out")


def _has_a_stream_as_its_source(table: TableAttributes) -> None:
    if table.source == "stream" and not table.stream:
        raise ValueError("`source: stream` needs `stream: NAME`, the stream that the table writes its changes to")
    if table.source == "stream" and table.lake == "iceberg":
        raise ValueError("`lake: iceberg` appends exports and scans, and `source: stream` makes none: take `lake` out")


def _fits_its_tail(table: TableAttributes) -> None:
    """SQL shows every value of a record as it is, so a contract that wants anything else needs drains."""
    columns = table.columns.values()
    wants = {
        "exclude or mask": table.hides,
        "contract other than evolve": {table.contract, *(one.contract for one in columns)} - {None, "evolve"},
        "oversize other than extra": {table.oversize, *(one.oversize for one in columns)} - {None, "extra"},
    }
    if table.stream_options.tail != "table" and (table.source != "exports" or table.stream in {"", "dynamodb"}):
        raise ValueError(
            "`tail: materialized_view` is for the Kinesis stream of a table that exports fill: take `tail` out"
        )
    if table.reads_in_warehouse and (found := [name for name, wanted in wants.items() if wanted]):
        raise ValueError(
            f"stream has `tail: materialized_view`, with which Redshift reads the records, and the contract has "
            f"{', '.join(found)}, which Redshift cannot do exactly: take `tail` out, then drains apply the contract"
        )


def _fits_its_cold_tier(table: TableAttributes) -> None:
    unfit = {"`load: replace`": table.load == "replace", "`soft_delete`": table.soft_delete, "`stream`": table.stream}
    if table.warehouse.retain and (found := [name for name, wanted in unfit.items() if wanted]):
        raise ValueError(f"`warehouse.retain` cannot be combined with {' and '.join(found)}: take one of them out")
