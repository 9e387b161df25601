"""`flatten` itself, as the assets and the CLI call it: `python -m … EXPORT OUT SCHEMAS`.

With an empty folder SCHEMAS it is the first run, which infers the schema. Later runs know it.
"""

import sys

from ddb_assets.aws.storage import Storage
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets_tests.bench import orders, shapes


def main(source: str, out: str, schemas: str) -> None:
    storage = Storage()
    export = read_export(storage, source)
    of = next(module for module in (orders, shapes) if module.TABLE.table == export.table_name)
    flattened = flatten(storage, export, table=of.TABLE, key=of.KEY, out=out, schemas=SchemaStore(storage, schemas))
    if flattened.report.quarantined:
        raise RuntimeError(
            f"{flattened.report.quarantined} items of {source} went to quarantine: what was timed is not it"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
