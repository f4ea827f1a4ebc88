"""Fixtures every room shares: where the research photos are, and one torch thread for tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def research_data() -> Path:
    """Folder named by DIPS_EDGE_DATA; skips where it is not set, as in a fresh clone."""
    where = os.environ.get("DIPS_EDGE_DATA")
    if not where:
        pytest.skip("DIPS_EDGE_DATA is not set: the research photos are not part of the project")
    path = Path(where)
    if not path.is_dir():
        pytest.fail(f"DIPS_EDGE_DATA={where}: no such folder")
    return path
