"""`flatten` itself, as the assets and the CLI call it: `python -m … EXPORT OUT SCHEMAS [--shapes]`.

With an empty folder SCHEMAS it is the first run, which has to find the schema out; later ones know it.
"""

import sys

from ddb_assets.exports.manifest import read_export
from ddb_assets.parquet.flatten import flatten
from ddb_assets.parquet.schema_store import SchemaStore
from ddb_assets.resources.storage import Storage
from ddb_assets_tests.bench import orders, shapes


def main(source: str, out: str, schemas: str, table: str = orders.TABLE.table) -> None:
    storage = Storage()
    of = next(module for module in (orders, shapes) if module.TABLE.table == table)
    export = read_export(storage, source)
    flatten(storage, export, table=of.TABLE, key=of.KEY, out=out, schemas=SchemaStore(storage, schemas))


if __name__ == "__main__":
    main(*sys.argv[1:])
