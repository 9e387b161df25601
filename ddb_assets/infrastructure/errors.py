"""What cannot become infrastructure."""

from ddb_assets.errors import DdbAssetsError


class InfrastructureError(DdbAssetsError):
    """The declared tables or the settings cannot become a template: a name is unusable, or two are the same."""
