"""Reductions on Adult beside fairlearn's ExponentiatedGradient: fits, time, cost at equal gaps.

Both train the same learners on the same columns, without sex and race, on the published training
rows; decisions are compared in expectation, on these rows. fairlearn runs at its defaults. It
bounds the distance of each group to the overall rate, so it is run twice: asked for the same
number, and for the largest number that guarantees the gap between groups that we are asked for.
With two groups a distance b within an event admits a gap of b over the larger group's share in it;
with more it admits 2 b. Our cost is compared with its own at the gap that it reaches.
"""
# ruff: noqa: E402, PLC2701  (threads are set before NumPy starts them; helpers are private)

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from _measure import Table, environment, peak_bytes, print_table, write_csv
from _peers import create_environment
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from fairlearnkit import DemographicParity, EqualizedOdds, ReductionClassifier
from fairlearnkit.datasets import load_adult, make_group_classification
from fairlearnkit.metrics import disparity

LEARNERS = {
    "logistic regression": LogisticRegression(max_iter=1000),
    "gradient boosting": HistGradientBoostingClassifier(max_iter=50, random_state=0),
    "depth-6 tree": DecisionTreeClassifier(max_depth=6, random_state=0),
}
CRITERIA = {"demographic parity": DemographicParity, "equalized odds": EqualizedOdds}
CASES = [
    ("sex", "logistic regression", 0.01),
    ("sex", "gradient boosting", 0.01),
    ("sex, race", "depth-6 tree", 0.02),
    ("sex, race", "logistic regression", 0.02),
]
KNOBS = np.linspace(0.2, 0.0, 21)
HERE = Path(__file__).parent


def adult(attributes: str) -> dict[str, np.ndarray]:
    """Return columns without sex and race, labels and groups as integers."""
    X, y = load_adult(subset="train", return_X_y=True, as_frame=True)
    sensitive = X[attributes.split(", ")].astype(str).agg(" ".join, axis=1)
    X = X.drop(columns=["sex", "race"])
    is_text = X.columns[X.dtypes == "category"]
    columns = [
        StandardScaler().fit_transform(X.drop(columns=is_text)),
        OneHotEncoder(sparse_output=False).fit_transform(X[is_text].astype(str)),
    ]
    group = np.unique(sensitive, return_inverse=True)[1]
    return {"X": np.hstack(columns), "label": (y == ">50K").to_numpy().astype(int), "group": group}


