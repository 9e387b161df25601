"""The external schema in which Redshift shows the Iceberg tables of cold rows."""

from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.sql.statements import Statement, literal, quoted


def external_schema(engine: RedshiftEngine, schema: str, url: CatalogUrl) -> str:
    """Its name; it is created if it is not there. CREATE needs a right on the database even for one that is."""
    name = f"{schema}_cold"
    if not engine.has_schema(name):
        role = engine.settings.iam_role
        who = "default" if role == "default" else literal(role)
        account = f" CATALOG_ID {literal(url.catalog_id)}" if url.catalog_id else ""
        source = f"DATA CATALOG DATABASE {literal(url.namespace)} IAM_ROLE {who}{account}"
        engine.execute(Statement(f"CREATE EXTERNAL SCHEMA {quoted(name)} FROM {source}"))
    return name
