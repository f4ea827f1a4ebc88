"""Fixtures every room shares: where the research photos are, and one torch thread for tests."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge_runtime.logs import ROOMS

if TYPE_CHECKING:
    from collections.abc import Iterator


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


@pytest.fixture(autouse=True)
def loggers_as_they_were() -> Iterator[None]:
    """A command under test sets up our loggers; the next test finds them untouched (and `caplog` works)."""
    loggers = [logging.getLogger(room) for room in ROOMS]
    before = [(logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    yield
    for logger, (handlers, propagate, level) in zip(loggers, before):
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)