def run_fairlearn(python: Path, data: dict, learner: str, criterion: str, bound: float) -> dict:
    """Run fairlearn in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        np.savez(Path(name) / "data.npz", **data)
        script = HERE / "peers" / "reduce_fairlearn.py"
        subprocess.run(
            [str(python), str(script), name, learner, criterion, str(bound)], check=True
        )
        with np.load(Path(name) / "fit.npz") as found:
            return dict(found)


def guaranteeing(criterion: str, bound: float, y: np.ndarray, group: np.ndarray) -> float:
    """Return the distance to overall that guarantees a gap between groups."""
    if group.max() > 1:
        return bound / 2
    events = [y >= 0] if criterion == "demographic parity" else [y == 0, y == 1]
    shares = [np.bincount(group[event]).max() / event.sum() for event in events]
    return bound * min(shares)


def compare(python: Path | None, data: dict, learner: str, criterion: str, bound: float) -> dict:
    """Return one line of the table."""
    X, y, group = data["X"], data["label"], data["group"]
    constraint = CRITERIA[criterion](max_difference=bound)
    start = time.process_time()
    ours = ReductionClassifier(LEARNERS[learner], constraint)
    ours.fit(X, y, sensitive_features=group)
    seconds = time.process_time() - start
    line = {"fits": ours.n_fits_, "s": seconds, "error": ours.cost_, "gap": ours.disparity_}
    start = time.process_time()
    for knob in KNOBS:
        ours.at(max_difference=knob)
    line["21 knobs, fits"] = ours.n_fits_
    line["21 knobs, s"] = all_seconds = seconds + time.process_time() - start
    if python is None:
        return line
    asked = {"same number": bound, "guaranteeing": guaranteeing(criterion, bound, y, group)}
    for name, number in asked.items():
        theirs = run_fairlearn(python, data, learner, criterion, number)
        decision = theirs["decision"]
        gap = float(disparity(constraint, y, decision, sensitive_features=group))
        line |= {
            f"{name}: its fits": int(theirs["fits"]),
            f"{name}: its s": float(theirs["seconds"]),
            f"{name}: its error": float(np.where(y == 1, 1 - decision, decision).mean()),
            f"{name}: its gap": gap,
            f"{name}: our error there": ours.at(max_difference=min(gap, 1.0)).cost_,
            f"{name}: our error at half its fits": _error_after(
                ours, int(theirs["fits"]) // 2, data, max(gap, bound)
            ),
            f"{name}: fits / its": line["fits"] / int(theirs["fits"]),
            f"{name}: s / its": seconds / float(theirs["seconds"]),
        }
    if group.max() == 1 and learner == "logistic regression":
        runs = [run_fairlearn(python, data, learner, criterion, max(k, 1e-3)) for k in KNOBS]
        line["21 knobs, its fits"] = int(sum(run["fits"] for run in runs))
        line["21 knobs, its s"] = its_seconds = float(sum(run["seconds"] for run in runs))
        line["21 knobs, s / its"] = all_seconds / its_seconds
    return line


def _error_after(ours: ReductionClassifier, fits: int, data: dict, bound: float) -> float:
    """Return our error at a gap when stopped after a number of fits."""
    fresh = clone(ours).set_params(max_fits=fits, constraint__max_difference=bound)
    return fresh.fit(data["X"], data["label"], sensitive_features=data["group"]).cost_


class Timed(LogisticRegression):
    """Logistic regression that adds up the time of its fits."""

    seconds = 0.0

    def fit(self, X, y, sample_weight=None):
        """Fit, and look at the clock."""
        start = time.process_time()
        super().fit(X, y, sample_weight)
        type(self).seconds += time.process_time() - start
        return self


class MeanDifference(ClassifierMixin, BaseEstimator):
    """A learner that is fast and takes next to no memory: the direction between class means."""

    def fit(self, X, y, sample_weight):
        """Find the direction."""
        self.classes_ = np.unique(y)
        weight = np.where(y == self.classes_[1], sample_weight, 0.0)
        above = weight @ X / weight.sum()
        below = (sample_weight @ X - weight @ X) / (sample_weight.sum() - weight.sum())
        self.coef_, self.cut_ = above - below, (above + below) @ (above - below) / 2
        return self

    def decision_function(self, X):
        """Return the distance from the middle along the direction."""
        return X @ self.coef_ - self.cut_

    def predict(self, X):
        """Return the side of the middle."""
        return self.classes_[(self.decision_function(X) > 0).astype(int)]


def decisions() -> Table:
    """Return gaps of the mixture, of the hash and of a majority vote on the training rows."""
    data = adult("sex")
    X, y, group = data["X"], data["label"], data["group"]
    table: Table = {}
    for learner in ("logistic regression", "gradient boosting"):
        for criterion, constraint in CRITERIA.items():
            rule = ReductionClassifier(LEARNERS[learner], constraint(max_difference=0.01))
            rule.fit(X, y, sensitive_features=group)
            expected = rule.decision_probability(X)[:, 1]
            found = {
                "expected": expected,
                "hash": rule.predict(X).astype(float),
                "majority": (expected > 0.5).astype(float),
            }
            line = {
                name: float(disparity(rule.constraint, y, decided, sensitive_features=group))
                for name, decided in found.items()
            }
            line["share by hash"] = float(((expected > 0) & (expected < 1)).mean())
            table[f"{learner}; {criterion}"] = line
    return table


def overhead() -> Table:
    """Return what column generation costs beside the learner, in time and in memory."""
    data = adult("sex")
    table: Table = {}
    for criterion, constraint in CRITERIA.items():
        Timed.seconds, start = 0.0, time.process_time()
        reduction = ReductionClassifier(Timed(max_iter=1000), constraint(max_difference=0.01))
        reduction.fit(data["X"], data["label"], sensitive_features=data["group"])
        seconds = time.process_time() - start
        table[f"Adult, logistic regression, {criterion}"] = {
            "s": seconds,
            "share outside fits": 1 - Timed.seconds / seconds,
        }
    X, y, group = make_group_classification(
        1_000_000,
        n_features=20,
        base_rates=(0.5, 0.3, 0.4, 0.2),
        class_sep=(2.0, 0.7, 1.5, 1.0),
        random_state=0,
    )
    for columns in (None, "train"):
        reduction = ReductionClassifier(
            MeanDifference(),
            EqualizedOdds(max_difference=0.02),
            threshold_columns=columns,
            max_fits=20,
        )
        peak = peak_bytes(partial(reduction.fit, X, y, sensitive_features=group))
        table[f"1,000,000 x {X.shape[1]}, threshold_columns={columns!r}"] = {
            "fits": reduction.n_fits_,
            "peak memory / X": peak / X.nbytes,
        }
    return table


def main() -> None:
    """Print the table and write it beside the others."""
    warnings.filterwarnings("ignore")
    python = create_environment("fairlearn")
    table: Table = {}
    for attributes, learner, bound in CASES:
        data = adult(attributes)
        for criterion in CRITERIA:
            name = f"{attributes}; {learner}; {criterion} {bound}"
            print(f"{name} ...", file=sys.stderr)
            table[name] = compare(python, data, learner, criterion, bound)
            print(table[name], file=sys.stderr)
    print_table("Adult, training rows", table)
    beside = overhead()
    print_table("Beside the learner", beside)
    decided = decisions()
    print_table("Gaps between women and men at a bound of 0.01", decided)
    tables = {
        "environment": environment(),
        "reductions": table,
        "overhead": beside,
        "decisions": decided,
    }
    write_csv(HERE / "results" / "reductions.csv", tables)


if __name__ == "__main__":
    main()
