"""How fast exact group thresholds are, and what the same rows cost with other packages.

    python benchmarks/thresholds.py             all tables, also as results/thresholds.csv
    python benchmarks/thresholds.py fit knobs   some tables, nothing written

What each table says is in README.md.
"""
# ruff: noqa: E402, PLC2701  (threads are set before NumPy starts them; the kernel is private)

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self
from unittest import mock

import numpy as np
import pandas as pd
from _measure import Table, environment, median_seconds, peak_bytes, print_table, write_csv
from _peers import PeerFit, create_environment, fit_peer, pinned_versions
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from fairlearnkit import (
    DemographicParity,
    EqualizedOdds,
    GroupThresholdClassifier,
    metrics,
    postprocessing,
)
from fairlearnkit._kernels.thresholds import (
    OperatingPoints,
    ThresholdSolution,
    operating_points,
    solve_thresholds,
)
from fairlearnkit.constraints import Criterion

MILLION = 1_000_000
BOUND = 0.02
PEERS = ("error_parity", "fairlearn")
KNOBS = [step / 200 for step in range(21)]
DIFFERENCES = {
    "equalized_odds": (EqualizedOdds, metrics.equalized_odds_difference),
    "demographic_parity": (DemographicParity, metrics.demographic_parity_difference),
}
RESULTS = Path(__file__).parent / "results" / "thresholds.csv"

# Names of cases and measures that claims are made about.
RATIO, MEMORY, PER_KNOB = "kernel / argsort", "memory, float64 columns", "/ one knob"
SWEEP, CURVE = "21 at()", "frontier_"
CLAIMS = {
    ("kernel", "continuous scores", RATIO): 6.0,
    ("kernel", "continuous scores", MEMORY): 10.0,
    ("knobs", SWEEP, PER_KNOB): 2.5,
    ("knobs", CURVE, PER_KNOB): 10.0,
}


class Rows(NamedTuple):
    """Scores to threshold.

    Attributes
    ----------
    score : ndarray of shape (n_rows,)
        In (0, 1).
    positive : ndarray of shape (n_rows,)
        Labels.
    group : ndarray of shape (n_rows,)
        Integer codes from 0.
    weight : ndarray of shape (n_rows,) or None
        Weights.
    """

    score: NDArray[np.float64]
    positive: NDArray[np.bool_]
    group: NDArray[np.intp]
    weight: NDArray[np.float64] | None = None

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self.group.max()) + 1

    @property
    def X(self) -> NDArray[np.float64]:
        """The scores as what `predict_proba` returns."""
        return np.column_stack([1 - self.score, self.score])


def make_rows(n_rows: int, n_groups: int) -> Rows:
    """Return normal scores, squashed, with base rates and separations that fall by group."""
    rng = np.random.default_rng(0)
    group = rng.integers(n_groups, size=n_rows)
    positive = rng.random(n_rows) < np.linspace(0.5, 0.3, n_groups)[group]
    separation = np.linspace(1.6, 1.3, n_groups)[group]
    score = 1 / (1 + np.exp(-rng.standard_normal(n_rows) - separation * positive))
    return Rows(score, positive, group)


