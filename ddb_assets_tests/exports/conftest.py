from ddb_assets_tests.support.places import bucket, folder, place, s3

__all__ = ["bucket", "folder", "place", "s3"]
