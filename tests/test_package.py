"""The package as a whole: what importing it costs, where its names are listed, its README."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
README = (HERE.parent / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e-\d+)?")


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


# Rows of the table of what was measured: task, ours, theirs and the script that measures it.
MEASURED = re.findall(r"^\| (.*) \| (.*) \| (.*) \| `(\w+)` \|$", README, flags=re.MULTILINE)


def test_the_readme_has_a_table_of_what_was_measured():
    assert len(MEASURED) >= 5


@pytest.mark.parametrize(("task", "ours", "theirs", "script"), MEASURED)
def test_measured_numbers_are_those_of_the_benchmarks(task, ours, theirs, script):
    """Every number stands in the script's results, as it is or in percent, but for rounding."""
    results = (HERE.parent / "benchmarks" / "results" / f"{script}.csv").read_text("utf-8")
    found = [float(text.replace(",", "")) for text in NUMBER.findall(results)]
    for text in NUMBER.findall(ours + theirs):
        shown, decimals = float(text.replace(",", "")), len(text.partition(".")[2])
        assert any(shown in (round(x, decimals), round(100 * x, decimals)) for x in found), text


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert [link for link in links if not (HERE.parent / link).exists()] == []