class GivenScores(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose features are the probabilities of its classes."""

    def __init__(self, classes: tuple = (0, 1)) -> None:
        self.classes = classes

    @property
    def classes_(self) -> NDArray[Any]:
        """Class labels."""
        return np.array(self.classes)

    def fit(self, X: Any, y: Any) -> Self:
        """Do nothing."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        """Return True: there is nothing to fit."""
        return True

    def predict_proba(self, X: Any) -> Any:
        """Return X."""
        return X


def run_kernel(rows: Rows, criterion: Criterion) -> ThresholdSolution:
    """Go from scores to the solution: hulls, moments, linear programme."""
    return run_programme(hulls(rows), criterion)


def hulls(rows: Rows) -> OperatingPoints:
    """Go from scores to the hulls."""
    return operating_points(*rows, rows.n_groups, hull_only=True)


def run_programme(points: OperatingPoints, criterion: Criterion) -> ThresholdSolution:
    """Go from hulls to the solution."""
    return solve_thresholds(points, criterion._moments_of_mass(points.mass), 1.0, 1.0)


def fit_classifier(
    X: Any, y: Any, groups: Any, criterion: Criterion, classes: tuple = (0, 1), **parameters: Any
) -> GroupThresholdClassifier:
    """Fit the whole estimator on given scores."""
    classifier = GroupThresholdClassifier(
        GivenScores(classes), criterion, cv="prefit", **parameters
    )
    return classifier.fit(X, y, sensitive_features=groups)


def measure_kernel(rows: Rows) -> dict[str, Any]:
    """Return time and memory of the kernel beside one sort of its scores."""
    criterion = EqualizedOdds(max_difference=BOUND)
    points = hulls(rows)
    seconds = median_seconds(
        {
            "argsort": lambda: np.argsort(rows.score),
            "kernel": lambda: run_kernel(rows, criterion),
            "programme": lambda: run_programme(points, criterion),
        }
    )
    memory = peak_bytes(lambda: run_kernel(rows, criterion))
    return {
        "hull points": len(points.threshold),
        "argsort, s": seconds["argsort"],
        "kernel, s": seconds["kernel"],
        "of it programme, s": seconds["programme"],
        RATIO: seconds["kernel"] / seconds["argsort"],
        MEMORY: memory / rows.score.nbytes,
    }


def kernel_table() -> Table:
    """Measure the kernel on a million rows of several kinds."""
    rows = make_rows(MILLION, 4)
    rng = np.random.default_rng(1)
    weight = rng.uniform(0.5, 2.0, MILLION)
    unequal = np.where(rng.random(MILLION) < 0.9, 0, rows.group)
    return {
        "continuous scores": measure_kernel(rows),
        "with sample weights": measure_kernel(rows._replace(weight=weight)),
        "scores of three decimals": measure_kernel(rows._replace(score=rows.score.round(3))),
        "one group of 92 %": measure_kernel(rows._replace(group=unequal)),
    }


def rows_table() -> Table:
    """Measure the kernel by number of rows."""
    table = {}
    for n in (10**5, 10**6, 10**7):
        found = measure_kernel(make_rows(n, 4))
        table[f"{n:,} rows"] = found | {"ns per row": found["kernel, s"] / n * 1e9}
    return table


def groups_table() -> Table:
    """Measure the kernel by number of groups."""
    return {f"{n:,} groups": measure_kernel(make_rows(MILLION, n)) for n in (2, 10, 100, 1000)}


def knobs_table() -> Table:
    """Measure what further knobs cost once the hulls are there."""
    rows, criterion = make_rows(MILLION, 4), EqualizedOdds(max_difference=BOUND)
    classifier = fit_classifier(rows.X, rows.positive.astype(int), rows.group, criterion)
    points = hulls(rows)

    def curve() -> Any:
        # An estimator keeps its curve: `at` gives one that has none yet, for one more programme.
        return classifier.at(max_difference=BOUND).frontier_

    def programmes() -> None:
        for knob in KNOBS:
            run_programme(points, EqualizedOdds(max_difference=knob))

    def estimators() -> None:
        for knob in KNOBS:
            classifier.at(max_difference=knob)

    seconds = median_seconds(
        {
            "kernel": lambda: run_kernel(rows, criterion),
            "programmes": programmes,
            "at": estimators,
            "curve": curve,
        }
    )
    with mock.patch.object(postprocessing, "solve_thresholds", wraps=solve_thresholds) as solve:
        n_breakpoints = len(curve())
    one = seconds["kernel"]
    found = {
        "one knob: the kernel, from scores": (one, 1),
        "21 programmes of the kernel": (seconds["programmes"], 21),
        SWEEP: (seconds["at"], 21),
        "21 knobs from scores: the kernel and 20 at()": (one + seconds["at"] * 20 / 21, 21),
        CURVE: (seconds["curve"], solve.call_count),
        "curve from scores: the kernel and frontier_": (
            one + seconds["curve"],
            1 + solve.call_count,
        ),
    }
    table: Table = {
        case: {"seconds": total, PER_KNOB: total / one, "programmes": n_programmes}
        for case, (total, n_programmes) in found.items()
    }
    table[CURVE]["breakpoints"] = n_breakpoints
    return table


def fit_table() -> Table:
    """Measure the whole fit, checks included, beside the kernel."""
    rows, criterion = make_rows(MILLION, 4), EqualizedOdds(max_difference=BOUND)
    X, labels, codes = rows.X, rows.positive.astype(int), rows.group
    words = np.array(["no", "yes"])
    label_words = words[labels]
    group_words = np.array(["north", "east", "south", "west"])[codes]
    frame = pd.DataFrame(X)
    inputs: dict[str, tuple[Any, Any, Any]] = {
        "integer labels, integer groups": (X, labels, codes),
        "integer labels, string groups": (X, labels, group_words),
        "string labels, integer groups": (X, label_words, codes),
        "string labels, string groups": (X, label_words, group_words),
        "pandas categories": (
            frame,
            pd.Series(label_words, dtype="category"),
            pd.Series(group_words, dtype="category"),
        ),
    }

    def task(X: Any, y: Any, groups: Any) -> Callable[[], Any]:
        classes = (0, 1) if y is labels else ("no", "yes")
        return lambda: fit_classifier(X, y, groups, criterion, classes)

    tasks = {name: task(*given) for name, given in inputs.items()}
    seconds = median_seconds({"kernel": lambda: run_kernel(rows, criterion), **tasks})
    kernel = seconds["kernel"]
    memory = {"kernel": peak_bytes(lambda: run_kernel(rows, criterion))}
    memory |= {name: peak_bytes(each) for name, each in tasks.items()}
    return {
        name: {
            "seconds": total,
            "/ kernel": total / kernel,
            "outside the kernel": f"{max(1 - kernel / total, 0):.0%}",
            MEMORY: memory[name] / rows.score.nbytes,
        }
        for name, total in seconds.items()
    }


def peers_table() -> Table:
    """Measure other packages on the same scores, and what they reach."""
    rows = make_rows(MILLION, 4)
    X, labels = rows.X, rows.positive.astype(int)
    data = {"score": rows.score, "label": labels, "group": rows.group}
    pythons = {peer: create_environment(peer) for peer in PEERS}
    table: Table = {}
    for name, (kind, difference) in DIFFERENCES.items():
        for bound in (BOUND, 0.0):
            task = partial(fit_classifier, X, labels, rows.group, kind(max_difference=bound))
            own = median_seconds({"fit": task})["fit"]
            decision = task().decision_probability(X, sensitive_features=rows.group)[:, 1]
            fits: dict[str, PeerFit | str] = {"fairlearnkit": PeerFit(own, decision)}
            for peer, python in pythons.items():
                fits[peer] = fit_peer(python, peer, name, bound, data)
            for package, fit in fits.items():
                table[f"{name} {bound:g}: {package}"] = (
                    {"seconds": fit}
                    if isinstance(fit, str)
                    else {
                        "seconds": fit.seconds,
                        "/ fairlearnkit": fit.seconds / own,
                        "error rate": float(np.abs(labels - fit.decision).mean()),
                        "gap": difference(labels, fit.decision, sensitive_features=rows.group),
                    }
                )
    return table


def plain_table() -> Table:
    """Measure one plain threshold per group beside randomised ones."""
    table: Table = {}
    for n_rows in (50_000, MILLION):
        for n_groups in (2, 4):
            rows = make_rows(n_rows, n_groups)
            X, labels = rows.X, rows.positive.astype(int)
            for name, (kind, _) in DIFFERENCES.items():
                criterion = kind(max_difference=BOUND)
                task = partial(fit_classifier, X, labels, rows.group, criterion)
                plain = partial(task, randomized=False)
                seconds = median_seconds({"randomised": task, "plain": plain}, repeats=3)
                fitted = plain()
                table[f"{n_rows:,} rows, {n_groups} groups, {name}"] = {
                    "randomised, s": seconds["randomised"],
                    "plain, s": seconds["plain"],
                    MEMORY: peak_bytes(plain) / rows.score.nbytes,
                    "cost": fitted.cost_,
                    "price of plain": fitted.gap_,
                    "is_proven_": fitted.is_proven_,
                    "gap": fitted.disparity_,
                }
    return table


def claims(tables: dict[str, Table]) -> Table:
    """Return what is claimed beside what was measured."""
    found: Table = {}
    for (section, case, measure), limit in CLAIMS.items():
        if section in tables:
            value = tables[section][case][measure]
            found[f"{case}: {measure}"] = {
                "measured": value,
                "at most": limit,
                "holds": value <= limit,
            }
    return found


SECTIONS: dict[str, tuple[str, Callable[[], Table]]] = {
    "kernel": ("1,000,000 rows, 4 groups, equalized odds within 0.02", kernel_table),
    "rows": ("By rows (4 groups)", rows_table),
    "groups": ("By groups (1,000,000 rows)", groups_table),
    "knobs": ("Turning the knob (1,000,000 rows, 4 groups)", knobs_table),
    "fit": ("The whole fit (1,000,000 rows, 4 groups)", fit_table),
    "plain": ("One plain threshold per group, within 0.02", plain_table),
    "peers": ("Other packages (1,000,000 rows, 4 groups)", peers_table),
}


def main(wanted: list[str]) -> None:
    """Print the tables, and write them where all were asked for."""
    unknown = set(wanted) - set(SECTIONS)
    if unknown:
        sys.exit(f"Tables are {', '.join(SECTIONS)}; got {', '.join(sorted(unknown))}.")
    tables = {"environment": environment()}
    for peer in PEERS:
        tables["environment"][f"with {peer}"] = {"value": pinned_versions(peer)}
    print_table("Environment", tables["environment"])
    for section, (title, measure) in SECTIONS.items():
        if section in wanted or not wanted:
            tables[section] = measure()
            print_table(title, tables[section])
    tables["claims"] = claims(tables)
    print_table("Claims", tables["claims"])
    if not wanted:
        write_csv(RESULTS, tables)
        print(f"\nWritten: {RESULTS.relative_to(Path(__file__).parents[1])}")


if __name__ == "__main__":
    main(sys.argv[1:])
