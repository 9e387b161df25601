from ddb_assets_tests.sandbox.redshift.serving import db, files, lake, redshift

__all__ = ["db", "files", "lake", "redshift"]
