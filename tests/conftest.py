"""Fixtures shared by the tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data_dir():
    """Folder of real data sets, named by FAIRLEARNKIT_DATA; the test is skipped without it."""
    folder = os.environ.get("FAIRLEARNKIT_DATA")
    if not folder:
        pytest.skip("FAIRLEARNKIT_DATA is not set")
    if not Path(folder).is_dir():
        pytest.skip(f"FAIRLEARNKIT_DATA names no folder: {folder!r}")
    return Path(folder)
