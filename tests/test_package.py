"""The package as a whole: what importing it costs, and where its public names are listed."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_import_and_fit_bring_nothing_optional_or_slow():
    subprocess.run([sys.executable, HERE / "smoke_minimal.py"], check=True)


@pytest.mark.parametrize("name", ["", ".constraints", ".metrics", ".postprocessing"])
def test_api_page_lists_every_public_name(name):
    """A public name stands in ``__all__`` and in ``docs/api.rst``."""
    page = (HERE.parent / "docs" / "api.rst").read_text(encoding="utf-8")
    listed = set(re.findall(r"^   ([A-Za-z]\w*)$", page, flags=re.MULTILINE))
    module = importlib.import_module(f"fairlearnkit{name}")
    public = {item for item in module.__all__ if not inspect.ismodule(getattr(module, item))}
    assert public - listed == set()
