"""The package as a whole: what importing it costs, and where its public names are listed."""

import re
import subprocess
import sys
from pathlib import Path

import fairlearnkit

HERE = Path(__file__).parent


def test_import_brings_nothing_optional_or_slow():
    subprocess.run([sys.executable, HERE / "smoke_minimal.py"], check=True)


def test_api_page_lists_the_public_names():
    """Public names stand in ``__init__.py`` and in ``docs/api.rst``, the same in both."""
    page = (HERE.parent / "docs" / "api.rst").read_text(encoding="utf-8")
    listed = set(re.findall(r"^   ([A-Za-z]\w*)$", page, flags=re.MULTILINE))
    public = {name for name in fairlearnkit.__all__ if not name.startswith("__")}
    modules = {name for name in public if type(getattr(fairlearnkit, name)) is type(re)}
    assert public - modules <= listed
