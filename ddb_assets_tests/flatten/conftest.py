from pathlib import Path

import pytest

from ddb_assets_tests.flatten.flattening import Flattening


@pytest.fixture
def flattening(tmp_path: Path) -> Flattening:
    return Flattening(tmp_path)
