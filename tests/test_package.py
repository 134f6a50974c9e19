"""The package as a whole: what importing it costs, where its names are listed, its README."""

import csv
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


# Rows of the README's table: task, ours, theirs and the script that measures it.
ROWS = re.findall(r"^\| (.*) \| (.*) \| (.*) \| `(\w+)` \|$", README, flags=re.MULTILINE)
THEIRS = ["guaranteeing: its fits", "guaranteeing: its s", "guaranteeing: its error"]
PARITY = "sex; logistic regression; demographic parity 0.01"
ODDS = "sex; logistic regression; equalized odds 0.01"
BOOSTED = "sex; gradient boosting; equalized odds 0.01"
CONVEX = "10,000 x 100"
HELD_OUT = "adult sex; equal opportunity; covariance 0.01"
PEER = "equalized_odds {}: {}"
# What each number of a row is, in order: case and measure, None where it is not measured.
MEASURED = [
    [(PARITY, name) for name in ("fits", "s", "error", *THEIRS)],
    [(ODDS, name) for name in ("fits", "s", "error", *THEIRS)],
    [(BOOSTED, name) for name in ("fits", "s", "error", *THEIRS)],
    [
        ("sex, race; depth-6 tree; equalized odds 0.02", name)
        for name in ("fits", "s", "error", *THEIRS)
    ],
    [(PARITY, f"21 knobs, {name}") for name in ("fits", "s", "its fits", "its s")],
    [
        (PEER.format(0.02, "fairlearnkit"), "seconds"),
        (PEER.format(0.02, "error_parity"), "seconds"),
        None,
        None,
        (PEER.format(0, "fairlearn"), "seconds"),
    ],
    [
        (CONVEX, name)
        for name in ("newton, s", "whole path and mixture, s", "scikit-lego demographic parity, s")
    ],
    [(HELD_OUT, name) for name in ("accuracy", "scikit-lego's", *["difference"] * 3)],
    [
        ("fairlearnkit, 1,000 resamples", "seconds"),
        ("fairlearn MetricFrame, 1,000 resamples", "seconds"),
        ("fairlearn MetricFrame, 1,000 resamples", "measured at"),
    ],
]
# Numbers outside of the table, with the words around them.
TOLD = [
    ("logistic regression a fit takes {}", ODDS, "guaranteeing: s / its"),
    ("for demographic parity {}.", PARITY, "guaranteeing: s / its"),
    ("reaches a gap of {}", BOOSTED, "same number: its gap"),
    ("(error {} %", BOOSTED, "same number: its error"),
    ("ours there {} %", BOOSTED, "same number: our error there"),
]


def measured(script):
    """Return the numbers of each case and measure in a script's results."""
    with (HERE.parent / "benchmarks" / "results" / f"{script}.csv").open(encoding="utf-8") as file:
        return {
            (line["case"], line["measure"]): [
                float(text) for text in NUMBER.findall(line["value"])
            ]
            for line in csv.DictReader(file)
        }


def is_rounded(text, value, scale):
    decimals = len(text.partition(".")[2])
    return float(text.replace(",", "")) == round(scale * value, decimals)


@pytest.mark.parametrize(("row", "sources"), [*zip(ROWS, MEASURED, strict=True)])
def test_measured_numbers_are_those_of_the_benchmarks(row, sources):
    """Every number of the table is the one measured, but for rounding."""
    _, ours, theirs, script = row
    results, place = measured(script), 0
    shown = re.findall(rf"({NUMBER.pattern})( %)?", f"{ours} | {theirs}")
    for (text, percent), source in zip(shown, sources, strict=True):
        if source is None:
            continue
        # An interval has three numbers, and is in points.
        values = results[source]
        place = place + 1 if len(values) > 1 else 0
        scale = 100 if percent or place else 1
        assert is_rounded(text, values[place - 1 if place else 0], scale), (text, source)


@pytest.mark.parametrize(("words", "case", "name"), TOLD)
def test_numbers_told_are_those_of_the_benchmarks(words, case, name):
    """So is what the text beside the table says."""
    before, after = (re.escape(part) for part in words.split("{}"))
    (text,) = re.findall(f"{before}({NUMBER.pattern}){after}", " ".join(README.split()))
    (value,) = measured("reductions")[case, name]
    assert is_rounded(text, value, 100 if "%" in words else 1)


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert [link for link in links if not (HERE.parent / link).exists()] == []
